import { assert } from "../assert.ts";
import type { Disk, DiskEntry, DiskError, DiskOperation, DiskRange, Log } from "../types.ts";
import { type Journal, readJournalHeader } from "./journal.ts";
import { type JournalLimits, journalLimits } from "./journal-limits.ts";
import { type DurablePosition, operationBytes } from "./journal-records.ts";
import {
  encodeMark,
  findOperation,
  LevelApplier,
  markKey,
  type WriteGroup,
} from "./level-applier.ts";
import { LevelColumns } from "./level-columns.ts";
import { closedError, toDiskError } from "./level-errors.ts";
import { beginJournal, forgetLargeWrite, keepLargeWrite, replay } from "./level-replay.ts";

type Done = (error?: DiskError) => void;

interface DiskGroup extends WriteGroup {
  readonly dones: Done[];
}

export interface LevelDiskOptions {
  /** LevelDB's block cache, of each column (`level-columns.ts`). Default 4 MiB. */
  readonly cacheBytes?: number;
  /** Memory table of each column; also bounds the log replayed at start. Default 4 MiB. */
  readonly writeBufferBytes?: number;
  readonly journal?: Partial<JournalLimits>;
}

/** A group that has grown this large takes no further write. */
const groupBytesMax = 4 * 1024 * 1024;

/**
 * Opens, or makes, the LevelDB in `directory` and the journal before it; rejects with a
 * {@link DiskError}.
 */
export async function openLevelDisk(
  directory: string,
  log: Log,
  options: LevelDiskOptions = {},
): Promise<Disk> {
  try {
    const limits = journalLimits(options.journal);
    const header = await readJournalHeader(directory);
    const sizes = {
      cacheBytes: options.cacheBytes ?? 4 * 1024 * 1024,
      writeBufferBytes: options.writeBufferBytes ?? 4 * 1024 * 1024,
    };
    const columns = await LevelColumns.open(directory, sizes, header?.durable);
    try {
      const sequence = await replay(columns, directory);
      return await LevelDisk.begin(columns, directory, log, limits, sequence);
    } catch (error) {
      await columns.close();
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
 * A group larger than a journal file goes around it, and is done when it is durable in LevelDB.
 */
class LevelDisk implements Disk {
  readonly #columns: LevelColumns;
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
    columns: LevelColumns,
    directory: string,
    log: Log,
    limits: JournalLimits,
    journal: Journal,
  ) {
    this.#columns = columns;
    this.#directory = directory;
    this.#log = log;
    this.#journal = journal;
    const failed = (error: unknown): void => this.#failed(error);
    this.#applier = new LevelApplier(columns, limits, journal.next - 1, failed);
  }

  static async begin(
    columns: LevelColumns,
    directory: string,
    log: Log,
    limits: JournalLimits,
    sequence: number,
  ): Promise<LevelDisk> {
    let disk: LevelDisk | undefined;
    const journal = await beginJournal(columns, directory, limits, sequence, {
      makeDurable: () => {
        assert(disk, "the journal is full before the first write");
        return disk.#makeDurable();
      },
      failed: (error) => {
        if (disk) disk.#failed(error);
      },
    });
    disk = new LevelDisk(columns, directory, log, limits, journal);
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
      return this.#columns.getSync(key);
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
      this.#columns.read(range).then(
        // Out of the promise: what the caller throws is the caller's failure, not the scan's.
        (page) => setImmediate(done, undefined, page),
        (error: unknown) => setImmediate(done, toDiskError(error, this.#directory), []),
      );
    };
    this.#afterAll(begin);
  }

  async bytesUsed(): Promise<number> {
    const refusal = this.#refusal();
    if (refusal) throw refusal;
    await this.#allApplied();
    try {
      return await this.#columns.bytesUsed();
    } catch (error) {
      throw toDiskError(error, this.#directory);
    }
  }

  async compact(): Promise<void> {
    const refusal = this.#refusal();
    if (refusal) throw refusal;
    await this.#allApplied();
    try {
      await this.#columns.compact();
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
      await this.#columns.close().catch((error: unknown) => {
        throw toDiskError(error, this.#directory);
      });
    }
  }

  /** The next start has nothing to replay. */
  async #finishJournal(): Promise<void> {
    await this.#journal.empty();
    const value = encodeMark({ sequence: this.#applier.newest, clean: true });
    await this.#columns.writeDurably({ key: markKey, value });
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
    await keepLargeWrite(this.#columns, group.writes, group.bytes);
    this.#applier.add(group, this.#journal.next - 1);
    await this.#journal.empty();
    await forgetLargeWrite(this.#columns);
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
    return { sequence, logs: await this.#columns.sync() };
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
}
