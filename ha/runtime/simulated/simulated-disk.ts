import { assert } from "../assert.ts";
import {
  type Disk,
  type DiskEntry,
  DiskError,
  type DiskOperation,
  type DiskRange,
} from "../types.ts";
import { hashBytes, type SeededRandom } from "./seeded-random.ts";
import { keyBytes, keyText, SortedBytes } from "./sorted-bytes.ts";

/** Latencies as ranges in microseconds. */
export interface DiskOptions {
  readonly writeMicros: readonly [min: number, max: number];
  readonly syncMicros: readonly [min: number, max: number];
  readonly scanMicros: readonly [min: number, max: number];
}

export const defaultDiskOptions: DiskOptions = {
  writeMicros: [10, 100],
  syncMicros: [150, 1_500],
  scanMicros: [50, 400],
};

/** What a disk needs of the life it serves. */
export interface DiskHost {
  now(): number;
  schedule(delay: number, kind: string, run: () => void, content?: number): void;
}

/** How to take one write back. */
type Undo = readonly (readonly [key: string, previous: Uint8Array | undefined])[];

/** The operating system writes back on its own once so much waits. */
const volatileWritesMax = 4_096;

/**
 * What is on the platter of one member: survives its crashes, apart from a suffix of the writes
 * that were not synced.
 */
export class DiskContent {
  readonly name: string;
  readonly entries = new SortedBytes();
  readonly #random: SeededRandom;
  readonly #damaged = new Set<string>();
  /** Writes that a crash may still take back, oldest first. */
  #volatile: Undo[] = [];
  #written = 0;
  #failure: { kind: DiskError["kind"]; afterWrites: number } | undefined;
  /** Everything takes so many times as long: a disk about to fail, or one that others keep busy. */
  slowdown = 1;

  constructor(name: string, random: SeededRandom) {
    this.name = name;
    this.#random = random;
  }

  /** Number of writes so far. */
  get written(): number {
    return this.#written;
  }

  /** The disk takes `afterWrites` more writes and fails from then on, until {@link repair}. */
  failFrom(kind: "io" | "full" | "corrupt", afterWrites = 0): void {
    this.#failure = { kind, afterWrites };
  }

  repair(): void {
    this.#failure = undefined;
  }

