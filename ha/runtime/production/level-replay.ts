/** Replays the journal that a crash left behind into LevelDB, then begins a new generation. */
import {
  checkMark,
  Journal,
  type JournalEvents,
  readJournal,
  readJournalHeader,
} from "./journal.ts";
import type { JournalLimits } from "./journal-limits.ts";
import { operationBytes } from "./journal-records.ts";
import { type Database, decodeMark, encodeMark, markKey } from "./level-applier.ts";
import { corrupt } from "./level-errors.ts";
import { syncLevelLogs } from "./level-logs.ts";

/** Bytes of one batch of the replay, which is the work of one moment. */
const replayBatchBytes = 4 * 1024 * 1024;

/**
 * Gives LevelDB everything that the journal holds. The directory is this process's alone, for
 * LevelDB is open. A crash meanwhile does no harm: the replay begins again. Resolves with the
 * sequence of the last write that LevelDB holds then.
 */
export async function replay(database: Database, directory: string): Promise<number> {
  const header = await readJournalHeader(directory);
  const mark = decodeMark(database.getSync(markKey));
  const sequence = mark?.sequence ?? 0;
  if (!header) {
    if (!mark || mark.clean) return sequence;
    throw corrupt(directory, "the files journal-0 and journal-1 are missing");
  }
  const records = await readJournal(directory, header);
  checkMark(directory, header, records, sequence);
  let batch = database.batch();
  let bytes = 0;
  for (const record of records) {
    for (const operation of record.operations) {
      if (operation.value) batch.put(operation.key, operation.value);
      else batch.del(operation.key);
      bytes += operationBytes(operation);
    }
    if (bytes < replayBatchBytes) continue;
    // The mark stays: it may be that of a later record, which LevelDB has already.
    await batch.write({ sync: false });
    batch = database.batch();
    bytes = 0;
  }
  await batch.write({ sync: false });
  return records.at(-1)?.sequence ?? header.first - 1;
}

/**
 * Begins the journal after what LevelDB holds, all of which is durable then. The mark is clean
 * until the journal has begun: a crash between may leave none, and none is needed.
 */
export async function beginJournal(
  database: Database,
  directory: string,
  limits: JournalLimits,
  sequence: number,
  events: JournalEvents,
): Promise<Journal> {
  const setMark = (clean: boolean): Promise<void> =>
    database.put(markKey, encodeMark({ sequence, clean }), { sync: true });
  await setMark(true);
  const durable = { sequence, ...(await syncLevelLogs(directory)) };
  const journal = await Journal.begin(directory, durable, limits, events);
  await setMark(false);
  return journal;
}
