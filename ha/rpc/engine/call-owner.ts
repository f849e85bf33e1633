/** Types that a session and its calls share, in a file that imports neither. */
import type { ServerUnaryCall } from "@grpc/grpc-js";
import { Code, StatusError } from "../../runtime/status-error.ts";
import type { StreamOwner } from "./foreign-request.ts";

export type AuthContext = ReturnType<ServerUnaryCall<unknown, unknown>["getAuthContext"]>;

/** A call, as its connection sees it. */
export interface CallOwner extends StreamOwner {
  /** Answers the caller with this error, and cancels the handler. */
  abandon(error: StatusError): void;
}

export function deadlinePassed(): StatusError {
  return new StatusError(Code.deadlineExceeded, "the deadline of the call has passed");
}
