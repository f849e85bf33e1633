/**
 * The store's failures, with etcd's codes and texts: unmodified etcd clients recognise an error by
 * its text. Source: etcd `api/v3rpc/rpctypes/error.go`.
 */
import { Code, StatusError } from "../runtime/status-error.ts";
import type { DiskError } from "../runtime/types.ts";

/** Each call makes a fresh error, so that its stack is the caller's. */
function error(code: Code, text: string): () => StatusError {
  return () => new StatusError(code, `etcdserver: ${text}`);
}

export const emptyKey = error(Code.invalidArgument, "key is not provided");
/** `ignoreValue` or `ignoreLease` on a key that does not exist; also an operation of no kind. */
export const keyNotFound = error(Code.invalidArgument, "key not found");
export const valueProvided = error(Code.invalidArgument, "value is provided");
export const leaseProvided = error(Code.invalidArgument, "lease is provided");
export const tooManyOperations = error(Code.invalidArgument, "too many operations in txn request");
export const duplicateKey = error(Code.invalidArgument, "duplicate key given in txn request");
export const requestTooLarge = error(Code.invalidArgument, "request is too large");

export const compacted = error(Code.outOfRange, "mvcc: required revision has been compacted");
export const futureRevision = error(
  Code.outOfRange,
  "mvcc: required revision is a future revision",
);
export const noSpace = error(Code.resourceExhausted, "mvcc: database space exceeded");

export const leaseNotFound = error(Code.notFound, "requested lease not found");
export const leaseExists = error(Code.failedPrecondition, "lease already exists");
export const leaseTooLong = error(Code.outOfRange, "too large lease TTL");

export const tooManyRequests = error(Code.resourceExhausted, "too many requests");
export const noLeader = error(Code.unavailable, "no leader");
export const notLeader = error(Code.failedPrecondition, "not leader");
export const leaderChanged = error(Code.unavailable, "leader changed");
export const stopped = error(Code.unavailable, "server stopped");
export const timedOut = error(Code.unavailable, "request timed out");
export const timedOutLeaderFailed = error(
  Code.unavailable,
  "request timed out, possibly due to previous leader failure",
);
export const timedOutConnectionLost = error(
  Code.unavailable,
  "request timed out, possibly due to connection lost",
);
export const corrupt = error(Code.dataLoss, "corrupt cluster");
export const notForLearner = error(Code.unavailable, "rpc not supported for learner");
export const badTransferee = error(Code.failedPrecondition, "bad leader transferee");

export const memberExists = error(Code.failedPrecondition, "member ID already exist");
export const memberNotFound = error(Code.notFound, "member not found");
export const memberNotLearner = error(Code.failedPrecondition, "can only promote a learner member");
export const learnerNotReady = error(
  Code.failedPrecondition,
  "can only promote a learner member which is in sync with leader",
);
export const tooManyLearners = error(
  Code.failedPrecondition,
  "too many learner members in cluster",
);
export const notEnoughStarted = error(
  Code.failedPrecondition,
  "re-configuration failed due to not enough started members",
);

/** A field out of its bounds; names the field, the value and the limit. */
export function invalid(field: string, value: unknown, limit: string): StatusError {
  return new StatusError(
    Code.invalidArgument,
    `etcdserver: ${field} is ${String(value)}, must be ${limit}`,
  );
}

/** The member cannot persist any more: its callers go to another one. */
export function diskFailed(cause: DiskError): StatusError {
  return new StatusError(Code.unavailable, `etcdserver: ${cause.message}`, undefined, { cause });
}
