/** Numbers that the evidence gives: outages, losses, elections. Nothing is judged here. */
import type { CallRecord, Evidence, TimelineRecord } from "../evidence.ts";

export interface Round {
  readonly round: number;
  readonly faultAt: number;
  /** When the fault began to be undone; where that never happened, when the load ended. */
  readonly endingAt: number;
  readonly recoveredAt: number | undefined;
  /** Until here an outage counts. */
  readonly until: number;
}

export interface Election {
  readonly t: number;
  readonly term: number;
  readonly leader: string;
  readonly cause: string;
  /** Since the one before was last known to lead. */
  readonly leaderlessMillis: number;
}

export interface Span {
  readonly t: number;
  readonly end: number;
}

export interface Gap extends Span {
  readonly millis: number;
}

export interface Losses {
  readonly lost: readonly string[];
  readonly doubled: readonly string[];
  readonly reordered: readonly string[];
}

export function ofKind<K extends TimelineRecord["kind"]>(
  timeline: readonly TimelineRecord[],
  kind: K,
): Extract<TimelineRecord, { kind: K }>[] {
  return timeline.filter(
    (each): each is Extract<TimelineRecord, { kind: K }> => each.kind === kind,
  );
}

export function roundsOf({ timeline }: Evidence): Round[] {
  const loadEnd = ofKind(timeline, "load").find(({ state }) => state === "ended")?.t;
  const end = loadEnd ?? timeline.at(-1)?.t ?? 0;
  const marks = ofKind(timeline, "round");
  const faults = ofKind(timeline, "fault");
  return marks.flatMap(({ t, round }, i): Round[] => {
    const next = marks[i + 1]?.t ?? end;
    const faultAt = faults.find((fault) => fault.t >= t && fault.t <= next)?.t;
    if (faultAt === undefined) return [];
    const recoveredAt = ofKind(timeline, "recovered").find((each) => each.round === round)?.t;
    const endingAt = ofKind(timeline, "ending").find((each) => each.round === round)?.t ?? end;
    return [{ round, faultAt, endingAt, recoveredAt, until: recoveredAt ?? next }];
  });
}

/** Times in which the machine held up the drill itself, in order. */
export function heldUp({ timeline }: Evidence): Span[] {
  return ofKind(timeline, "held-up").map(({ t, millis }) => ({ t: t - millis, end: t }));
}

/**
 * The longest time within the span in which none of the moments lies, and how much of it the drill
 * could look at, without the times in which it was `blind`.
 */
export function longestGap(
  moments: readonly number[],
  { t, end }: Span,
  blind: readonly Span[] = [],
): Gap {
  let longest: Gap = { t, end: t, millis: 0 };
  let before = t;
  for (const moment of [...moments.filter((each) => each > t && each < end), end]) {
    const whole = { t: before, end: moment };
    if (moment - before > longest.millis) {
      const millis = moment - before - overlap(blind, whole);
      if (millis > longest.millis) longest = { ...whole, millis };
    }
    before = moment;
  }
  return longest;
}

function overlap(spans: readonly Span[], { t, end }: Span): number {
  const within = (span: Span) => Math.max(0, Math.min(span.end, end) - Math.max(span.t, t));
  return spans.reduce((sum, span) => sum + within(span), 0);
}

/** When calls were acknowledged, in order. */
export function acknowledgements(calls: readonly CallRecord[], ops: readonly string[]): number[] {
  return calls
    .flatMap(({ op, code, end }) =>
      ops.includes(op) && code === "OK" && end !== undefined ? [end] : [],
    )
    .sort((a, b) => a - b);
}

/** By watcher, when events arrived. */
export function arrivals({ watches }: Evidence): readonly (readonly number[])[] {
  const all = new Map<string, number[]>();
  for (const line of watches) {
    if (!all.has(line.watcher)) all.set(line.watcher, []);
    if (line.kind === "batch" && line.events.length > 0) all.get(line.watcher)?.push(line.t);
  }
  return [...all.values()];
}

