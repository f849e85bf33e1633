/**
 * The journal in front of LevelDB: what is in it is durable, whatever LevelDB has made of it yet.
 *
 * An appended log grows, so the file system must commit its own journal at every sync. Here a group
 * of writes is one write in place (`journal-file.ts`), and LevelDB is given the same without sync,
 * beside all other work. Three rules keep every crash sound:
 *
 * 1. Everything is journalled, unsynced writes too, and LevelDB is given nothing that the journal
 * does
 *    not hold durably. So after a crash LevelDB holds some of what the journal holds, and never more.
 * 2. A journal file is used again only when all of it is durable in LevelDB (`level-logs.ts`), and
 *    its new header is durable before its records are overwritten.
 * 3. Replay is of all records from the header's `replayFrom` to the end, in order. Together with 1
 * and
 *    2 that gives exactly the state after the last record: what LevelDB lacks is written, what it has
 *    already is written again, and a newer write is never undone, for there is none.
 *
 * The two files take turns; a generation is one turn of one file:
 *
 *     free ──begin──► current ──full──► held ──durable in LevelDB──► free
 *
 * At most one of them is held. While it is, `replayFrom` is its first record. A full current file
 * waits until the other one is free: so the journal, and what LevelDB lacks, is bounded.
 *
 * LevelDB holds a mark beside the data: the sequence of the newest write that it was given. A mark
 * beyond the end of the journal, or before the durable position, tells that records or files are
 * gone which no crash takes. The damage of a last record that LevelDB has not been given yet looks
 * like a torn write, and is taken for one.
 */
