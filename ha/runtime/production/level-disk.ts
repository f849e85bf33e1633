import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ClassicLevel } from "classic-level";
import { Level } from "level";
import { assert } from "../assert.ts";
import type { Disk, DiskEntry, DiskError, DiskOperation, DiskRange, Log } from "../types.ts";
import { closedError, toDiskError } from "./level-errors.ts";
import { checkLevelFiles } from "./level-log-check.ts";

/** What `Level` is on Node; its own types name only what browsers have too. */
type Database = ClassicLevel<Uint8Array, Uint8Array>;
type Done = (error?: DiskError) => void;

/** Writes that go to LevelDB as one atomic batch. */
interface WriteGroup {
  readonly batch: ReturnType<Database["batch"]>;
  readonly writes: (readonly DiskOperation[])[];
  readonly dones: Done[];
  /** Scans that were called after these writes, and so must see them. */
  readonly scans: (() => void)[];
  sync: boolean;
  bytes: number;
}

export interface LevelDiskOptions {
  /** LevelDB's block cache. Default 8 MiB. */
  readonly cacheBytes?: number;
  /** Memory table size; also bounds the log replayed at start. Default 8 MiB. */
  readonly writeBufferBytes?: number;
}

/** A group that has grown this large takes no further write. */
const groupBytesMax = 4 * 1024 * 1024;
/** Bytes per trip to the worker thread of a scan. */
const scanStepBytes = 1024 * 1024;
const scanStepEntries = 1000;

/**
 * Opens, or makes, the LevelDB in `directory`; rejects with a {@link DiskError}. Damage that
 * LevelDB would pass over in silence is looked for first (see `level-log-check.ts`).
 */
export async function openLevelDisk(
  directory: string,
  log: Log,
  options: LevelDiskOptions = {},
): Promise<Disk> {
  try {
    await checkLevelFiles(directory);
    const database = new Level<Uint8Array, Uint8Array>(directory, {
      keyEncoding: "view",
      valueEncoding: "view",
      cacheSize: options.cacheBytes ?? 8 * 1024 * 1024,
      writeBufferSize: options.writeBufferBytes ?? 8 * 1024 * 1024,
    } as object) as unknown as Database;
    await database.open();
    return new LevelDisk(database, directory, log);
  } catch (error) {
    throw toDiskError(error, directory);
  }
}

/**
 * Native writes run on a thread pool, where two of them may overtake each other. So at most one is
 * under way; writes called meanwhile gather in the next group, which is also the group commit: one
 * fsync serves them all. Until their group is done, `get` finds writes in the groups themselves.
 * What may be under way is bounded by whoever writes: nothing may be refused here, since order and
 * completeness are the whole point.
 */
class LevelDisk implements Disk {
  readonly #database: Database;
  readonly #directory: string;
  readonly #log: Log;
  /** In order; the first may be under way. */
  readonly #groups: WriteGroup[] = [];
  #underWay = false;
  #failure: DiskError | undefined;
  #closing: Promise<void> | undefined;
  #idle: (() => void) | undefined;

  constructor(database: Database, directory: string, log: Log) {
    this.#database = database;
    this.#directory = directory;
    this.#log = log;
  }

