/**
 * Ranges, at the newest revision or an older one, with etcd's options and their order: read, then
 * filter, then sort, then cut; `count` is taken before the filters. Source: etcd
 * `server/etcdserver/txn` (`executeRange`).
 */
import { RangeQuery } from "./commands.ts";
import type { Entry, Version } from "./entries.ts";
import * as errors from "./errors.ts";
import type { History } from "./history.ts";
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
  const revision = newest as Revision;
  const { entries } = history;
  if (query.end === undefined && query.revision === 0 && isPlain(query)) {
    const current = entries.get(query.key)?.current;
    if (current === undefined) return { revision, kvs: [], more: false, count: 0 };
    return { revision, kvs: [keyValue(bytesOf(query.key), current)], more: false, count: 1 };
  }
  const old = query.revision !== 0 && query.revision < newest ? query.revision : 0;
  if (query.countOnly) {
    const count = old === 0 ? entries.count(query.key, query.end) : countAt(history, query, old);
    return { revision, kvs: [], more: false, count };
  }
  const found: { entry: Entry; version: Version }[] = [];
  const limit = query.limit > 0 ? query.limit : Number.POSITIVE_INFINITY;
  const wantsAll = selects(query) || query.sortBy !== undefined;
  const enough = wantsAll ? Number.POSITIVE_INFINITY : limit;
  let count = 0;
  if (old === 0) {
    entries.visit(query.key, query.end, (entry) => {
      if (entry.current === undefined) return true;
      if (found.length >= enough) return false;
      found.push({ entry, version: entry.current });
      return true;
    });
    count = found.length < enough ? found.length : entries.count(query.key, query.end);
  } else {
    entries.visit(query.key, query.end, (entry) => {
      const mod = history.modAt(entry, old);
      if (mod === undefined) return true;
      count++;
      if (found.length < enough) found.push({ entry, version: history.versionOf(entry, mod) });
      return true;
    });
  }
  const chosen = selects(query) ? found.filter(({ version }) => selected(query, version)) : found;
  if (query.sortBy !== undefined) sort(query, chosen);
  const more = wantsAll ? chosen.length > limit : count > limit;
  if (chosen.length > limit) chosen.length = limit;
  const kvs = chosen.map(({ entry, version }) =>
    keyValue(bytesOf(entry.key), version, query.keysOnly),
  );
  return { revision, kvs, more, count };
}

/** None of the options that touch a single key. */
function isPlain(query: RangeQuery): boolean {
  return !query.keysOnly && !query.countOnly && !selects(query);
}

function selects(query: RangeQuery): boolean {
  return query.minMod + query.maxMod + query.minCreate + query.maxCreate > 0;
}

function countAt(history: History, query: RangeQuery, revision: number): number {
  let count = 0;
  history.entries.visit(query.key, query.end, (entry) => {
    if (history.modAt(entry, revision) !== undefined) count++;
    return true;
  });
  return count;
}

function selected(query: RangeQuery, version: Version): boolean {
  return (
    (query.maxMod === 0 || version.mod <= query.maxMod) &&
    version.mod >= query.minMod &&
    (query.maxCreate === 0 || version.create <= query.maxCreate) &&
    version.create >= query.minCreate
  );
}

/** Ties stay in ascending key order. */
function sort(query: RangeQuery, found: { entry: Entry; version: Version }[]): void {
  const sign = query.descending ? -1 : 1;
  const by = query.sortBy ?? "key";
  if (by === "key") {
    if (query.descending) found.reverse();
    return;
  }
  found.sort((a, b) => {
    const left = a.version[by];
    const right = b.version[by];
    return left < right ? -sign : left > right ? sign : 0;
  });
}
