/**
 * Selects the rows of a range, at the newest revision or an older one, with etcd's options in
 * etcd's order: read, then filter, then sort, then cut; `count` is taken before the filters.
 * Source: etcd `server/etcdserver/txn` (`executeRange`).
 *
 * The selection can be made in steps of bounded effort, between which other work is done and writes
 * are applied. All rows are of one revision all the same: the current version of a key is an
 * immutable object, and an older one is found by the key's list of modifications, as long as the
 * history is held (`StateMachine.holdHistory`).
 */
import type { RangeQuery } from "./commands.ts";
import { type Entry, Version } from "./entries.ts";
import type { History } from "./history.ts";
import { sortSteps } from "./sort-steps.ts";
import { inRange, type RangeEnd } from "./text.ts";

/** Visiting a key counts one, and one more for so many characters of its value. */
const charactersPerEffort = 256;
/** Reading an older version from disk costs about as much as visiting so many keys. */
export const diskReadEffort = 64;

export interface SelectionOptions {
  /** The revision to which "the newest" refers. */
  readonly newest: number;
  /** When a step ends. Infinite: everything in one step, which may lie within a transaction. */
  readonly effortPerStep: number;
  /** Keys that are treated as absent. */
  readonly hidden?: { readonly start: string; readonly end: RangeEnd } | undefined;
}

/** Rows in the order of the answer. A number stands for a version that is read from disk. */
export class Selection {
  readonly entries: Entry[] = [];
  readonly versions: (Version | number)[] = [];
  /** Keys in the range, whatever the limit and the filters. */
  count = 0;
  /** The limit cut the rows. */
  more = false;
  private readonly history: History;

  constructor(history: History) {
    this.history = history;
  }

  /** Throws a DiskError when an older version cannot be read. */
  versionAt(row: number): Version {
    const version = this.versions[row] as Version | number;
    if (version instanceof Version) return version;
    return this.history.versionOf(this.entries[row] as Entry, version);
  }

  /** Whether the row is read from disk each time. */
  isStored(row: number): boolean {
    return typeof this.versions[row] === "number";
  }

  /** Whether any row is. */
  get hasStored(): boolean {
    return this.versions.some((version) => typeof version === "number");
  }

  cut(limit: number): void {
    this.entries.length = limit;
    this.versions.length = limit;
  }

  /** Puts the rows into the order of these indices. */
  arrange(order: Uint32Array): void {
    const entries = this.entries.slice();
    const versions = this.versions.slice();
    for (let row = 0; row < order.length; row++) {
      this.entries[row] = entries[order[row] as number] as Entry;
      this.versions[row] = versions[order[row] as number] as Version | number;
    }
  }
}

export function* selectSteps(
  history: History,
  query: RangeQuery,
  options: SelectionOptions,
): Generator<void, Selection> {
  const { newest } = options;
  const selection = new Selection(history);
  const inSteps = Number.isFinite(options.effortPerStep);
  const isOld = query.revision !== 0 && query.revision < newest;
  const limit = query.limit > 0 ? query.limit : Number.POSITIVE_INFINITY;
  const wantsAll = filters(query) || query.sortBy !== undefined;
  let enough = wantsAll ? Number.POSITIVE_INFINITY : limit;
  let counted: number | undefined;
  if (!isOld && (query.countOnly || Number.isFinite(enough))) {
    // Before the first step ends: the blocks of keys know how many there are now, not then.
    counted = countNow(history, query, options.hidden);
    if (query.countOnly) {
      selection.count = counted;
      return selection;
    }
  }
  if (query.countOnly) enough = 0;
  // Within a transaction what it has written so far is current, and no revision has that yet.
  const revision = isOld ? query.revision : inSteps ? newest : undefined;
  yield* visitSteps(history, query, options, {
    revision,
    enough,
    mayStop: counted !== undefined,
    selection,
  });
  if (counted !== undefined) selection.count = counted;
  if (query.countOnly) return selection;
  if (query.sortBy !== undefined) yield* sortRows(query, selection, options.effortPerStep);
  const rows = selection.entries.length;
  selection.more = wantsAll ? rows > limit : selection.count > limit;
  if (rows > limit) selection.cut(limit);
  return selection;
}

