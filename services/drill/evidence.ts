/**
 * What a drill leaves behind: a folder with the plan, the history of every call, what the watchers
 * saw, and the timeline, each line of JSON by itself. The verdict is made from these files alone,
 * so that it can be made again: `npm run drill -- judge FOLDER`.
 *
 * Times `t` are milliseconds since `plan.startMs`.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Thresholds } from "./thresholds.ts";
import type { FaceName, Role } from "./world/world.ts";

const evidenceVersion = 1;

export interface Plan {
  readonly version: typeof evidenceVersion;
  readonly name: string;
  readonly summary: string;
  /** The command line that repeats the drill. */
  readonly command: string;
  readonly seed: number;
  /** Begins every value that this run has written. */
  readonly run: string;
  readonly startMs: number;
  readonly world: "cluster" | "store";
  readonly face: FaceName;
  readonly rate: number;
  readonly clients: number;
  readonly repeat: number;
  readonly thresholds: Thresholds;
  /** A limit that was given on the command line. */
  readonly overridden: readonly string[];
  readonly pods: boolean;
}

/** `create`: of a key of its own; `write` and `read`: of one of the registers. */
export interface CallRecord {
  readonly op: "create" | "write" | "read";
  readonly client: string;
  readonly key: string;
  /** Written, or read; absent: nothing is there. */
  readonly value?: string | undefined;
  /** When it was due, begun and answered; without `end` the answer never came. */
  readonly due: number;
  readonly t: number;
  readonly end?: number | undefined;
  readonly revision?: number | undefined;
  /** `OK`, or the code and words of the last attempt. */
  readonly code: string;
  readonly error?: string | undefined;
  /** Codes of the attempts before the last. */
  readonly retries?: readonly string[] | undefined;
}

export type WatchRecordLine =
  | {
      readonly kind: "session";
      readonly watcher: string;
      readonly t: number;
      readonly start: number;
    }
  | {
      readonly kind: "batch";
      readonly watcher: string;
      readonly t: number;
      readonly revision: number;
      readonly events: readonly SeenChange[];
    }
  | { readonly kind: "broken"; readonly watcher: string; readonly t: number; readonly why: string }
  | { readonly kind: "relist"; readonly watcher: string; readonly t: number };

export interface SeenChange {
  readonly revision: number;
  readonly type: "put" | "delete";
  readonly key: string;
  readonly value: string;
}

export type TimelineRecord =
  | { readonly kind: "load"; readonly t: number; readonly state: "began" | "ended" }
  | { readonly kind: "round"; readonly t: number; readonly round: number }
  | {
      readonly kind: "victim";
      readonly t: number;
      readonly name: string;
      /** What it had to be, and what it was when it was struck. */
      readonly wanted: "leader" | "follower" | Role;
      readonly was: string;
    }
  | { readonly kind: "fault"; readonly t: number; readonly id: number; readonly name: string }
  | { readonly kind: "undone"; readonly t: number; readonly id: number }
  /** From here to its end no write may be acknowledged. */
  | { readonly kind: "silence"; readonly t: number; readonly end: number }
  /** The fault has been held for long enough, and is undone from here on. */
  | { readonly kind: "ending"; readonly t: number; readonly round: number }
  | { readonly kind: "recovered"; readonly t: number; readonly round: number }
  | { readonly kind: "failure"; readonly t: number; readonly text: string }
  | { readonly kind: "interrupted"; readonly t: number }
  /** The drill itself did not come to run for so long before `t`: it could not see an answer. */
  | { readonly kind: "held-up"; readonly t: number; readonly millis: number }
  | { readonly kind: "fact"; readonly t: number; readonly name: string; readonly value: number }
  | {
      readonly kind: "status";
      readonly t: number;
      readonly name: string;
      readonly leads: boolean;
      readonly leader: boolean;
      readonly term: number;
      readonly revision: number;
      readonly applied: number;
      readonly commit: number;
    }
  | { readonly kind: "silent"; readonly t: number; readonly name: string };

