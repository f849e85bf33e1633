/**
 * When the bytes of a log were written. The processes append to the log themselves, so the
 * times are those at which the kubelet saw the log grow: an index beside it, `log.times`, says up
 * to which offset the log had grown at which time.
 *
 * A look follows a write at once, and then at most every `lookMillis`: that is how much too late a
 * line's time can be. What was written while no kubelet ran has the time of the log's last write.
 */
import { type FSWatcher, watch } from "node:fs";
import { appendFile, open, stat, writeFile } from "node:fs/promises";

const timesLimits = {
  lookMillis: 100,
  /** Beyond it, every second entry goes; bytes. */
  indexBytesMax: 1024 * 1024,
} as const;

/** Offset and Unix milliseconds, as doubles. */
const entryBytes = 16;

function indexPath(logPath: string): string {
  return `${logPath}.times`;
}

/** Keeps the index of one log, from `start` to `close`. */
export class LogTimes {
  readonly #path: string;
  readonly #onError: (error: unknown) => void;
  #watcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  /** The index has entries up to this offset. */
  #covered = 0;
  #indexBytes = 0;
  #closed = false;

  constructor(logPath: string, onError: (error: unknown) => void) {
    this.#path = logPath;
    this.#onError = onError;
  }

  /** `sinceEarlier`: the log may have grown while it was not watched. */
  async start(sinceEarlier: boolean): Promise<void> {
    if (this.#closed) return;
    if (sinceEarlier) {
      const entries = await readEntries(this.#path, 0);
      this.#covered = entries.at(-1)?.end ?? 0;
      this.#indexBytes = entries.length * entryBytes;
      await this.#look(true);
    }
    this.#watch();
    await this.#look(false);
  }

  /** The log has been cut to nothing. */
  async reset(): Promise<void> {
    await this.#looking;
    this.#covered = 0;
    this.#indexBytes = 0;
    await writeFile(indexPath(this.#path), "");
    await this.#look(false);
  }

  /** The log grows no more: the last bytes get their time. Idempotent. */
  async finish(): Promise<void> {
    if (this.#closed) return;
    this.close();
    await this.#looking;
    await this.#look(true);
  }

  /** Lets go. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#watcher?.close();
    clearTimeout(this.#timer);
  }

  /**
   * One change ends a watch, and the next watch begins a while later: a program that writes without
   * a pause costs a look each time, and not an event for each of its writes.
   */
  #watch(): void {
    if (this.#closed) return;
    try {
      this.#watcher = watch(this.#path, { persistent: false }, () => this.#changed());
      this.#watcher.on("error", () => this.#later());
    } catch (error) {
      this.#onError(error);
      this.#later();
    }
  }

  #changed(): void {
    this.#watcher?.close();
    void this.#look(false).then(() => this.#later());
  }

  #later(): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#watch();
      void this.#look(false);
    }, timesLimits.lookMillis);
    this.#timer.unref();
  }

  #look(byModification: boolean): Promise<void> {
    this.#looking = (this.#looking ?? Promise.resolve())
      .then(() => this.#record(byModification))
      .catch(this.#onError);
    return this.#looking;
  }

  async #record(byModification: boolean): Promise<void> {
    const now = Date.now();
    const { size, mtimeMs } = await stat(this.#path);
    if (size === this.#covered) return;
    if (size < this.#covered) {
      this.#indexBytes = 0;
      await writeFile(indexPath(this.#path), "");
    }
    const entry = Buffer.alloc(entryBytes);
    entry.writeDoubleBE(size, 0);
    entry.writeDoubleBE(byModification ? mtimeMs : now, 8);
    await appendFile(indexPath(this.#path), entry);
    this.#covered = size;
    this.#indexBytes += entryBytes;
    if (this.#indexBytes > timesLimits.indexBytesMax) await this.#thin();
  }

  async #thin(): Promise<void> {
    const entries = await readEntries(this.#path, 0);
    const last = entries.length - 1;
    const kept = entries.filter((_, index) => index % 2 === last % 2);
    const bytes = Buffer.alloc(kept.length * entryBytes);
    for (const [index, { end, millis }] of kept.entries()) {
      bytes.writeDoubleBE(end, index * entryBytes);
      bytes.writeDoubleBE(millis, index * entryBytes + 8);
    }
    await writeFile(indexPath(this.#path), bytes);
    this.#indexBytes = bytes.length;
  }
}

interface Entry {
  /** The log had so many bytes at the time. */
  readonly end: number;
  readonly millis: number;
}

async function readEntries(logPath: string, from: number): Promise<Entry[]> {
  const file = await open(indexPath(logPath), "r").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined; // made before there were times, or empty
    throw error;
  });
  if (file === undefined) return [];
  try {
    const size = (await file.stat()).size;
    const length = Math.max(0, size - from);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, from);
    const entries: Entry[] = [];
    for (let at = 0; at + entryBytes <= bytesRead; at += entryBytes) {
      entries.push({ end: buffer.readDoubleBE(at), millis: buffer.readDoubleBE(at + 8) });
    }
    return entries;
  } finally {
    await file.close();
  }
}

/** Looks times up for one reader of a log. */
export class LogTimesReader {
  readonly #path: string;
  #entries: Entry[] = [];
  #position = 0;
  #fallback = 0;

  constructor(logPath: string) {
    this.#path = logPath;
  }

  /** Reads what the index has got since. */
  async refresh(): Promise<void> {
    const size = (await stat(indexPath(this.#path)).catch(() => undefined))?.size ?? 0;
    if (size < this.#position) this.forget(); // thinned, or begun anew
    const more = await readEntries(this.#path, this.#position);
    this.#entries.push(...more);
    this.#position += more.length * entryBytes;
    this.#fallback = (await stat(this.#path)).mtimeMs;
  }

  /** The log has been cut: what is known is about other bytes. */
  forget(): void {
    this.#entries = [];
    this.#position = 0;
  }

  /** Unix milliseconds. Bytes that no entry is about yet were written last. */
  at(offset: number): number {
    return this.#entries[this.#firstWith((entry) => entry.end > offset)]?.millis ?? this.#fallback;
  }

  /** Where the bytes begin that were written then or later; infinite when there are none yet. */
  startOf(millis: number): number {
    const index = this.#firstWith((entry) => entry.millis >= millis);
    const before = this.#entries[index - 1]?.end ?? 0;
    const known = index < this.#entries.length || this.#fallback >= millis;
    return known ? before : Number.POSITIVE_INFINITY;
  }

  /** Entries are in order, also by time as long as the clock was not set back. */
  #firstWith(holds: (entry: Entry) => boolean): number {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const entry = this.#entries[middle];
      if (entry !== undefined && holds(entry)) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