interface Visit {
  /** Undefined: what is current. */
  readonly revision: number | undefined;
  /** Rows that are wanted. */
  readonly enough: number;
  /** Keys after those need not be counted. */
  readonly mayStop: boolean;
  readonly selection: Selection;
}

function* visitSteps(
  history: History,
  query: RangeQuery,
  { effortPerStep, hidden }: SelectionOptions,
  { revision, enough, mayStop, selection }: Visit,
): Generator<void, void> {
  const { entries, versions } = selection;
  const isFiltered = filters(query);
  // Sorting by a value or a counter needs it in memory; otherwise an old version's revision
  // suffices.
  const keeps = query.sortBy !== undefined && query.sortBy !== "key";
  let from: string | undefined = query.key;
  let effort = 0;
  const visit = (entry: Entry): boolean => {
    if (effort >= effortPerStep) {
      from = entry.key;
      return false;
    }
    effort++;
    if (hidden !== undefined && inRange(entry.key, hidden.start, hidden.end)) return true;
    const mod = revision === undefined ? entry.current?.mod : history.modAt(entry, revision);
    if (mod === undefined) return true;
    if (mayStop && entries.length >= enough) return false;
    selection.count++;
    if (entries.length >= enough) return true;
    const { current } = entry;
    let version: Version | number = mod;
    if (current?.mod === mod) {
      version = current;
      effort += current.value.length / charactersPerEffort;
    } else if (isFiltered || keeps) {
      version = history.versionOf(entry, mod);
      effort += diskReadEffort + version.value.length / charactersPerEffort;
    }
    if (isFiltered && !passes(query, version as Version)) return true;
    entries.push(entry);
    versions.push(keeps || version === current ? version : mod);
    return true;
  };
  while (from !== undefined) {
    const start: string = from;
    from = undefined;
    effort = 0;
    history.entries.visit(start, query.end, visit);
    if (from !== undefined) yield;
  }
}

function countNow(
  { entries }: History,
  { key, end }: RangeQuery,
  hidden: SelectionOptions["hidden"],
): number {
  const count = entries.count(key, end);
  if (hidden === undefined || end === undefined) return count;
  const start = hidden.start > key ? hidden.start : key;
  const until = hidden.end !== undefined && hidden.end < end ? hidden.end : end;
  return start < until ? count - entries.count(start, until) : count;
}

/** Whether only some of the keys in the range are wanted. */
export function filters(query: RangeQuery): boolean {
  return query.minMod + query.maxMod + query.minCreate + query.maxCreate > 0;
}

function passes(query: RangeQuery, version: Version): boolean {
  return (
    (query.maxMod === 0 || version.mod <= query.maxMod) &&
    version.mod >= query.minMod &&
    (query.maxCreate === 0 || version.create <= query.maxCreate) &&
    version.create >= query.minCreate
  );
}

/** Rows that are equal in what they are sorted by stay in ascending order of their keys. */
function* sortRows(
  query: RangeQuery,
  selection: Selection,
  effortPerStep: number,
): Generator<void, void> {
  const { entries, versions } = selection;
  const by = query.sortBy ?? "key";
  if (by === "key") {
    if (!query.descending) return;
    entries.reverse();
    versions.reverse();
    return;
  }
  const sign = query.descending ? -1 : 1;
  const order = yield* sortSteps(
    entries.length,
    (a, b) => {
      const left = (versions[a] as Version)[by];
      const right = (versions[b] as Version)[by];
      return left < right ? -sign : left > right ? sign : 0;
    },
    effortPerStep,
  );
  selection.arrange(order);
}
