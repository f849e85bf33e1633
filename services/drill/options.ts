/** The command line of `npm run drill`, checked before anything is started. */
import { randomInt } from "node:crypto";
import { accessSync, constants, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { refuse, toolArguments, wholeNumber } from "../../ha/runtime/production/tool.ts";
import type { Drill } from "./drill.ts";
import { drills } from "./table.ts";
import { parseLimits, type Thresholds } from "./thresholds.ts";
import type { FaceName } from "./world/world.ts";

const tool = "drill";
const faces = ["api", "rest", "etcd"] as const;
/** A client has one call under way: more than this it cannot make in a second. */
const callsPerClientMax = 500;

export interface DrillOptions {
  readonly kind: "hold";
  readonly drills: readonly Drill[];
  /** All of them, at their shortest lengths, in one cluster. */
  readonly suite: boolean;
  readonly face: FaceName | undefined;
  readonly rate: number;
  readonly clients: number;
  readonly repeat: number;
  readonly seed: number;
  readonly victim: string | undefined;
  readonly limits: Partial<Record<keyof Thresholds, number>>;
  readonly slack: number;
  readonly json: string | undefined;
  readonly html: string | undefined;
  readonly dataDirectory: string;
  /** The data directory was named: its cluster has to be up. */
  readonly named: boolean;
  readonly basePort: number | undefined;
  readonly short: boolean;
  readonly command: string;
}

export type ParsedOptions =
  | DrillOptions
  | { readonly kind: "list" }
  | {
      readonly kind: "judge";
      readonly folder: string;
      readonly json: string | undefined;
      readonly html: string | undefined;
    };

const usage =
  "npm run drill -- NAME | all | judge FOLDER [--repeat 1] [--against api|rest|etcd] " +
  "[--rate 200] [--clients 16] [--json FILE] [--html FILE] [--data-dir .trireme] [--limit NAME=VALUE,…]";

const flags = {
  list: { type: "boolean", default: false, help: "every drill, with a line about each" },
  json: { type: "string", help: "where the report goes as JSON; -: to the output" },
  html: { type: "string", help: "where the report goes as one page" },
  rate: { type: "number", default: 200, help: "calls a second" },
  clients: { type: "number", default: 16, help: "clients, each with one call under way" },
  repeat: { type: "number", default: 1, help: "rounds of fault and recovery" },
  against: { type: "string", help: "which door is used: api, rest or etcd (default: api)" },
  "data-dir": { type: "string", help: "of the running cluster; without one: a throw-away cluster" },
  seed: { type: "number", help: "of what is drawn by chance; printed, to draw the same again" },
  victim: { type: "string", help: "whom to strike instead: a process, or leader or follower" },
  limit: { type: "string", help: "other limits, such as writeOutageMillis=500,relists=1" },
  slack: { type: "number", default: 1, help: "limits of time and elections, times this" },
  "base-port": { type: "number", help: "first port of a throw-away store (default: free ones)" },
  short: { type: "boolean", default: false, help: "the shortest lengths, as `all` has them" },
} as const;

export function parseOptions(args: readonly string[]): ParsedOptions {
  const names = drills.map(({ name }) => name);
  const [first = "", folder = ""] = args;
  if (first === "judge" && folder !== "" && !folder.startsWith("-")) {
    const { values } = toolArguments({ name: tool, usage, flags }, args.slice(2));
    return { kind: "judge", folder: absolute(folder), ...outputsOf(values) };
  }
  if (first === "judge") refuse(tool, "judge: the folder of a drill's evidence is wanted");
  offerNearest(first, [...names, "all", "judge"]);
  const choices = [...names, "all"];
  const { values, choice } = toolArguments({ name: tool, usage, flags, choices }, args);
  if (values.list) return { kind: "list" };
  const { victim, against } = values;
  const face = faces.find((each) => each === against);
  if (against !== undefined && face === undefined) {
    refuse(tool, `flag --against: "${against}" is none of ${faces.join(", ")}`);
  }
  const rate = wholeNumber(tool, "rate", values.rate, 1, 20_000);
  const clients = wholeNumber(tool, "clients", values.clients, 1, 1_024);
  if (rate > clients * callsPerClientMax) {
    const most = `${clients} clients make at most ${clients * callsPerClientMax} calls a second`;
    refuse(tool, `flag --rate: ${rate} is too many: ${most}; raise --clients`);
  }
  const outputs = outputsOf(values);
  if (outputs.html !== undefined && choice === "all") {
    refuse(tool, "flag --html: of all drills each has its page, in the folder of its evidence");
  }
  const basePort = values["base-port"];
  const seed = values.seed ?? randomInt(2 ** 31);
  return {
    kind: "hold",
    drills: choice === "all" ? drills : drills.filter(({ name }) => name === choice),
    suite: choice === "all",
    face,
    rate,
    clients,
    repeat: wholeNumber(tool, "repeat", values.repeat, 1, 1_000),
    seed: wholeNumber(tool, "seed", seed, 0, 2 ** 32),
    victim,
    limits: limitsOf(values.limit),
    slack: wholeNumber(tool, "slack", values.slack, 1, 20),
    ...outputs,
    dataDirectory: absolute(values["data-dir"] ?? ".trireme"),
    named: values["data-dir"] !== undefined,
    basePort: basePort && wholeNumber(tool, "base-port", basePort, 1_024, 65_000),
    short: values.short || choice === "all",
    command: `npm run drill -- ${[choice, ...args.filter((each) => each !== choice)].join(" ")}`,
  };
}

/** Where the report goes; a file that cannot be written ends the program before any fault is set. */
function outputsOf({ json, html }: { json: string | undefined; html: string | undefined }) {
  const file = (flag: string, path: string | undefined) => {
    if (path === undefined) return undefined;
    checkWritable(flag, absolute(path));
    return absolute(path);
  };
  return { json: json === "-" ? json : file("json", json), html: file("html", html) };
}

function limitsOf(text: string | undefined): DrillOptions["limits"] {
  try {
    return text === undefined ? {} : parseLimits(text);
  } catch (error) {
    return refuse(tool, `flag --limit: ${(error as Error).message}`);
  }
}

/** Paths are those of the person who typed them, not of npm. */
function absolute(path: string): string {
  return resolve(process.env["INIT_CWD"] ?? process.cwd(), path);
}

function checkWritable(flag: string, file: string): void {
  try {
    if (statSync(file, { throwIfNoEntry: false })?.isDirectory()) throw new Error("is a directory");
    accessSync(dirname(file), constants.W_OK);
  } catch (error) {
    refuse(tool, `flag --${flag}: ${file} cannot be written: ${(error as Error).message}`);
  }
}

/** A name that is none ends the program, with those that are nearest. */
function offerNearest(word: string, names: readonly string[]): void {
  if (word === "" || word.startsWith("-") || names.includes(word)) return;
  const near = names
    .map((name) => ({ name, distance: distanceOf(word, name) }))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ name }) => name);
  refuse(tool, `no drill is called "${word}"; did you mean ${near.join(", ")}? --list names all`);
}

/** Edits that make one word of the other (Levenshtein). */
function distanceOf(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1] ? 0 : 1;
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + same));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
