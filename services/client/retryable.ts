import type { ServiceError } from "@grpc/grpc-js";
import { Code, type StatusError } from "../../ha/runtime/status-error.ts";

/** No master had begun the call: the server says so, or no connection carried it. */
export function certainlyNotBegun(error: ServiceError): boolean {
  if (error.code !== Code.unavailable) return false;
  return error.metadata?.get("trireme-retry")[0] === "safe" || isConnectionFailure(error);
}

/**
 * grpc-js made this error itself, for no trailers came. A write whose answer was lost this way may
 * have been done; repeated under its request id it is answered from the store's memory.
 */
export function isConnectionFailure(error: ServiceError): boolean {
  return (
    error.code === Code.unavailable && Object.keys(error.metadata?.getMap() ?? {}).length === 0
  );
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
