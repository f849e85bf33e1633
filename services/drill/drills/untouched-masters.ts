import type { Thresholds } from "../thresholds.ts";

/** No master is struck: clients notice little, and pods elsewhere nothing. */
export const untouchedMasters = {
  writeOutageMillis: 1_000,
  readOutageMillis: 1_000,
  watchOutageMillis: 1_500,
  failedCalls: 0,
  relists: 0,
  elections: 0,
  podsDisturbed: 0,
  containersTwice: 0,
} as const satisfies Thresholds;
