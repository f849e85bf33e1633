/**
 * Joins what was seen into one timeline in plain words, and ends with what happened: who led, how
 * long there was no leader, what calls had to bear, and what recovered it.
 */
import { LeaderStory, type Outage, outageText } from "../../bridge/mod.ts";
import type { CallTroubles } from "../journal.ts";
import type { Observation, Window } from "./observations.ts";

interface TimelineEntry {
  /** Unix ms. */
  readonly at: number;
  readonly source: string;
  readonly kind: Observation["kind"] | "election" | "outage";
  readonly text: string;
}

export interface Explanation {
  readonly timeline: readonly TimelineEntry[];
  /** Times without a leader that lie in the window, in part at least. */
  readonly outages: readonly Outage[];
  readonly calls: CallTroubles;
  /** One sentence or a few. */
  readonly summary: string;
}

/** A timeline is for people: beyond this, what only informs is left out. */
const entriesMax = 2_000;

/** `ended`: the window's end is the present, so what is open lasts. */
export function explain(all: readonly Observation[], window: Window): Explanation {
  const sorted = all.toSorted((a, b) => a.at - b.at);
  const watched = new Watched();
  const entries: TimelineEntry[] = [];
  const outages: Outage[] = [];
  let calls: CallTroubles = { waits: 0, retries: 0, refusals: 0, suspicions: 0 };
  const inside = (at: number) => at >= window.from && at <= window.to;
  for (const observation of sorted) {
    const { at, source } = observation;
    if (at > window.to) break;
    const { election, outage } = watched.see(observation);
    const say = (kind: TimelineEntry["kind"], text: string | undefined, from = source) => {
      if (text !== undefined && inside(at)) entries.push({ at, source: from, kind, text });
    };
    say(observation.kind, watched.textOf(observation));
    if (election !== undefined) say("election", election.text, election.leader);
    if (outage !== undefined && at >= window.from) {
      outages.push(outage);
      say("outage", outageText(outage), "masters");
    }
    if (observation.kind === "calls" && inside(at)) calls = sum(calls, observation);
  }
  const { open } = watched;
  if (open !== undefined) outages.push(open);
  const timeline = bounded(withoutRepeats(entries));
  return { timeline, outages, calls, summary: summaryOf(timeline, outages, calls, watched.leader) };
}

function sum(a: CallTroubles, b: CallTroubles): CallTroubles {
  return {
    waits: a.waits + b.waits,
    retries: a.retries + b.retries,
    refusals: a.refusals + b.refusals,
    suspicions: a.suspicions + b.suspicions,
  };
}

/** Who leads, by what a majority of the members say that are not known to have ended. */
class Watched {
  #story = new LeaderStory();
  readonly #known = new Map<
    string,
    { readonly leader: string | undefined; readonly term: number }
  >();
  readonly #dead = new Set<string>();
  /** The supervisor ends the cluster: the ends of its processes are no news. */
  #stopping = false;

  get open(): Outage | undefined {
    return this.#stopping ? undefined : this.#story.open;
  }

  get leader(): string | undefined {
    return this.#leads().leader;
  }

