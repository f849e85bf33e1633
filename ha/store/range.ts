/**
 * Ranges whose answer is made at once. Which rows belong to it is decided in `selection.ts`; an
 * answer of many rows is made a piece at a time (`range-reads.ts`).
 */
import { assert } from "../runtime/assert.ts";
import { RangeQuery } from "./commands.ts";
import type { Version } from "./entries.ts";
import * as errors from "./errors.ts";
import type { History } from "./history.ts";
import { filters, type Selection, selectSteps } from "./selection.ts";
import { bytesOf, endOf, textOf } from "./text.ts";
import type { KeyValue, RangeRequest, RangeResponse, Revision } from "./types.ts";

const none = new Uint8Array(0);

export function queryOf(request: RangeRequest): RangeQuery {
  const query = new RangeQuery();
  query.key = textOf(request.key);
  if (request.rangeEnd !== undefined) query.end = endOf(request);
  query.revision = request.revision ?? 0;
  query.limit = request.limit ?? 0;
  query.keysOnly = request.keysOnly === true;
  query.countOnly = request.countOnly === true;
  query.sortBy = request.sort?.by;
  query.descending = request.sort?.order === "descending";
  query.minMod = request.minModRevision ?? 0;
  query.maxMod = request.maxModRevision ?? 0;
  query.minCreate = request.minCreateRevision ?? 0;
  query.maxCreate = request.maxCreateRevision ?? 0;
  return query;
}

export function keyValue(key: Uint8Array, version: Version, keysOnly = false): KeyValue {
  return {
    key,
    value: keysOnly ? none : bytesOf(version.value),
    createRevision: version.create as Revision,
    modRevision: version.mod as Revision,
    version: version.version,
    lease: version.lease,
  };
}

/** Throws when a revision cannot be read. */
export function checkRevision(history: History, revision: number, newest: number): void {
  if (revision > newest) throw errors.futureRevision();
  if (revision !== 0 && revision < history.compactRevision) throw errors.compacted();
}

/** `newest`: the revision that the answer names; inside a txn it may be the one being written. */
export function runRange(history: History, query: RangeQuery, newest: number): RangeResponse {
  checkRevision(history, query.revision, newest);
  const only = singleKey(history, query, newest);
  if (only !== undefined) return only;
  const steps = selectSteps(history, query, { newest, effortPerStep: Number.POSITIVE_INFINITY });
  const { value } = steps.next();
  assert(value !== undefined, "a selection without a limit of effort takes one step");
  return answerOf(value, query, newest);
}

/** The answer to the most frequent kind of range; undefined for any other kind. */
export function singleKey(
  history: History,
  query: RangeQuery,
  newest: number,
): RangeResponse | undefined {
  if (query.end !== undefined || query.revision !== 0 || !isPlain(query)) return undefined;
  const revision = newest as Revision;
  const current = history.entries.get(query.key)?.current;
  if (current === undefined) return { revision, kvs: [], more: false, count: 0 };
  return { revision, kvs: [keyValue(bytesOf(query.key), current)], more: false, count: 1 };
}

export function answerOf(selection: Selection, query: RangeQuery, newest: number): RangeResponse {
  const { entries, count, more } = selection;
  const kvs = entries.map(({ key }, at) =>
    keyValue(bytesOf(key), selection.versionAt(at), query.keysOnly),
  );
  return { revision: newest as Revision, kvs, more, count };
}

/** None of the options that touch a single key. */
function isPlain(query: RangeQuery): boolean {
  return !query.keysOnly && !query.countOnly && !filters(query);
}
