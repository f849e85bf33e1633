/** From a batch of the store to the responses of one watch. */
import type { WatchCreateRequest, WatchResponse } from "../../proto/gen/etcd.ts";
import { WatchCreateRequest_FilterType } from "../../proto/gen/etcd.ts";
import { Code, type StatusError } from "../runtime/status-error.ts";
import {
  type Revision,
  storeErrors,
  type WatchBatch,
  type WatchEvent,
  type WatchRequest,
} from "../store/mod.ts";
import { endOf, orNone, textOf } from "./bytes.ts";
import { revisionOf } from "./convert.ts";
import { wireEvent } from "./convert-answers.ts";
import * as errors from "./errors.ts";
import type { MemberHeader } from "./member-header.ts";

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

/**
 * The batch in responses of at most about `maxBytes`: cut between revisions, and with `fragment`
 * also within one. Every response names the last revision that it completes.
 */
export function* eventResponses(
  header: MemberHeader,
  watchId: bigint,
  batch: WatchBatch,
  options: { readonly fragment: boolean; readonly maxBytes: number },
): Generator<WatchResponse, void> {
  const { events } = batch;
  let start = 0;
  let bytes = 0;
  for (let index = 0; index < events.length; index++) {
    const event = events[index];
    const before = events[index - 1];
    if (event === undefined) break;
    bytes += weightOf(event);
    if (before === undefined || bytes <= options.maxBytes) continue;
    const within = before.kv.modRevision === event.kv.modRevision;
    if (within && !options.fragment) continue;
    yield response(header, watchId, before.kv.modRevision, events.slice(start, index), within);
    start = index;
    bytes = weightOf(event);
  }
  yield response(
    header,
    watchId,
    batch.revision,
    start === 0 ? events : events.slice(start),
    false,
  );
}

function response(
  header: MemberHeader,
  watchId: bigint,
  revision: Revision,
  events: readonly WatchEvent[],
  fragment: boolean,
): WatchResponse {
  return {
    header: header.of(revision),
    watchId,
    events: events.map(wireEvent),
    ...(fragment && { fragment }),
  };
}

/** Bytes on the wire, nearly. */
function weightOf({ kv, previous }: WatchEvent): number {
  const bytes = kv.key.length + kv.value.length + 48;
  return previous === undefined ? bytes : bytes + previous.key.length + previous.value.length + 40;
}
