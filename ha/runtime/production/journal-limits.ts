/** Every limit of the journal and of what feeds LevelDB from it. */
import { assert } from "../assert.ts";

export interface JournalLimits {
  /** Most that one of the two journal files holds. */
  readonly journalBytes: number;
  /** A journal file is filled with zeros in steps of this, ahead of what is written. */
  readonly zeroStepBytes: number;
  /** Journalled writes wait this long for further ones before they go to LevelDB. */
  readonly applyDelayMillis: number;
  /** Writes of this many bytes do not wait. */
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
