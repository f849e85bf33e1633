/**
 * What the face refuses by itself, beside the store's errors: etcd's codes and texts. Source: etcd
 * `api/v3rpc/rpctypes/error.go`.
 */
import { Code, StatusError } from "../runtime/status-error.ts";

function error(code: Code, text: string): () => StatusError {
  return () => new StatusError(code, `etcdserver: ${text}`);
}

export const invalidSort = error(Code.invalidArgument, "invalid sort option");
export const peerUrlExists = error(Code.failedPrecondition, "Peer URLs already exists");
export const badPeerUrls = error(Code.invalidArgument, "given member URLs are invalid");
export const noDowngrade = error(Code.failedPrecondition, "no inflight downgrade job");

export const rootUserMissing = error(Code.failedPrecondition, "root user does not exist");
export const rootRoleMissing = error(Code.failedPrecondition, "root user does not have root role");
export const userExists = error(Code.failedPrecondition, "user name already exists");
export const userEmpty = error(Code.invalidArgument, "user name is empty");
export const userNotFound = error(Code.failedPrecondition, "user name not found");
export const roleExists = error(Code.failedPrecondition, "role name already exists");
export const roleNotFound = error(Code.failedPrecondition, "role name not found");
export const roleEmpty = error(Code.invalidArgument, "role name is empty");
export const authFailed = error(
  Code.invalidArgument,
  "authentication failed, invalid user ID or password",
);
export const permissionNotGiven = error(Code.invalidArgument, "permission not given");
export const permissionDenied = error(Code.permissionDenied, "permission denied");
export const roleNotGranted = error(Code.failedPrecondition, "role is not granted to the user");
export const permissionNotGranted = error(
  Code.failedPrecondition,
  "permission is not granted to the role",
);
export const authNotEnabled = error(Code.failedPrecondition, "authentication is not enabled");
export const invalidToken = error(Code.unauthenticated, "invalid auth token");
export const invalidManagement = error(Code.invalidArgument, "invalid auth management");
export const oldAuthRevision = error(Code.invalidArgument, "revision of auth store is old");

/** Auth data that this version cannot read. */
export function corruptAuth(key: string, cause: unknown): StatusError {
  const text = `etcdserver: the auth record ${JSON.stringify(key)} cannot be read`;
  return new StatusError(Code.dataLoss, text, undefined, { cause });
}

/** A field out of its bounds. */
export function tooLarge(field: string, value: number, limit: number, unit: string): StatusError {
  const text = `etcdserver: ${field} has ${value} ${unit}, at most ${limit} are allowed`;
  return new StatusError(Code.invalidArgument, text);
}

/** etcd answers what its lock and election services find wrong without a canonical code. */
export function unknown(text: string): StatusError {
  return new StatusError(Code.unknown, text);
}

/** What etcd's watch streams say; without a prefix, for they come from its storage. */
export const duplicateWatch = () => unknown("mvcc: duplicate watch ID provided on the WatchStream");
export const emptyWatch = () => unknown("mvcc: watcher range is empty");

export function tooManyWatches(limit: number): StatusError {
  const text = `etcdserver: the stream has ${limit} watches already, more are not allowed`;
  return new StatusError(Code.resourceExhausted, text);
}