  see(observation: Observation): ReturnType<LeaderStory["observe"]> {
    switch (observation.kind) {
      case "up":
        this.#story = new LeaderStory();
        this.#known.clear();
        this.#dead.clear();
        this.#stopping = false;
        return {};
      case "down":
        this.#stopping = true;
        return {};
      case "start":
        return {};
      case "exit":
        if (this.#stopping) return {};
        this.#story.ended(observation.at, observation.process, observation.how);
        if (!this.#known.has(observation.process)) return {};
        this.#dead.add(observation.process);
        return this.#observe(observation.at);
      case "leader": {
        const { member, leader, term } = observation;
        this.#dead.delete(member);
        this.#known.set(member, { leader, term });
        return this.#stopping ? {} : this.#observe(observation.at);
      }
      default:
        return {};
    }
  }

  /** What the timeline says of it; undefined: nothing. */
  textOf(observation: Observation): string | undefined {
    switch (observation.kind) {
      case "up":
        return "the cluster is started";
      case "down":
        return "the cluster is stopped";
      case "start":
        return undefined;
      case "exit":
        return this.#stopping ? undefined : `${observation.process} ${observation.how}`;
      case "leader": {
        const { member, leader, term } = observation;
        // The election itself is told by what all members say.
        if (leader === member) return undefined;
        const says = leader === undefined ? "knows no leader" : `follows ${leader}`;
        return `${member} ${says} in term ${term}`;
      }
      case "calls":
        return `calls at ${observation.source}: ${callsText(observation)}`;
      default:
        return observation.text;
    }
  }

  #observe(at: number): ReturnType<LeaderStory["observe"]> {
    const { leader, term } = this.#leads();
    return this.#story.observe(at, leader, term);
  }

  #leads(): { readonly leader: string | undefined; readonly term: number } {
    const votes = new Map<string, number>();
    let term = 0;
    for (const [member, known] of this.#known) {
      if (this.#dead.has(member)) continue;
      term = Math.max(term, known.term);
      if (known.leader !== undefined) votes.set(known.leader, (votes.get(known.leader) ?? 0) + 1);
    }
    const majority = Math.floor(this.#known.size / 2) + 1;
    const [leader] = [...votes].find(([, count]) => count >= majority) ?? [];
    return { leader: leader !== undefined && this.#dead.has(leader) ? undefined : leader, term };
  }
}

/** Several processes may log the same, and an Event tells what a condition tells, too. */
function withoutRepeats(entries: readonly TimelineEntry[]): TimelineEntry[] {
  const seen = new Set<string>();
  return entries.filter(({ at, text }) => {
    const key = `${Math.floor(at / 1_000)} ${text}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

const important: ReadonlySet<TimelineEntry["kind"]> = new Set([
  "election",
  "outage",
  "exit",
  "up",
  "down",
  "lease",
  "node",
]);

function bounded(entries: TimelineEntry[]): TimelineEntry[] {
  let excess = entries.length - entriesMax;
  if (excess <= 0) return entries;
  return entries.filter(({ kind }) => important.has(kind) || excess-- <= 0);
}

function callsText({ waits, retries, refusals, suspicions }: CallTroubles): string {
  const counts: readonly (readonly [string, number])[] = [
    ["waited for a master", waits],
    ["sent again", retries],
    ["taken from a silent master", suspicions],
  ];
  const told = counts.filter(([, count]) => count > 0);
  return [...told, ["refused", refusals]].map(([what, count]) => `${what}: ${count}`).join(", ");
}

/** Kinds of entries that tell of a change; links and calls come with one. */
const changes: ReadonlySet<TimelineEntry["kind"]> = new Set([
  "exit",
  "lease",
  "node",
  "pod",
  "event",
  "election",
  "slow",
  "log",
]);

function summaryOf(
  timeline: readonly TimelineEntry[],
  outages: readonly Outage[],
  calls: CallTroubles,
  leader: string | undefined,
): string {
  const trouble = Object.values(calls).some((count) => count > 0);
  const told = trouble
    ? `Calls, in all: ${callsText(calls)}.`
    : "No call had to wait or was refused.";
  if (outages.length > 0)
    return [...outages.map(outageSentence), totalOf(outages), told]
      .filter((text) => text !== "")
      .join(" ");
  const led = leader === undefined ? "" : ` ${leader} led.`;
  if (!trouble && !timeline.some(({ kind }) => changes.has(kind))) {
    return `Nothing happened: there was no time without a leader, and nothing changed.${led} ${told}`;
  }
  return `There was no time without a leader.${led} ${told} What changed is above.`;
}

function outageSentence({
  since,
  until,
  before = "the leader",
  how,
  leader,
  term,
}: Outage): string {
  const at = timeText(since);
  const why = `${before}, which led, ${how ?? "was no longer heard"}`;
  const served = "writes and consistent reads were not served";
  if (until === undefined) {
    return `At ${at} ${why}; since then ${served}, and nothing has recovered it yet.`;
  }
  const recovered =
    leader === before
      ? `${leader} itself recovered it, which came back`
      : `${leader} recovered it, which was elected`;
  const length = millisText(until - since);
  return `At ${at} ${why}; ${served} for ${length}, until ${recovered} in term ${term}.`;
}

function totalOf(outages: readonly Outage[]): string {
  if (outages.length < 2) return "";
  const total = outages.reduce((sum, { since, until }) => sum + (until ?? since) - since, 0);
  return `Together that is ${millisText(total)} in ${outages.length} outages.`;
}

function millisText(millis: number): string {
  return millis < 10_000 ? `${Math.round(millis)} ms` : `${(millis / 1_000).toFixed(1)} s`;
}

/** Of the day, UTC. */
export function timeText(at: number): string {
  return new Date(at).toISOString().slice(11, 23);
}
