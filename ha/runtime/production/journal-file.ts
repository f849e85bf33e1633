/**
 * One file of the journal: written in place, in bytes that the file already has.
 *
 * Where the system knows `O_DSYNC`, a write is durable when it is done, and there is nothing else
 * to make durable: the file does not grow and its blocks are allocated, so the file system's
 * journal is not involved. That is the whole gain over an appended log. Elsewhere a write is
 * followed by `fdatasync`. Zeros are really written, since blocks that are merely allocated change
 * their state at the first write. It happens in steps, ahead of the records: a small member takes
 * little space.
 */
import { close, constants, fdatasync, open as openFile, write } from "node:fs";
import { open, rename } from "node:fs/promises";
import { promisify } from "node:util";
import { assert } from "../assert.ts";
import { processMetrics } from "../metrics.ts";
import type { JournalLimits } from "./journal-limits.ts";
import { encodeHeader, headerSlotBytes, type JournalHeader, slotOf } from "./journal-records.ts";

type Written = (error?: Error) => void;

// Not on Windows.
/** Seconds that a write takes to be durable, from 1 ms on. */
const durations = processMetrics
  .histogram(
    "etcd_disk_wal_fsync_duration_seconds",
    "The latency distributions of fsync called by WAL.",
    Array.from({ length: 14 }, (_, at) => 0.001 * 2 ** at),
  )
  .labels();

const dataSync: number | undefined = constants.O_DSYNC;

/** A new file, never begun: it is there as a whole, or not at all. */
export async function createJournalFile(
  path: string,
  slot: number,
  limits: JournalLimits,
): Promise<void> {
  const draft = `${path}.draft`;
  const handle = await open(draft, "w");
  try {
    const bytes = Buffer.alloc(limits.zeroStepBytes);
    const none = { sequence: 0, logs: [{ log: 0, logBytes: 0 }] };
    const header = { generation: 0, first: 0, replayFrom: 0, durable: none };
    bytes.set(encodeHeader(header), slot * headerSlotBytes);
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(draft, path);
}

export class JournalFile {
  readonly #path: string;
  readonly #descriptor: number;
  readonly #limits: JournalLimits;
  /** The file has so many bytes. */
  #size: number;
  #growing: Promise<void> | undefined;
  #underWay: Promise<void> = Promise.resolve();

  private constructor(path: string, descriptor: number, size: number, limits: JournalLimits) {
    this.#path = path;
    this.#descriptor = descriptor;
    this.#size = size;
    this.#limits = limits;
  }

  static async open(path: string, size: number, limits: JournalLimits): Promise<JournalFile> {
    const flags = constants.O_RDWR | (dataSync ?? 0);
    const descriptor = await promisify(openFile)(path, flags);
    return new JournalFile(path, descriptor, size, limits);
  }

  /** `bytes[0..length)` at `position`; durable when `done` is called. One at a time. */
  write(bytes: Uint8Array, length: number, position: number, done: Written): void {
    const end = position + length;
    if (end > this.#size) {
      assert(end <= this.#limits.journalBytes, `journal write ends at ${end}, beyond the file`);
      this.#grow().then(() => this.write(bytes, length, position, done), done);
      return;
    }
    let finished: () => void = () => {};
    this.#underWay = new Promise((resolve) => {
      finished = resolve;
    });
    const began = performance.now();
    this.#writeFrom(bytes, 0, length, position, (error) => {
      durations.observe((performance.now() - began) / 1_000);
      finished();
      // Half a step ahead, so that no write waits for zeros. A failure is met by the next to wait.
      if (!error && end + this.#limits.zeroStepBytes / 2 > this.#size) {
        this.#grow().catch(() => undefined);
      }
      done(error);
    });
  }

  async writeHeader(header: JournalHeader): Promise<void> {
    const bytes = encodeHeader(header);
    const position = slotOf(header.generation) * headerSlotBytes;
    await new Promise<void>((resolve, reject) => {
      this.write(bytes, bytes.length, position, (error) => (error ? reject(error) : resolve()));
    });
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    await this.#underWay;
    await this.#growing?.catch(() => undefined);
    await promisify(close)(this.#descriptor);
  }

  #writeFrom(bytes: Uint8Array, from: number, to: number, at: number, done: Written): void {
    write(this.#descriptor, bytes, from, to - from, at, (error, written) => {
      if (error) done(error);
      else if (from + written < to) this.#writeFrom(bytes, from + written, to, at + written, done);
      else if (dataSync === undefined)
        fdatasync(this.#descriptor, (failed) => done(failed ?? undefined));
      else done();
    });
  }

  #grow(): Promise<void> {
    this.#growing ??= this.#addZeros().finally(() => {
      this.#growing = undefined;
    });
    return this.#growing;
  }

  async #addZeros(): Promise<void> {
    const { zeroStepBytes, journalBytes } = this.#limits;
    const bytes = Math.min(zeroStepBytes, journalBytes - this.#size);
    if (bytes <= 0) return;
    const handle = await open(this.#path, "r+");
    try {
      const zeros = Buffer.alloc(bytes);
      for (let at = 0; at < bytes; ) {
        at += (await handle.write(zeros, at, bytes - at, this.#size + at)).bytesWritten;
      }
      await handle.datasync();
    } finally {
      await handle.close();
    }
    this.#size += bytes;
  }
}
