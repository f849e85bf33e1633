import { Code, StatusError } from "../runtime/status-error.ts";

/** The two parts of a request id as callers hand it to the store: `<id>` or `<id> <digest>`. */
export interface RequestId {
  /** Under which the answer is remembered. */
  readonly id: string;
  /** Digest of the request as its caller made it; "": the caller gives none. */
  readonly digest: string;
}

export function splitRequestId(text: string): RequestId {
  const space = text.indexOf(" ");
  if (space < 0) return { id: text, digest: "" };
  return { id: text.slice(0, space), digest: text.slice(space + 1) };
}

/** Whether a remembered answer may be given: not when both sides say what they are and differ. */
export function sameRequest(remembered: string, asked: string): boolean {
  return remembered === "" || asked === "" || remembered === asked;
}

/** Refuses a request whose id belongs to another request. */
export function requestIdReused(id: string): StatusError {
  return new StatusError(
    Code.failedPrecondition,
    `request id "${id}" was used for another request: every request needs an id of its own`,
    { reason: "Conflict" },
  );
}