  /**
   * Flips one bit of a random value, of those whose keys begin with the byte `prefix` if one is
   * given. `noticed`: reading it reports corruption, as the checksums of a database do; otherwise
   * the wrong value is returned. Gives the key, if there was one.
   */
  flipBit(options: { noticed: boolean; prefix?: number }): Uint8Array | undefined {
    const { prefix } = options;
    const bound = (byte: number) => this.entries.lowerBound(String.fromCharCode(byte));
    const first = prefix === undefined ? 0 : bound(prefix);
    const end = prefix === undefined ? this.entries.size : bound(prefix + 1);
    if (first >= end) return undefined;
    const key = this.entries.keyAt(this.#random.between(first, end - 1)) ?? "";
    const value = this.entries.get(key)?.slice() ?? new Uint8Array(0);
    if (value.length > 0) {
      const index = this.#random.below(value.length);
      value[index] = (value[index] ?? 0) ^ (1 << this.#random.below(8));
      this.entries.set(key, value);
    }
    if (options.noticed) this.#damaged.add(key);
    return keyBytes(key);
  }

  /** Power is cut: any number of the newest unsynced writes are gone, never one from the middle. */
  crash(): void {
    const kept = this.#random.below(this.#volatile.length + 1);
    for (const undo of this.#volatile.splice(kept).reverse()) {
      for (const [key, previous] of undo.toReversed()) this.entries.set(key, previous);
    }
    this.#volatile = [];
  }

  /** Another disk in its place, with nothing on it. Only while its member is down. */
  erase(): void {
    while (this.entries.size > 0) this.entries.set(this.entries.keyAt(0) ?? "", undefined);
    this.#volatile = [];
    this.#damaged.clear();
  }

  apply(operations: readonly DiskOperation[]): void {
    const undo = operations.map(({ key, value }) => {
      const text = keyText(key);
      this.#damaged.delete(text);
      return [text, this.entries.set(text, value)] as const;
    });
    this.#written += 1;
    this.#volatile.push(undo);
    if (this.#volatile.length > volatileWritesMax) this.#volatile.shift();
  }

  /** Everything up to the write with this number is safe. */
  synced(upTo: number): void {
    const oldest = this.#written - this.#volatile.length;
    if (upTo > oldest) this.#volatile.splice(0, upTo - oldest);
  }

  /** The failure that the next write meets, if any. */
  nextFailure(): DiskError | undefined {
    if (!this.#failure) return undefined;
    if (this.#failure.afterWrites > 0) {
      this.#failure.afterWrites -= 1;
      return undefined;
    }
    return diskError(this.#failure.kind, this.name);
  }

  read(key: string): Uint8Array | undefined {
    if (this.#damaged.has(key)) throw diskError("corrupt", this.name);
    return this.entries.get(key)?.slice();
  }
}

/** One life's view of a {@link DiskContent}. */
export class SimulatedDisk implements Disk {
  readonly #content: DiskContent;
  readonly #host: DiskHost;
  readonly #random: SeededRandom;
  readonly #options: DiskOptions;
  #failure: DiskError | undefined;
  /** When the last write of the queue will be done: completions keep the order of the calls. */
  #busyUntil = 0;
  #closing: Promise<void> | undefined;

  constructor(content: DiskContent, host: DiskHost, random: SeededRandom, options: DiskOptions) {
    this.#content = content;
    this.#host = host;
    this.#random = random;
    this.#options = options;
  }

  write(
    operations: readonly DiskOperation[],
    { sync }: { readonly sync: boolean },
    done: (error?: DiskError) => void,
  ): void {
    const delay = this.#queueDelay(sync);
    const refusal = this.#refusal() ?? this.#content.nextFailure();
    if (refusal) {
      if (!this.#closing) this.#failure = refusal;
      this.#host.schedule(delay, "disk failed", () => done(refusal));
      return;
    }
    this.#content.apply(operations);
    const number = this.#content.written;
    const complete = (): void => {
      if (sync) this.#content.synced(number);
      done();
    };
    this.#host.schedule(
      delay,
      sync ? "disk synced" : "disk written",
      complete,
      hashAll(operations),
    );
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const refusal = this.#refusal();
    if (refusal) throw refusal;
    return this.#content.read(keyText(key));
  }

  scan(
    range: DiskRange,
    done: (error: DiskError | undefined, page: readonly DiskEntry[]) => void,
  ): void {
    assert(
      Number.isInteger(range.limit) && range.limit >= 1,
      `scan limit ${range.limit} is not a positive integer`,
    );
    const delay = this.#random.between(...this.#options.scanMicros) * this.#content.slowdown;
    this.#host.schedule(delay, "disk scanned", () => {
      let page: DiskEntry[];
      try {
        const refusal = this.#refusal();
        if (refusal) throw refusal;
        page = this.#page(range);
      } catch (error) {
        if (!(error instanceof DiskError)) throw error;
        done(error, []);
        return;
      }
      done(undefined, page);
    });
  }

  bytesUsed(): Promise<number> {
    const refusal = this.#refusal();
    if (refusal) return Promise.reject(refusal);
    const { entries } = this.#content;
    let bytes = 0;
    for (let index = 0; index < entries.size; index++) {
      const key = entries.keyAt(index) ?? "";
      bytes += key.length + (entries.get(key)?.length ?? 0);
    }
    return Promise.resolve(bytes);
  }

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      const delay = Math.max(0, this.#busyUntil - this.#host.now());
      this.#host.schedule(delay, "disk closed", resolve);
    });
    return this.#closing;
  }

  #page(range: DiskRange): DiskEntry[] {
    const { entries } = this.#content;
    const first = entries.lowerBound(keyText(range.start));
    const end = entries.lowerBound(keyText(range.end));
    const page: DiskEntry[] = [];
    for (let count = 0; count < end - first && count < range.limit; count++) {
      const key = entries.keyAt(range.reverse ? end - 1 - count : first + count) ?? "";
      page.push([keyBytes(key), this.#content.read(key) ?? new Uint8Array(0)]);
    }
    return page;
  }

  #refusal(): DiskError | undefined {
    if (this.#failure) return this.#failure;
    return this.#closing && diskError("closed", this.#content.name);
  }

  #queueDelay(sync: boolean): number {
    const { writeMicros, syncMicros } = this.#options;
    let delay = this.#random.between(...writeMicros);
    if (sync) delay += this.#random.between(...syncMicros);
    delay *= this.#content.slowdown;
    const now = this.#host.now();
    // A group commit: a write that waits behind another does not pay its whole price again.
    this.#busyUntil = Math.max(now + delay, this.#busyUntil);
    return this.#busyUntil - now;
  }
}

function diskError(kind: DiskError["kind"], name: string): DiskError {
  const texts = {
    corrupt: "is damaged: move it away and let the member rejoin from its peers",
    full: "is full: free some space, then restart the member",
    io: "failed: check the device",
    closed: "has been closed",
  };
  return new DiskError(kind, `simulated disk of ${name} ${texts[kind]}`);
}

function hashAll(operations: readonly DiskOperation[]): number {
  let hash = operations.length;
  for (const { key, value } of operations) {
    hash = hashBytes(key, hash ^ (value ? 1 : 2));
    if (value) hash = hashBytes(value, hash);
  }
  return hash;
}
