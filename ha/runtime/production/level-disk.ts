import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { Level } from "level";
import { assert } from "../assert.ts";
import type { Disk, DiskEntry, DiskError, DiskOperation, DiskRange, Log } from "../types.ts";
import { isJournalFile, type Journal, readJournalHeader } from "./journal.ts";
import { type JournalLimits, journalLimits } from "./journal-limits.ts";
import { type DurablePosition, operationBytes } from "./journal-records.ts";
import {
  type Database,
  encodeMark,
  findOperation,
  LevelApplier,
  markKey,
  sameBytes,
  type WriteGroup,
} from "./level-applier.ts";
import { closedError, toDiskError } from "./level-errors.ts";
import { checkLevelFiles } from "./level-log-check.ts";
import { syncLevelLogs } from "./level-logs.ts";
import { beginJournal, replay } from "./level-replay.ts";

type Done = (error?: DiskError) => void;

interface DiskGroup extends WriteGroup {
  readonly dones: Done[];
}

export interface LevelDiskOptions {
  /** LevelDB's block cache. Default 8 MiB. */
  readonly cacheBytes?: number;
  /** Memory table size; also bounds the log replayed at start. Default 8 MiB. */
  readonly writeBufferBytes?: number;
  readonly journal?: Partial<JournalLimits>;
}

/** A group that has grown this large takes no further write. */
const groupBytesMax = 4 * 1024 * 1024;
/** Bytes per trip to the worker thread of a scan. */
const scanStepBytes = 1024 * 1024;
const scanStepEntries = 1000;

/**
 * Opens, or makes, the LevelDB in `directory` and the journal before it; rejects with a
 * {@link DiskError}. Damage that LevelDB would pass over in silence is looked for first (see
 * `level-log-check.ts`).
 */
export async function openLevelDisk(
  directory: string,
  log: Log,
  options: LevelDiskOptions = {},
): Promise<Disk> {
  try {
    const limits = journalLimits(options.journal);
    const header = await readJournalHeader(directory);
    await checkLevelFiles(directory, header?.durable);
    const database = new Level<Uint8Array, Uint8Array>(directory, {
      keyEncoding: "view",
      valueEncoding: "view",
      cacheSize: options.cacheBytes ?? 8 * 1024 * 1024,
      writeBufferSize: options.writeBufferBytes ?? 8 * 1024 * 1024,
    } as object) as unknown as Database;
    await database.open();
    try {
      const sequence = await replay(database, directory);
      return await LevelDisk.begin(database, directory, log, limits, sequence);
    } catch (error) {
      await database.close();
      throw error;
    }
  } catch (error) {
    throw toDiskError(error, directory);
  }
}

/**
 * A write is done when the journal holds it (`journal.ts`), and goes to LevelDB after that
 * (`level-applier.ts`). At most one group is being journalled; writes called meanwhile gather in
 * the next, which is also the group commit: one durable write serves them all. Until LevelDB has
 * them, `get` finds writes in their groups, and a scan waits. The writer bounds what may be under
 * way: the disk refuses no write, since it promises order and completeness.
 *
 *     write ──► gathering ──► being journalled ──► done ──► applier ──► LevelDB
 *
 * A group larger than a journal file goes to LevelDB alone, and is done when it is durable there.
 */
class LevelDisk implements Disk {
  readonly #database: Database;
  readonly #directory: string;
  readonly #log: Log;
  readonly #journal: Journal;
  readonly #applier: LevelApplier;
  /** The write groups in order; the first may be under way. */
  readonly #groups: DiskGroup[] = [];
  #underWay = false;
  #failure: DiskError | undefined;
  #closing: Promise<void> | undefined;
  #idle: (() => void) | undefined;

  private constructor(
    database: Database,
    directory: string,
    log: Log,
    limits: JournalLimits,
    journal: Journal,
  ) {
    this.#database = database;
    this.#directory = directory;
    this.#log = log;
    this.#journal = journal;
    const failed = (error: unknown): void => this.#failed(error);
    this.#applier = new LevelApplier(database, limits, journal.next - 1, failed);
  }

  static async begin(
    database: Database,
    directory: string,
    log: Log,
    limits: JournalLimits,
    sequence: number,
  ): Promise<LevelDisk> {
    let disk: LevelDisk | undefined;
    const journal = await beginJournal(database, directory, limits, sequence, {
      makeDurable: () => {
        assert(disk, "the journal is full before the first write");
        return disk.#makeDurable();
      },
      failed: (error) => {
        if (disk) disk.#failed(error);
      },
    });
    disk = new LevelDisk(database, directory, log, limits, journal);
    return disk;
  }

