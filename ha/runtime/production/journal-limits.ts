/** Every limit of the journal and of what feeds LevelDB from it. */
import { assert } from "../assert.ts";

export interface JournalLimits {
  /** Most that one of the two journal files holds. */
  readonly journalBytes: number;
  /** A journal file is filled with zeros in steps of this, ahead of what is written. */
  readonly zeroStepBytes: number;
  /** What is journalled waits this long for company on its way to LevelDB. */
  readonly applyDelayMillis: number;
  /** As much does not wait. */
  readonly applyBytes: number;
}

const defaults: JournalLimits = {
  journalBytes: 16 * 1024 * 1024,
  zeroStepBytes: 1024 * 1024,
  applyDelayMillis: 20,
  applyBytes: 1024 * 1024,
};

/** The smallest file that is worth its header. */
const journalBytesMin = 16 * 1024;

export function journalLimits(chosen: Partial<JournalLimits> = {}): JournalLimits {
  const limits = { ...defaults, ...chosen };
  const { journalBytes, zeroStepBytes } = limits;
  assert(
    Number.isSafeInteger(journalBytes) && journalBytes >= journalBytesMin,
    `journalBytes ${journalBytes} is less than ${journalBytesMin}`,
  );
  assert(
    Number.isSafeInteger(zeroStepBytes) && zeroStepBytes >= journalBytesMin,
    `zeroStepBytes ${zeroStepBytes} is less than ${journalBytesMin}`,
  );
  return { ...limits, zeroStepBytes: Math.min(zeroStepBytes, journalBytes) };
}
