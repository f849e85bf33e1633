import type { CallFailure } from "../../ha/rpc/call-failure.ts";
import { Code, type StatusError } from "../../ha/runtime/status-error.ts";

/**
 * Whether a write that failed may be repeated under its request id: no master had begun it, or its
 * answer was lost with the connection. In that case it may have been done; the repetition is then
 * answered from the store's memory.
 */
export function isRepeatable({ code, notBegun, unanswered }: CallFailure): boolean {
  return code === Code.unavailable && (notBegun || unanswered);
}

const askedPauseMillisMax = 60_000;

/**
 * How long an overloaded server asks to be left alone; 0 where it does not. A server that is merely
 * unavailable is not waited for: another one answers at once.
 */
export function askedPauseMillis({ code, detail }: StatusError): number {
  if (code !== Code.resourceExhausted) return 0;
  return Math.min(askedPauseMillisMax, (detail?.retryAfterSeconds ?? 0) * 1000);
}
