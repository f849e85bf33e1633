/** Replays the journal that a crash left behind into LevelDB, then begins a new generation. */

import type { DiskOperation } from "../types.ts";
import {
  checkMark,
  Journal,
  type JournalEvents,
  readJournal,
  readJournalHeader,
} from "./journal.ts";
import type { JournalLimits } from "./journal-limits.ts";
import { decodeRecord, encodeRecord, operationBytes, recordBytes } from "./journal-records.ts";
import { decodeMark, encodeMark, markKey } from "./level-applier.ts";
import { type LevelColumns, ownKey } from "./level-columns.ts";
import { corrupt } from "./level-errors.ts";

/** Bytes of one batch of the replay, which is the work of one moment. */
const replayBatchBytes = 4 * 1024 * 1024;

/** LevelDB's key of a write that goes around the journal. */
const largeKey = ownKey("large write");

/**
 * Keeps a write that no journal file can hold, in one piece and durably, until all of it is durable
 * in its columns: what a crash leaves of it there, {@link replay} makes whole.
 */
export function keepLargeWrite(
  columns: LevelColumns,
  writes: readonly (readonly DiskOperation[])[],
  contentBytes: number,
): Promise<void> {
  const value = Buffer.alloc(recordBytes(contentBytes));
  encodeRecord(value, 0, 0, writes);
  return columns.writeDurably({ key: largeKey, value });
}

export function forgetLargeWrite(columns: LevelColumns): Promise<void> {
  return columns.writeDurably({ key: largeKey });
}

/**
 * Gives LevelDB everything that the journal holds. The directory is this process's alone, for
 * LevelDB is open. A crash meanwhile does no harm: the replay begins again. Resolves with the
 * sequence of the last write that LevelDB holds then.
 */
export async function replay(columns: LevelColumns, directory: string): Promise<number> {
  const header = await readJournalHeader(directory);
  const mark = decodeMark(columns.getSync(markKey));
  const sequence = mark?.sequence ?? 0;
  await finishLargeWrite(columns, directory);
  if (!header) {
    if (!mark || mark.clean) return sequence;
    throw corrupt(directory, "the files journal-0 and journal-1 are missing");
  }
  const records = await readJournal(directory, header);
  checkMark(directory, header, records, sequence);
  let writes: (readonly DiskOperation[])[] = [];
  let bytes = 0;
  for (const { operations } of records) {
    writes.push(operations);
    for (const operation of operations) bytes += operationBytes(operation);
    if (bytes < replayBatchBytes) continue;
    // The mark stays: it may be that of a later record, which LevelDB has already.
    await columns.write(writes);
    writes = [];
    bytes = 0;
  }
  await columns.write(writes);
  return records.at(-1)?.sequence ?? header.first - 1;
}

/** Everything that the journal holds is newer than it. */
async function finishLargeWrite(columns: LevelColumns, directory: string): Promise<void> {
  const kept = columns.getSync(largeKey);
  if (kept === undefined) return;
  const operations = decodeRecord(Buffer.from(kept.buffer, kept.byteOffset, kept.byteLength));
  if (!operations) throw corrupt(directory, "the record of a large write is damaged");
  await columns.write([operations]);
  await columns.sync();
  await forgetLargeWrite(columns);
}

/**
 * Begins the journal after what LevelDB holds, all of which is durable then. The mark is clean
 * until the journal has begun: a crash between may leave none, and none is needed.
 */
export async function beginJournal(
  columns: LevelColumns,
  directory: string,
  limits: JournalLimits,
  sequence: number,
  events: JournalEvents,
): Promise<Journal> {
  const setMark = (clean: boolean): Promise<void> =>
    columns.writeDurably({ key: markKey, value: encodeMark({ sequence, clean }) });
  await setMark(true);
  const durable = { sequence, logs: await columns.sync() };
  const journal = await Journal.begin(directory, durable, limits, events);
  await setMark(false);
  return journal;
}
