/** What clients did and were told: the evidence that the checkers of `kv-checks.ts` judge. */
import type { RegisterAction } from "../../services/drill/checker/linearizability.ts";

export interface KeyState {
  readonly key: string;
  /** Undefined: there is no such key. */
  readonly value: string | undefined;
}

export interface RecordedOperation {
  readonly client: string;
  /** World times; `returned` Infinity: the answer never came, it may have been done or not. */
  readonly called: number;
  readonly returned: number;
  /** Of the answer; of a write, the one at which it was done. */
  readonly revision: number | undefined;
  /** What the answer said was there, as of `readAt` or else of `revision`. */
  readonly observed?: readonly KeyState[];
  readonly readAt?: number;
  /** What was written, if it was. */
  readonly written?: readonly KeyState[];
  /** Done exactly once and not at all otherwise: the same for all, told apart for the report. */
  readonly requestId?: string | undefined;
  /** The same operation on one register, for the check that knows nothing of revisions. */
  readonly register?: { readonly key: string; readonly action: RegisterAction };
}

export const never = Number.POSITIVE_INFINITY;