import { open, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { assert } from "../assert.ts";
import type { DiskOperation } from "../types.ts";
import { createJournalFile, JournalFile } from "./journal-file.ts";
import type { JournalLimits } from "./journal-limits.ts";
import {
  type DurablePosition,
  decodeHeader,
  encodeRecord,
  fileOf,
  holdsRecord,
  type JournalHeader,
  type JournalRecord,
  readRecords,
  recordBytes,
  recordsStart,
  slotOf,
} from "./journal-records.ts";
import { corrupt } from "./level-errors.ts";
import { syncDirectory } from "./level-logs.ts";

const names = ["journal-0", "journal-1"] as const;

export const isJournalFile = (name: string): boolean => /^journal-[01](\.draft)?$/.test(name);

/** The header that counts; undefined: there is no journal, or it was never begun. */
export async function readJournalHeader(directory: string): Promise<JournalHeader | undefined> {
  const headers = await Promise.all(names.map((name) => headerOf(directory, name)));
  const [even, odd] = headers;
  for (const [index, header] of headers.entries()) {
    const other = headers[1 - index];
    if (!header && other && other.generation > 0) {
      throw corrupt(directory, `${names[index]} is missing beside ${names[1 - index]}`);
    }
  }
  const newest = even && odd && even.generation > odd.generation ? even : odd;
  return newest && newest.generation > 0 ? newest : undefined;
}

async function headerOf(directory: string, name: string): Promise<JournalHeader | undefined> {
  const blocks = Buffer.alloc(recordsStart);
  try {
    const handle = await open(join(directory, name), "r");
    try {
      await handle.read(blocks, 0, blocks.length, 0);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return;
    throw error;
  }
  const header = decodeHeader(blocks);
  if (!header) throw corrupt(directory, `${name}: damaged header at byte 0`);
  return header;
}

/** Everything that replay needs, in order. Throws a `corrupt` DiskError naming file and offset. */
export async function readJournal(
  directory: string,
  header: JournalHeader,
): Promise<readonly JournalRecord[]> {
  const current = fileOf(header.generation);
  const records: JournalRecord[] = [];
  const other = names[1 - current] ?? "";
  const otherBytes = await readFile(join(directory, other));
  if (holdsRecord(otherBytes, recordsStart, header.generation + 1)) {
    throw corrupt(
      directory,
      `${other}: damaged header at byte 0, with records that it should name`,
    );
  }
  if (header.replayFrom < header.first) {
    const held = contentOf(directory, other, otherBytes);
    const next = held.header.first + held.records.length;
    if (held.header.generation !== header.generation - 1 || next !== header.first) {
      throw corrupt(
        directory,
        `${other}: record ${next} at byte ${held.end} is damaged or missing`,
      );
    }
    for (const record of held.records) records.push(record);
  }
  const name = names[current];
  const content = contentOf(directory, name, await readFile(join(directory, name)));
  for (const record of content.records) records.push(record);
  return records;
}

function contentOf(directory: string, name: string, bytes: Buffer) {
  const header = decodeHeader(bytes);
  if (!header) throw corrupt(directory, `${name}: damaged header at byte 0`);
  const content = readRecords(bytes, header);
  if (content.damaged) {
    throw corrupt(directory, `${name}: damaged record at byte ${content.end}, followed by others`);
  }
  return { header, ...content };
}

type Done = (error?: unknown) => void;

export interface JournalEvents {
  /** Resolves when everything journalled so far is durable in LevelDB. */
  makeDurable(): Promise<DurablePosition>;
  /** Making room has failed: nothing can be written any more. */
  failed(error: unknown): void;
}

export class Journal {
  readonly #files: readonly [JournalFile, JournalFile];
  readonly #limits: JournalLimits;
  readonly #events: JournalEvents;
  #header: JournalHeader;
  /** Where the next record goes. */
  #position = recordsStart;
  #sequence: number;
  #durable: DurablePosition;
  /** Frees the held file; undefined: the other file is free. */
  #freeing: Promise<void> | undefined;
  #buffer = Buffer.alloc(64 * 1024);

  private constructor(
    files: readonly [JournalFile, JournalFile],
    header: JournalHeader,
    limits: JournalLimits,
    events: JournalEvents,
  ) {
    this.#files = files;
    this.#header = header;
    this.#sequence = header.first;
    this.#durable = header.durable;
    this.#limits = limits;
    this.#events = events;
  }

  /** Begins a generation after `durable`: everything that was journalled before must be durable. */
  static async begin(
    directory: string,
    durable: DurablePosition,
    limits: JournalLimits,
    events: JournalEvents,
  ): Promise<Journal> {
    const open = async (index: 0 | 1): Promise<JournalFile> => {
      const path = join(directory, names[index]);
      const found = await stat(path).catch(() => undefined);
      if (!found) await createJournalFile(path, slotOf(index), limits);
      return JournalFile.open(path, found?.size ?? limits.zeroStepBytes, limits);
    };
    const before = await readJournalHeader(directory);
    const files = [await open(0), await open(1)] as const;
    await syncDirectory(directory);
    const first = durable.sequence + 1;
    const generation = before?.generation ?? 0;
    const header = { generation, first, replayFrom: first, durable };
    const journal = new Journal(files, header, limits, events);
    await journal.#begin(first, first);
    return journal;
  }

  /** Sequence of the next record. */
  get next(): number {
    return this.#sequence;
  }

  /** Whether a record whose operations take so many bytes can be journalled at all. */
  fits(contentBytes: number): boolean {
    return recordsStart + recordBytes(contentBytes) <= this.#limits.journalBytes;
  }

  /** Journals one group, as record {@link next}; durable when `done` is called. One at a time. */
  append(writes: readonly (readonly DiskOperation[])[], contentBytes: number, done: Done): void {
    const length = recordBytes(contentBytes);
    if (this.#position + length > this.#limits.journalBytes) {
      this.#turn().then(() => this.append(writes, contentBytes, done), done);
      return;
    }
    if (this.#buffer.length < length)
      this.#buffer = Buffer.alloc(Math.max(length, 2 * this.#buffer.length));
    encodeRecord(this.#buffer, this.#header.generation, this.#sequence, writes);
    const position = this.#position;
    this.#position += length;
    this.#sequence += 1;
    this.#current.write(this.#buffer, length, position, done);
  }

  /**
   * Leaves out the next sequence, for a write that goes to LevelDB alone: everything before is
   * durable there, and no record of before can be replayed over it. To be followed by that write
   * and {@link empty}, before anything else is journalled.
   */
  async skip(): Promise<void> {
    await this.#freeing;
    this.#durable = await this.#events.makeDurable();
    this.#sequence += 1;
    await this.#begin(this.#sequence, this.#sequence);
  }

  /** Everything is durable in LevelDB; the journal ends up empty. */
  async empty(): Promise<void> {
    await this.#freeing;
    this.#durable = await this.#events.makeDurable();
    await this.#begin(this.#sequence, this.#sequence);
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    await this.#freeing?.catch(() => undefined);
    await Promise.all(this.#files.map((file) => file.close()));
  }

  get #current(): JournalFile {
    return this.#files[fileOf(this.#header.generation)];
  }

  /** Goes on in the other file, and has this one freed. */
  async #turn(): Promise<void> {
    await this.#freeing;
    await this.#begin(this.#sequence, this.#header.first);
    this.#freeing = this.#free();
    // The next turn, which awaits the same promise, sees the error as well.
    this.#freeing.catch((error: unknown) => this.#events.failed(error));
  }

  async #free(): Promise<void> {
    this.#durable = await this.#events.makeDurable();
    this.#freeing = undefined;
  }

  async #begin(first: number, replayFrom: number): Promise<void> {
    assert(!this.#freeing, "a journal file is begun that is still needed");
    const generation = this.#header.generation + 1;
    const header = { generation, first, replayFrom, durable: this.#durable };
    await this.#files[fileOf(generation)].writeHeader(header);
    this.#header = header;
    this.#position = recordsStart;
  }
}

/** Throws when LevelDB's mark tells that the journal is not the one that belongs to it. */
export function checkMark(
  directory: string,
  header: JournalHeader,
  records: readonly JournalRecord[],
  mark: number,
): void {
  const end = records.at(-1)?.sequence ?? header.first - 1;
  if (mark > end) {
    const detail = `the journal ends with record ${end}, but LevelDB holds record ${mark}`;
    throw corrupt(directory, detail);
  }
  if (mark < header.durable.sequence) {
    const { sequence } = header.durable;
    throw corrupt(directory, `LevelDB ends with record ${mark}, but was durable up to ${sequence}`);
  }
}
