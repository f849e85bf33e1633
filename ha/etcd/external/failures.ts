/**
 * What went wrong with a call to etcd, in etcd's own texts: those of its servers pass unchanged,
 * those of the connection are put into the words that etcd has for them.
 */
import { Code, StatusError } from "../../runtime/status-error.ts";
import { storeErrors } from "../../store/mod.ts";

/** How grpc-js begins to say that a call has never left this process. */
const unsent = ["No connection established", "Name resolution failed"];
const noLeaderText = storeErrors.noLeader().message;

/** The failure of one attempt. */
export function failureOf(thrown: unknown): StatusError {
  const error = StatusError.from(thrown);
  if (error.message.startsWith("etcdserver: ")) return error;
  switch (error.code) {
    case Code.unavailable:
      return unsent.some((text) => error.message.startsWith(text))
        ? because(storeErrors.noLeader(), error)
        : because(storeErrors.timedOutConnectionLost(), error);
    case Code.deadlineExceeded:
      return because(storeErrors.timedOut(), error);
    default:
      return error;
  }
}

function because({ code, message }: StatusError, cause: StatusError): StatusError {
  return new StatusError(code, message, undefined, { cause });
}

/** The cause of the error, for the log. */
export function reasonOf(error: StatusError): string {
  return error.cause instanceof Error ? error.cause.message : error.message;
}

/**
 * Nothing can have been done: the call was not sent, or its member refused it for want of a leader
 * before it looked at it (all calls carry `hasleader`). Such a call may be made again anywhere.
 */
export function nothingDone(error: StatusError): boolean {
  return error.code === Code.unavailable && error.message === noLeaderText;
}

export function unexpectedAnswer(what: string): StatusError {
  return new StatusError(Code.internal, `the etcd cluster answered unexpectedly: ${what}`);
}

export function tooManyWatches(limit: number): StatusError {
  const text = `${limit} watches are open on the etcd cluster, more are not allowed`;
  return new StatusError(Code.resourceExhausted, text);
}

export function unsupportedVersion(address: string, version: string): StatusError {
  return new StatusError(
    Code.failedPrecondition,
    `etcd ${version} at ${address}: 3.4.31, 3.5.13 or newer is needed; older ones may report ` +
      "progress of a watch before its events",
  );
}