  /** `sync` makes no difference: order among all writes is kept by journalling all of them. */
  write(operations: readonly DiskOperation[], _options: { sync: boolean }, done: Done): void {
    const refusal = this.#refusal();
    if (refusal) {
      setImmediate(done, refusal);
      return;
    }
    const group = this.#gatheringGroup();
    for (const operation of operations) group.bytes += operationBytes(operation);
    group.writes.push(operations);
    group.dones.push(done);
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const refusal = this.#refusal();
    if (refusal) throw refusal;
    const pending = findOperation(this.#groups, key) ?? this.#applier.find(key);
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
    this.#afterAll(begin);
  }

  /**
   * LevelDB's own estimates leave out its memory table, which is in its log file. The journal is
   * not counted: what is in it is in LevelDB too, and no deleting would give it back.
   */
  async bytesUsed(): Promise<number> {
    const refusal = this.#refusal();
    if (refusal) throw refusal;
    await this.#allApplied();
    try {
      const names = (await readdir(this.#directory)).filter((name) => !isJournalFile(name));
      const sizes = await Promise.all(names.map((name) => sizeOf(join(this.#directory, name))));
      return sizes.reduce((sum, size) => sum + size, 0);
    } catch (error) {
      throw toDiskError(error, this.#directory);
    }
  }

  async compact(): Promise<void> {
    const refusal = this.#refusal();
    if (refusal) throw refusal;
    await this.#allApplied();
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
      if (!this.#failure) await this.#finishJournal();
    } catch (error) {
      this.#failed(error);
    }
    try {
      await this.#journal.close();
    } finally {
      await this.#database.close().catch((error: unknown) => {
        throw toDiskError(error, this.#directory);
      });
    }
  }

  /** The next start has nothing to replay. */
  async #finishJournal(): Promise<void> {
    await this.#journal.empty();
    const mark = encodeMark({ sequence: this.#applier.newest, clean: true });
    await this.#database.put(markKey, mark, { sync: true });
  }

  #refusal(): DiskError | undefined {
    return this.#failure ?? (this.#closing ? closedError(this.#directory) : undefined);
  }

  #gatheringGroup(): DiskGroup {
    const last = this.#groups.at(-1);
    const lastIsUnderWay = this.#underWay && this.#groups.length === 1;
    if (last && !lastIsUnderWay && last.bytes < groupBytesMax) return last;
    const group = { writes: [], dones: [], applied: [], bytes: 0 };
    this.#groups.push(group);
    // Deferred to the end of this callback: writes called together share one group.
    if (this.#groups.length === 1) queueMicrotask(() => this.#commit());
    return group;
  }

  #commit(): void {
    const group = this.#groups[0];
    if (!group || this.#failure) return;
    this.#underWay = true;
    if (this.#journal.fits(group.bytes)) {
      this.#journal.append(group.writes, group.bytes, (error) => {
        if (error !== undefined) this.#failed(error);
        else if (!this.#failure) this.#journalled(group);
      });
      return;
    }
    this.#writeAround(group).then(
      // Out of the promise: what a `done` throws must end the process, not reject this write.
      () => process.nextTick(() => this.#committed(group, true)),
      (error: unknown) => process.nextTick(() => this.#failed(error)),
    );
  }

  #journalled(group: DiskGroup): void {
    this.#applier.add(group, this.#journal.next - 1);
    this.#committed(group);
  }

  async #writeAround(group: DiskGroup): Promise<void> {
    await this.#journal.skip();
    this.#applier.add(group, this.#journal.next - 1);
    await this.#journal.empty();
  }

  #committed(group: DiskGroup, around = false): void {
    if (this.#failure) return;
    this.#groups.shift();
    this.#underWay = false;
    this.#commit();
    if (this.#groups.length === 0) this.#idle?.();
    // The group went around the journal: LevelDB already has it, so the waiting callers are told.
    if (around) for (const applied of group.applied.splice(0)) applied();
    for (const done of group.dones) done();
  }

  async #makeDurable(): Promise<DurablePosition> {
    const sequence = this.#applier.newest;
    await new Promise<void>((resolve) => this.#applier.afterAll(resolve));
    if (this.#failure) throw this.#failure;
    return { sequence, ...(await syncLevelLogs(this.#directory)) };
  }

  #failed(thrown: unknown): void {
    if (this.#failure) return;
    const error = toDiskError(thrown, this.#directory);
    this.#failure = error;
    this.#log.error("disk write failed; the disk refuses everything from now on", { error });
    const groups = this.#groups.splice(0);
    this.#underWay = false;
    this.#applier.abandon();
    for (const group of groups) for (const applied of group.applied.splice(0)) applied();
    this.#idle?.();
    for (const group of groups) for (const done of group.dones) done(error);
  }

  /** Calls back when LevelDB has every write that was called before, or the disk has failed. */
  #afterAll(callback: () => void): void {
    const last = this.#groups.at(-1);
    if (last) last.applied.push(callback);
    else this.#applier.afterAll(callback);
  }

  async #allApplied(): Promise<void> {
    await new Promise<void>((resolve) => this.#afterAll(resolve));
    if (this.#failure) throw this.#failure;
  }

  async #readPage(range: DiskRange): Promise<DiskEntry[]> {
    const iterator = this.#database.iterator({
      gte: range.start,
      lt: range.end,
      reverse: range.reverse ?? false,
      // One of them may be the journal's mark, which is no caller's business.
      limit: range.limit + 1,
      highWaterMarkBytes: scanStepBytes,
    });
    try {
      const page: DiskEntry[] = [];
      while (page.length < range.limit) {
        const step = await iterator.nextv(Math.min(range.limit - page.length, scanStepEntries));
        if (step.length === 0) break;
        for (const entry of step) if (!sameBytes(entry[0], markKey)) page.push(entry);
      }
      return page;
    } finally {
      await iterator.close();
    }
  }
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
