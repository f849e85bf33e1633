/**
 * The LevelDB databases of one data directory, as one ordered map.
 *
 * What is written under ever higher keys has a database of its own, a column, by the key's first
 * byte. The tables of a column do not overlap, so LevelDB moves them from level to level as they
 * are; beside keys that are written again and again each one would be merged with all before it.
 *
 *     directory/             all other keys, the journal's mark, and the journal itself
 *     directory/column-L/    the raft log          (`member/log-store.ts`)
 *     directory/column-R/    the store's revisions (`store/layout.ts`)
 *
 * A batch is not atomic over several databases: the journal makes it so, for its replay writes all
 * of it again.
 */
import type { Stats } from "node:fs";
import { access, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ClassicLevel } from "classic-level";
import { Level } from "level";
import type { DiskEntry, DiskOperation, DiskRange } from "../types.ts";
import { isJournalFile } from "./journal.ts";
import type { DurablePosition, LogPosition } from "./journal-records.ts";
import { corrupt } from "./level-errors.ts";
import { checkLevelFiles } from "./level-log-check.ts";
import { syncLevelLogs } from "./level-logs.ts";

/** What `Level` is on Node; its own types name only what browsers have too. */
type Database = ClassicLevel<Uint8Array, Uint8Array>;

/** First bytes of the keys that have a column, ascending. */
export const columnBytes: readonly number[] = [0x4c, 0x52];

export const columnFolders: readonly string[] = columnBytes.map(
  (byte) => `column-${String.fromCharCode(byte)}`,
);

/** Keys of the disk itself, which no caller sees; no caller's key begins like them. */
const ownPrefix = Buffer.from("\xff\xfftrireme ", "latin1");

/** A key of the disk itself. */
export function ownKey(name: string): Uint8Array {
  return Uint8Array.from(Buffer.concat([ownPrefix, Buffer.from(name, "latin1")]));
}

export interface LevelColumnsOptions {
  /** Block cache of each database. */
  readonly cacheBytes: number;
  /** Memory table of each database, and so most of the log that it replays at start. */
  readonly writeBufferBytes: number;
}

/** A table that LevelDB has not written to for so long is taken for finished. */
const writtenMillis = 60_000;

/** Bytes of one trip to the worker thread of a scan. */
const stepBytes = 1024 * 1024;
const stepEntries = 1000;

interface Part {
  readonly database: Database;
  readonly directory: string;
  /** Sizes of its tables that are written to the end: they never change again. */
  readonly tables: Map<string, number>;
}

interface Segment {
  readonly database: Database;
  readonly start: Uint8Array;
  readonly end: Uint8Array;
}

export class LevelColumns {
  readonly #main: Part;
  readonly #columns: readonly Part[];
  readonly #byByte: readonly (Database | undefined)[];

  private constructor(parts: readonly Part[]) {
    const [main, ...columns] = parts as [Part, ...Part[]];
    this.#main = main;
    this.#columns = columns;
    const byByte: (Database | undefined)[] = new Array(256).fill(undefined);
    for (const [index, { database }] of columns.entries()) {
      byByte[columnBytes[index] as number] = database;
    }
    this.#byByte = byByte;
  }

  /**
   * Opens, or makes, the databases. `durable`: of the journal; undefined: there is none. Damage
   * that LevelDB would pass over in silence is looked for first.
   */
  static async open(
    directory: string,
    options: LevelColumnsOptions,
    durable: DurablePosition | undefined,
  ): Promise<LevelColumns> {
    const names = ["", ...columnFolders];
    for (const [index, name] of names.entries()) {
      const position = durable?.logs[index];
      if (name !== "" && position && !(await isThere(join(directory, name, "CURRENT")))) {
        throw corrupt(directory, `${name} is missing, or has no file CURRENT`);
      }
      await checkLevelFiles(directory, name, position);
    }
    const parts = names.map((name): Part => {
      const path = join(directory, name);
      const database = new Level<Uint8Array, Uint8Array>(path, {
        keyEncoding: "view",
        valueEncoding: "view",
        cacheSize: options.cacheBytes,
        writeBufferSize: options.writeBufferBytes,
      } as object) as unknown as Database;
      return { database, directory: path, tables: new Map() };
    });
    try {
      // LevelDB makes no directories above its own.
      await parts[0]?.database.open();
      await Promise.all(parts.slice(1).map(({ database }) => database.open()));
      const columns = new LevelColumns(parts);
      await columns.#gather();
      return columns;
    } catch (error) {
      await closeAll(parts);
      throw error;
    }
  }

  getSync(key: Uint8Array): Uint8Array | undefined {
    return this.#of(key).getSync(key);
  }

  /** In order, as one batch for each database; not atomic over several of them. */
  async write(writes: Iterable<readonly DiskOperation[]>): Promise<void> {
    const batches = new Map<Database, ReturnType<Database["batch"]>>();
    for (const operations of writes) {
      for (const { key, value } of operations) {
        const database = this.#of(key);
        let batch = batches.get(database);
        if (batch === undefined) {
          batch = database.batch();
          batches.set(database, batch);
        }
        if (value) batch.put(key, value);
        else batch.del(key);
      }
    }
    await Promise.all([...batches.values()].map((batch) => batch.write({ sync: false })));
  }

