/** Observations from the logs of a local cluster: those of its processes, and the journal. */
import { closeSync, fstatSync, openSync, readdirSync, readSync } from "node:fs";
import { basename, join } from "node:path";
import type { JournalEntry } from "../journal.ts";
import { directories } from "../layout.ts";
import type { Gap, Observation, Seen } from "./observations.ts";

/** Of each file its end is read. */
const fileBytesMax = 32 * 1024 * 1024;

/** Undefined: the directory has no logs. */
export function readLogs(dataDirectory: string): Seen | undefined {
  const { logs, journal } = directories(dataDirectory);
  let names: string[];
  try {
    names = readdirSync(logs);
  } catch {
    return undefined;
  }
  const observations: Observation[] = [];
  const gaps: Gap[] = [];
  const read = (file: string, take: (line: Line) => Observation | undefined) => {
    try {
      for (const line of linesOf(file)) {
        const observation = take(line);
        if (observation !== undefined) observations.push(observation);
      }
    } catch (error) {
      gaps.push({ source: basename(file), why: (error as Error).message });
    }
  };
  for (const file of [`${journal}.1`, journal]) {
    if (names.includes(basename(file))) read(file, ofJournal);
  }
  for (const name of names.filter((each) => each.endsWith(".log"))) {
    const process = name.slice(0, -".log".length);
    read(join(logs, name), (line) => ofLog(process, line));
  }
  return { observations, gaps };
}

type Line = Readonly<Record<string, unknown>>;

/** The lines that are JSON objects: what a process prints beside its log is none of it. */
function* linesOf(file: string): Generator<Line> {
  for (const text of tailOf(file).split("\n")) {
    if (!text.startsWith("{")) continue;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      // The last line of a process that was killed while it wrote.
      continue;
    }
    yield value as Line;
  }
}

function tailOf(file: string): string {
  const descriptor = openSync(file, "r");
  try {
    const { size } = fstatSync(descriptor);
    const length = Math.min(size, fileBytesMax);
    const bytes = Buffer.alloc(length);
    readSync(descriptor, bytes, 0, length, size - length);
    return bytes.toString("utf8");
  } finally {
    closeSync(descriptor);
  }
}

export function ofJournal(line: Line): Observation | undefined {
  const { at } = line;
  if (typeof at !== "number") return undefined;
  const entry = line as unknown as JournalEntry;
  const source = "supervisor";
  switch (entry.kind) {
    case "up":
    case "down":
      return { at, source, kind: entry.kind };
    case "start":
      return { at, source, kind: "start", process: entry.name };
    case "exit":
      return { at, source, kind: "exit", process: entry.name, how: entry.how };
    case "calls": {
      const { waits, retries, refusals, suspicions, balancer } = entry;
      return { at, source: balancer, kind: "calls", waits, retries, refusals, suspicions };
    }
    default:
      return undefined;
  }
}

/** `source`: the process whose log it is. */
export function ofLog(source: string, line: Line): Observation | undefined {
  const at = Date.parse(textOf(line["time"]));
  const text = textOf(line["text"]);
  if (!Number.isFinite(at) || text === "") return undefined;
  if (text === "leader changed") {
    const { name, leader, term } = line;
    // Lines of earlier versions have the leader's id alone.
    if (leader !== undefined && typeof name !== "string") return undefined;
    const known = typeof name === "string" ? name : undefined;
    const member = textOf(line["member"]) || source;
    return { at, source, kind: "leader", member, leader: known, term: Number(term) || 0 };
  }
  const told = known[text];
  if (told !== undefined)
    return { at, source, kind: told[0], text: told[1](source, (field) => fieldText(line[field])) };
  const { level } = line;
  if (level !== "warn" && level !== "error") return undefined;
  const { error } = line;
  const why = typeof error === "string" ? `: ${error.split("\n", 1)[0]}` : "";
  return { at, source, kind: "log", text: `${source}: ${text}${why}` };
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function fieldText(value: unknown): string {
  return typeof value === "number" ? String(value) : textOf(value);
}

type Teller = (source: string, of: (field: string) => string) => string;

/** Lines that mean something here although their level is low, by their text. */
const known: Readonly<
  Record<string, readonly ["link" | "lease" | "node" | "slow" | "log", Teller]>
> = {
  "peer link lost": ["link", (source, of) => `${source} lost its link to ${of("peer")}`],
  "the watch cache is filled": ["log", (source) => `${source} serves: its watch cache is filled`],
  "another leads": ["lease", (source, of) => `${source} stands by: ${of("holder")} leads`],
  "a node fell silent": ["node", (source, of) => `${source} hears nothing of ${of("node")}`],
  "a request was slow": [
    "slow",
    (source, of) =>
      `${source}: ${of("verb")} ${of("resource")} took ${of("millis")} ms (${of("code")})`,
  ],
};
