/** A runtime for the store's tests: a disk in memory that loses nothing, and a clock to be set. */
import type {
  Cancel,
  Clock,
  Disk,
  DiskEntry,
  DiskOperation,
  DiskRange,
  Log,
  Runtime,
} from "../../ha/runtime/types.ts";
import { DiskError } from "../../ha/runtime/types.ts";

export class MemoryDisk implements Disk {
  readonly content = new Map<string, Uint8Array>();
  private sorted: string[] | undefined;
  private closed = false;
  /** Called before a page is answered; lets a test act in between. */
  onScan: (() => void) | undefined;

  write(
    operations: readonly DiskOperation[],
    _options: { readonly sync: boolean },
    done: (error?: DiskError) => void,
  ): void {
    if (this.closed) {
      setImmediate(() => done(new DiskError("closed", "the disk is closed")));
      return;
    }
    for (const { key, value } of operations) {
      const name = Buffer.from(key).toString("latin1");
      if (value === undefined) this.content.delete(name);
      else this.content.set(name, Uint8Array.from(value));
    }
    this.sorted = undefined;
    setImmediate(() => done());
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.content.get(Buffer.from(key).toString("latin1"));
  }

  scan(range: DiskRange, done: (error: undefined, page: readonly DiskEntry[]) => void): void {
    this.sorted ??= [...this.content.keys()].sort();
    const start = Buffer.from(range.start).toString("latin1");
    const end = Buffer.from(range.end).toString("latin1");
    const names = this.sorted.filter((name) => name >= start && name < end);
    if (range.reverse) names.reverse();
    const page = names
      .slice(0, range.limit)
      .map((name): DiskEntry => [Buffer.from(name, "latin1"), this.content.get(name)!]);
    setImmediate(() => {
      this.onScan?.();
      done(undefined, page);
    });
  }

  bytesUsed(): Promise<number> {
    let bytes = 0;
    for (const [key, value] of this.content) bytes += key.length + value.length;
    return Promise.resolve(bytes);
  }

  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }
}

const silent: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silent,
};

const realClock: Clock = {
  monotonicMillis: () => performance.now(),
  wallMillis: () => Date.now(),
  after(millis, callback): Cancel {
    const timer = setTimeout(callback, millis);
    return () => clearTimeout(timer);
  },
  every(millis, callback): Cancel {
    const timer = setInterval(callback, millis);
    return () => clearInterval(timer);
  },
  soon: (callback) => void setImmediate(callback),
};

export function memoryRuntime(disk: Disk = new MemoryDisk()): Runtime {
  return {
    clock: realClock,
    random: {
      below: (limit) => Math.floor(Math.random() * limit),
      bytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
    },
    disk,
    network: {
      start: () => Promise.resolve(),
      setPeers: () => undefined,
      send: () => false,
      close: () => Promise.resolve(),
    },
    log: silent,
  };
}
