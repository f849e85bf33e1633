import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";

/** The patch itself is malformed. */
export function badPatch(message: string): StatusError {
  return new StatusError(Code.invalidArgument, message, { reason: "BadRequest" });
}

/** The patch is well formed but does not fit the object as it is. */
export function unappliable(message: string): StatusError {
  return new StatusError(Code.invalidArgument, message, { reason: "Invalid" });
}