  write(operations: readonly DiskOperation[], { sync }: { sync: boolean }, done: Done): void {
    const refusal = this.#refusal();
    if (refusal) {
      setImmediate(done, refusal);
      return;
    }
    const group = this.#gatheringGroup();
    for (const { key, value } of operations) {
      if (value) group.batch.put(key, value);
      else group.batch.del(key);
      group.bytes += key.length + (value?.length ?? 0);
    }
    group.writes.push(operations);
    group.dones.push(done);
    group.sync ||= sync;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const refusal = this.#refusal();
    if (refusal) throw refusal;
    const pending = this.#groups.length > 0 ? this.#findPending(key) : undefined;
    if (pending) return pending.value?.slice();
    try {
      return this.#database.getSync(key);
    } catch (error) {
      throw toDiskError(error, this.#directory);
    }
  }

  scan(
    range: DiskRange,
    done: (error: DiskError | undefined, page: readonly DiskEntry[]) => void,
  ): void {
    assert(
      Number.isInteger(range.limit) && range.limit >= 1,
      `scan limit ${range.limit} is not a positive integer`,
    );
    const begin = (): void => {
      const refusal = this.#refusal();
      if (refusal) {
        setImmediate(done, refusal, []);
        return;
      }
      this.#readPage(range).then(
        // Out of the promise: what the caller throws is the caller's failure, not the scan's.
        (page) => setImmediate(done, undefined, page),
        (error: unknown) => setImmediate(done, toDiskError(error, this.#directory), []),
      );
    };
    const last = this.#groups.at(-1);
    if (last) last.scans.push(begin);
    else begin();
  }

  /** LevelDB's own estimates leave out its memory table, which is in its log file. */
  async bytesUsed(): Promise<number> {
    const refusal = this.#refusal();
    if (refusal) throw refusal;
    try {
      const names = await readdir(this.#directory);
      const sizes = await Promise.all(names.map((name) => sizeOf(join(this.#directory, name))));
      return sizes.reduce((sum, size) => sum + size, 0);
    } catch (error) {
      throw toDiskError(error, this.#directory);
    }
  }

  async compact(): Promise<void> {
    const refusal = this.#refusal();
    if (refusal) throw refusal;
    try {
      await this.#database.compactRange(Uint8Array.of(0), Uint8Array.of(0xff));
    } catch (error) {
      throw toDiskError(error, this.#directory);
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#finish();
    return this.#closing;
  }

  async #finish(): Promise<void> {
    if (this.#groups.length > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    try {
      await this.#database.close();
    } catch (error) {
      throw toDiskError(error, this.#directory);
    }
  }

  #refusal(): DiskError | undefined {
    return this.#failure ?? (this.#closing ? closedError(this.#directory) : undefined);
  }

  #gatheringGroup(): WriteGroup {
    const last = this.#groups.at(-1);
    const lastIsUnderWay = this.#underWay && this.#groups.length === 1;
    if (last && !lastIsUnderWay && last.bytes < groupBytesMax) return last;
    const batch = this.#database.batch();
    const group = { batch, writes: [], dones: [], scans: [], sync: false, bytes: 0 };
    this.#groups.push(group);
    // Deferred to the end of this callback: writes called together share one batch.
    if (this.#groups.length === 1) queueMicrotask(() => this.#commit());
    return group;
  }

  #commit(): void {
    const group = this.#groups[0];
    if (!group) return;
    this.#underWay = true;
    group.batch.write({ sync: group.sync }).then(
      // Out of the promise: what a `done` throws must end the process, not reject this write.
      () => process.nextTick(() => this.#committed(group)),
      (error: unknown) => process.nextTick(() => this.#failed(toDiskError(error, this.#directory))),
    );
  }

  #committed(group: WriteGroup): void {
    this.#groups.shift();
    this.#underWay = false;
    this.#commit();
    for (const begin of group.scans) begin();
    this.#reportIdle();
    for (const done of group.dones) done();
  }

  #failed(error: DiskError): void {
    this.#failure = error;
    this.#log.error("disk write failed; the disk refuses everything from now on", { error });
    const groups = this.#groups.splice(0);
    this.#underWay = false;
    for (const [index, group] of groups.entries()) {
      for (const begin of group.scans) begin();
      // A batch that was never written holds native memory until it is closed.
      if (index > 0) group.batch.close().catch(() => this.#log.debug("batch did not close"));
    }
    this.#reportIdle();
    for (const group of groups) for (const done of group.dones) done(error);
  }

  #reportIdle(): void {
    if (this.#groups.length === 0) this.#idle?.();
  }

  /** Newest first. Linear, and that is right: whoever writes hardly ever reads it back at once. */
  #findPending(key: Uint8Array): DiskOperation | undefined {
    for (let g = this.#groups.length - 1; g >= 0; g--) {
      const writes = this.#groups[g]?.writes ?? [];
      for (let w = writes.length - 1; w >= 0; w--) {
        const operation = writes[w]?.findLast((candidate) => sameBytes(candidate.key, key));
        if (operation) return operation;
      }
    }
    return undefined;
  }

  async #readPage(range: DiskRange): Promise<DiskEntry[]> {
    const iterator = this.#database.iterator({
      gte: range.start,
      lt: range.end,
      reverse: range.reverse ?? false,
      limit: range.limit,
      highWaterMarkBytes: scanStepBytes,
    });
    try {
      const page: DiskEntry[] = [];
      while (page.length < range.limit) {
        const step = await iterator.nextv(Math.min(range.limit - page.length, scanStepEntries));
        if (step.length === 0) break;
        for (const entry of step) page.push(entry);
      }
      return page;
    } finally {
      await iterator.close();
    }
  }
}

/** From the end, where keys of one table differ. */
function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false;
  for (let index = left.length - 1; index >= 0; index--) {
    if (left[index] !== right[index]) return false;
  }
  return true;
}

/** 0 for a file that LevelDB has deleted meanwhile. */
async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0;
    throw error;
  }
}
