/** What a client asks to watch, and why it may not. */
import type { WatchCreateRequest } from "../../proto/gen/etcd.ts";
import { WatchCreateRequest_FilterType } from "../../proto/gen/etcd.ts";
import { Code, type StatusError } from "../runtime/status-error.ts";
import { storeErrors, type WatchRequest } from "../store/mod.ts";
import { endOf, orNone, textOf } from "./bytes.ts";
import { revisionOf } from "./convert.ts";
import * as errors from "./errors.ts";

const firstKey = Buffer.of(0);

/** Throws what the watch is refused with. */
export function watchOf(create: WatchCreateRequest): WatchRequest {
  if ((create.startRevision ?? 0n) < 0n) throw storeErrors.compacted();
  const key = create.key?.length ? create.key : firstKey;
  const rangeEnd = endOf(create.rangeEnd);
  const open = rangeEnd?.length === 1 && rangeEnd[0] === 0;
  if (rangeEnd !== undefined && !open && textOf(key) >= textOf(rangeEnd)) {
    throw errors.emptyWatch();
  }
  const filters = (create.filters ?? []).map((filter) =>
    filter === WatchCreateRequest_FilterType.NOPUT ? ("put" as const) : ("delete" as const),
  );
  return {
    key: orNone(key),
    rangeEnd,
    startRevision: revisionOf(create.startRevision),
    previous: create.prevKv === true,
    filters,
  };
}

/** As Go's gRPC prints them. */
const codeNames: Readonly<Partial<Record<Code, string>>> = {
  [Code.invalidArgument]: "InvalidArgument",
  [Code.permissionDenied]: "PermissionDenied",
  [Code.unauthenticated]: "Unauthenticated",
};

/**
 * Why a watch is refused. What authentication says comes in the form in which Go prints an error:
 * by it etcd's client sees that it needs a new token.
 */
export function refusalText({ code, message }: StatusError): string {
  const name = codeNames[code];
  return name === undefined ? message : `rpc error: code = ${name} desc = ${message}`;
}