/** What the store said in the end. */
export interface Outcome {
  /** Where the watchers began, and what there was last. */
  readonly fromRevision: number;
  readonly toRevision: number;
  /** Every change in between, in order; absent: the store no longer told all of it. */
  readonly changes?: readonly SeenChange[] | undefined;
  /** Key and value of all that is left, as a list gives it. */
  readonly entries: Readonly<Record<string, string>>;
  /** By member, the hash of all keys at one revision; absent: it did not answer. */
  readonly hashes: Readonly<Record<string, number>>;
}

const files = {
  plan: "plan.json",
  calls: "history.jsonl",
  watches: "watches.jsonl",
  timeline: "timeline.jsonl",
  outcome: "outcome.json",
  report: "report.json",
} as const;

/** Lines kept at most of each kind: what a run of an hour makes at the highest rate fits. */
const linesMax = 5_000_000;

/** Gathers the records of a run, and writes them down at its end. */
export class Recorder {
  readonly startMs = Date.now();
  readonly #origin = performance.now();
  readonly calls: CallRecord[] = [];
  readonly watches: WatchRecordLine[] = [];
  readonly timeline: TimelineRecord[] = [];
  outcome: Outcome | undefined;

  now(): number {
    return Math.round((performance.now() - this.#origin) * 1000) / 1000;
  }

  call(record: CallRecord): void {
    if (this.calls.length < linesMax) this.calls.push(record);
  }

  watch(record: WatchRecordLine): void {
    if (this.watches.length < linesMax) this.watches.push(record);
  }

  mark(record: TimelineRecord): void {
    if (this.timeline.length < linesMax) this.timeline.push(record);
  }

  write(folder: string, plan: Plan): void {
    mkdirSync(folder, { recursive: true });
    const json = (name: string, value: unknown) =>
      writeFileSync(join(folder, name), `${JSON.stringify(value, null, 2)}\n`);
    const lines = (name: string, values: readonly unknown[]) => {
      writeFileSync(join(folder, name), values.map((each) => `${JSON.stringify(each)}\n`).join(""));
    };
    json(files.plan, plan);
    lines(files.calls, this.calls);
    lines(files.watches, this.watches);
    lines(files.timeline, this.timeline);
    if (this.outcome) json(files.outcome, this.outcome);
  }
}

export interface Evidence {
  readonly folder: string;
  readonly plan: Plan;
  readonly calls: readonly CallRecord[];
  readonly watches: readonly WatchRecordLine[];
  readonly timeline: readonly TimelineRecord[];
  readonly outcome: Outcome | undefined;
}

/** Throws an Error that names the file that is missing or damaged. */
export function readEvidence(folder: string): Evidence {
  const plan = readJson<Plan>(folder, files.plan);
  const version: number = plan.version;
  if (version !== evidenceVersion) {
    throw new Error(`${folder}: version ${version}; only ${evidenceVersion} can be judged`);
  }
  return {
    folder,
    plan,
    calls: readLines<CallRecord>(folder, files.calls),
    watches: readLines<WatchRecordLine>(folder, files.watches),
    timeline: readLines<TimelineRecord>(folder, files.timeline),
    outcome: readOutcome(folder),
  };
}

/** A run that was broken off early has none. */
function readOutcome(folder: string): Outcome | undefined {
  try {
    return readJson<Outcome>(folder, files.outcome);
  } catch (thrown) {
    if (/ENOENT/.test(String((thrown as Error).cause))) return undefined;
    throw thrown;
  }
}

function readJson<T>(folder: string, name: string): T {
  try {
    return JSON.parse(readFileSync(join(folder, name), "utf8")) as T;
  } catch (cause) {
    const why = (cause as Error).message;
    throw new Error(`${folder} holds no evidence of a drill: ${name}: ${why}`, { cause });
  }
}

function readLines<T>(folder: string, name: string): T[] {
  const file = join(folder, name);
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    const why = (cause as Error).message;
    throw new Error(`${folder} holds no evidence of a drill: ${name}: ${why}`, { cause });
  }
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines.map((line, i) => {
    try {
      return JSON.parse(line) as T;
    } catch {
      throw new Error(`${file}:${i + 1}: the line is no JSON`);
    }
  });
}