  /** One write, durable when it resolves; of a key that has no column. */
  async writeDurably({ key, value }: DiskOperation): Promise<void> {
    const { database } = this.#main;
    if (value) await database.put(key, value, { sync: true });
    else await database.del(key, { sync: true });
  }

  /** A page as of the moment of the call, without the disk's own keys; no batch may be under way. */
  async read(range: DiskRange): Promise<DiskEntry[]> {
    const segments = this.#segments(range);
    if (range.reverse) segments.reverse();
    // All of them now: an iterator shows its database as it was when it was made.
    const iterators = segments.map(({ database, start, end }) =>
      database.iterator({
        gte: start,
        lt: end,
        reverse: range.reverse ?? false,
        highWaterMarkBytes: stepBytes,
      }),
    );
    try {
      const page: DiskEntry[] = [];
      for (const iterator of iterators) {
        while (page.length < range.limit) {
          const step = await iterator.nextv(Math.min(range.limit - page.length, stepEntries));
          if (step.length === 0) break;
          for (const entry of step) if (!isOwn(entry[0])) page.push(entry);
        }
      }
      return page;
    } finally {
      await Promise.all(iterators.map((iterator) => iterator.close()));
    }
  }

  /** Resolves when all that was written is durable, with the place of each database's log. */
  async sync(): Promise<readonly LogPosition[]> {
    return Promise.all(this.#parts.map(({ directory }) => syncLevelLogs(directory)));
  }

  /**
   * LevelDB's own estimates leave out its memory table, which is in its log file. The journal is
   * not counted: what is in it is in LevelDB too, and no deleting would give it back.
   */
  async bytesUsed(): Promise<number> {
    const sums = await Promise.all(this.#parts.map(bytesOf));
    return sums.reduce((sum, bytes) => sum + bytes, 0);
  }

  async compact(): Promise<void> {
    for (const { database } of this.#parts) {
      await database.compactRange(Uint8Array.of(0), Uint8Array.of(0xff));
    }
  }

  close(): Promise<void> {
    return closeAll(this.#parts);
  }

  get #parts(): readonly Part[] {
    return [this.#main, ...this.#columns];
  }

  #of(key: Uint8Array): Database {
    return this.#byByte[key[0] as number] ?? this.#main.database;
  }

  /** The range, cut where another database goes on with it. */
  #segments({ start, end }: DiskRange): Segment[] {
    const segments: Segment[] = [];
    let from = start;
    const upTo = (database: Database, bound: Uint8Array): void => {
      const to = Buffer.compare(bound, end) < 0 ? bound : end;
      if (Buffer.compare(from, to) >= 0) return;
      segments.push({ database, start: from, end: to });
      from = to;
    };
    for (const [index, byte] of columnBytes.entries()) {
      upTo(this.#main.database, Uint8Array.of(byte));
      upTo((this.#columns[index] as Part).database, Uint8Array.of(byte + 1));
    }
    upTo(this.#main.database, end);
    return segments;
  }

  /**
   * Before there were columns, all keys were in one database. What is still there goes to its
   * column, and is taken away when it is durable there; a crash between has it done again, and
   * does no harm, for nothing else is written before.
   */
  async #gather(): Promise<void> {
    const { database } = this.#main;
    for (const [index, byte] of columnBytes.entries()) {
      const range = { gte: Uint8Array.of(byte), lt: Uint8Array.of(byte + 1) };
      const iterator = database.iterator({ ...range, highWaterMarkBytes: stepBytes });
      const column = this.#columns[index] as Part;
      let found = false;
      try {
        for (;;) {
          const step = await iterator.nextv(stepEntries);
          if (step.length === 0) break;
          found = true;
          await column.database.batch(
            step.map(([key, value]) => ({ type: "put" as const, key, value })),
          );
        }
      } finally {
        await iterator.close();
      }
      if (!found) continue;
      await syncLevelLogs(column.directory);
      await database.clear(range);
    }
  }
}

async function closeAll(parts: readonly Part[]): Promise<void> {
  const results = await Promise.allSettled(parts.map(({ database }) => database.close()));
  for (const result of results) if (result.status === "rejected") throw result.reason;
}

function isOwn(key: Uint8Array): boolean {
  return key[0] === ownPrefix[0] && ownPrefix.equals(key.subarray(0, ownPrefix.length));
}

async function isThere(file: string): Promise<boolean> {
  try {
    await access(file);
    return true;
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return false;
    throw error;
  }
}

async function bytesOf({ directory, tables }: Part): Promise<number> {
  const entries = await readdir(directory, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  const present = new Set(names);
  for (const name of tables.keys()) if (!present.has(name)) tables.delete(name);
  let bytes = 0;
  for (const name of names) {
    if (isJournalFile(name)) continue;
    let size = tables.get(name);
    if (size === undefined) {
      const file = await statOf(join(directory, name));
      size = file?.size ?? 0;
      const written = file !== undefined && Date.now() - file.mtimeMs > writtenMillis;
      if (written && /\.(ldb|sst)$/.test(name)) tables.set(name, size);
    }
    bytes += size;
  }
  return bytes;
}

/** Undefined: LevelDB has deleted it meanwhile. */
async function statOf(file: string): Promise<Stats | undefined> {
  try {
    return await stat(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