/** Acknowledged writes that are not there, or more than once, or in another order. */
export function losses({ calls, outcome }: Evidence): Losses {
  const written = calls.filter(({ op, code }) => op !== "read" && code === "OK");
  if (outcome === undefined) return { lost: [], doubled: [], reordered: [] };
  const { entries, changes } = outcome;
  const at = new Map<string, number[]>();
  for (const { type, key, value, revision } of changes ?? []) {
    if (type !== "put") continue;
    const known = at.get(`${key}=${value}`);
    if (known) known.push(revision);
    else at.set(`${key}=${value}`, [revision]);
  }
  const lost: string[] = [];
  const doubled: string[] = [];
  const reordered: string[] = [];
  for (const { op, key, value = "", revision } of written) {
    const found = at.get(`${key}=${value}`) ?? [];
    const there =
      op === "create" ? entries[key] === value : changes === undefined || found.length > 0;
    if (!there) lost.push(`${key} = ${value}, acknowledged at revision ${revision}`);
    const [first] = found;
    if (found.length === 1 && revision !== undefined && first !== revision) {
      reordered.push(`${key} = ${value} at revision ${first}, acknowledged at ${revision}`);
    }
  }
  for (const [what, revisions] of at) {
    if (revisions.length > 1) doubled.push(`${what} at revisions ${revisions.join(", ")}`);
  }
  for (const [client, own] of Map.groupBy(written, (call) => call.client)) {
    let before = 0;
    for (const { key, revision = 0 } of own.toSorted((a, b) => a.t - b.t)) {
      if (revision <= before) {
        reordered.push(`${client} wrote ${key} at revision ${revision}, after one at ${before}`);
      }
      before = revision;
    }
  }
  return { lost, doubled, reordered };
}

/** Which fault came this long before, and so may be the cause. */
const causeMillisMax = 8_000;

/** Changes of leader, from the first fault on. */
export function electionsOf({ timeline }: Evidence): Election[] {
  const faults = timeline.filter(({ kind }) => kind === "fault" || kind === "undone");
  const statuses = ofKind(timeline, "status").filter(({ leads }) => leads);
  const elections: Election[] = [];
  let leader: { readonly name: string; readonly term: number; t: number } | undefined;
  for (const { t, name, term } of statuses) {
    if (leader !== undefined && term > leader.term) {
      const before = faults.findLast((fault) => fault.t <= t && t - fault.t <= causeMillisMax);
      const cause = before && nameOfFault(before, timeline);
      const silentSince = Math.max(leader.t, before?.kind === "fault" ? before.t : 0);
      elections.push({
        t,
        term,
        leader: name,
        cause: cause ?? `${leader.name} lost the lead without a fault`,
        leaderlessMillis: Math.max(0, Math.round(t - silentSince)),
      });
    }
    if (leader === undefined || term > leader.term) leader = { name, term, t };
    else if (term === leader.term) leader.t = t;
  }
  return elections;
}

/** Terms in which more than one member said that it led. */
export function doubleLeaders({ timeline }: Evidence): string[] {
  const byTerm = new Map<number, string>();
  const found = new Set<string>();
  for (const { leads, term, name } of ofKind(timeline, "status")) {
    if (!leads) continue;
    const first = byTerm.get(term);
    if (first === undefined) byTerm.set(term, name);
    else if (first !== name) found.add(`${name} led in term ${term} as well as ${first}`);
  }
  return [...found];
}

function nameOfFault(record: TimelineRecord, timeline: readonly TimelineRecord[]): string {
  if (record.kind === "fault") return record.name;
  if (record.kind !== "undone") return "";
  const fault = ofKind(timeline, "fault").find(({ id }) => id === record.id);
  return `the end of: ${fault?.name ?? "a fault"}`;
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
}
