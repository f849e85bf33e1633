/**
 * The stage file of hollow nodes: what becomes of the pods that they are given.
 *
 *     stages:
 *       - selector: { matchLabels: { app: batch } }   # absent: every pod
 *         namespaces: [jobs]                          # absent: all namespaces
 *         startDelay: 100ms-2s                        # until its containers run; one time or a range
 *         runTime: 30s                                # until they end; absent: when the pod is deleted
 *         exitCode: 0
 *         failureShare: 0.05                          # so many of the runs end with failureExitCode
 *         failureExitCode: 1
 *         stopDelay: 50ms                             # from the pod's deletion until it is gone
 *
 * The first stage that means a pod holds for it; a pod that none means runs until it is deleted.
 */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { LabelSelector } from "../../../proto/gen/meta.ts";
import { parseDuration } from "../../client/mod.ts";
import { matchesLabels, parseYaml, selectorOf, validateLabelSelector } from "../../kinds/facts.ts";

/** Milliseconds, both ends included. */
export interface DelayRange {
  readonly least: number;
  readonly most: number;
}

export interface Stage {
  readonly startDelay: DelayRange;
  /** Undefined: the containers run until the pod is deleted. */
  readonly runTime: DelayRange | undefined;
  readonly exitCode: number;
  /** 0 to 1. */
  readonly failureShare: number;
  readonly failureExitCode: number;
  readonly stopDelay: DelayRange;
}

interface Described {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

interface SelectingStage extends Stage {
  readonly selects: (pod: Described) => boolean;
}

const none: DelayRange = { least: 0, most: 0 };

const unselected: Stage = {
  startDelay: none,
  runTime: undefined,
  exitCode: 0,
  failureShare: 0,
  failureExitCode: 1,
  stopDelay: none,
};

const stagesMax = 1_000;
/** Of every time in the file; timers take no more. */
const millisMax = 7 * 24 * 3_600_000;

export class Stages {
  readonly #stages: readonly SelectingStage[];

  constructor(stages: readonly SelectingStage[] = []) {
    this.#stages = stages;
  }

  of(pod: Described): Stage {
    return this.#stages.find((stage) => stage.selects(pod)) ?? unselected;
  }
}

type Fields = Readonly<Record<string, unknown>>;

const fieldNames = [
  ...["selector", "namespaces", "startDelay", "runTime", "exitCode", "failureShare"],
  ...["failureExitCode", "stopDelay"],
];

/** YAML or JSON. Throws a StatusError that names the field and its limits. */
export function parseStages(text: string): Stages {
  const [document, ...more] = parseYaml(text);
  if (more.length > 0) throw wrong("", `${more.length + 1} documents, not one`);
  const fields = object(document, "");
  onlyFields(fields, "", ["stages"]);
  const stages = fields["stages"];
  if (!Array.isArray(stages) || stages.length === 0 || stages.length > stagesMax) {
    throw wrong("stages", `must be a list of 1 to ${stagesMax} stages`);
  }
  return new Stages(stages.map((each, index) => parseStage(each, `stages[${index}]`)));
}

function parseStage(value: unknown, path: string): SelectingStage {
  const fields = object(value, path);
  onlyFields(fields, path, fieldNames);
  const share = fields["failureShare"] ?? 0;
  if (typeof share !== "number" || !(share >= 0 && share <= 1)) {
    throw wrong(`${path}.failureShare`, `${JSON.stringify(share)} is not a number from 0 to 1`);
  }
  return {
    selects: selection(fields, path),
    startDelay: range(fields, path, "startDelay") ?? none,
    runTime: range(fields, path, "runTime"),
    exitCode: code(fields, path, "exitCode", 0),
    failureShare: share,
    failureExitCode: code(fields, path, "failureExitCode", 1),
    stopDelay: range(fields, path, "stopDelay") ?? none,
  };
}

function selection(fields: Fields, path: string): SelectingStage["selects"] {
  const { namespaces } = fields;
  const strings = Array.isArray(namespaces) && namespaces.every((one) => typeof one === "string");
  if (namespaces !== undefined && !strings) {
    throw wrong(`${path}.namespaces`, "must be a list of names");
  }
  const named = strings ? new Set(namespaces as string[]) : undefined;
  const labels = selectorIn(fields, path);
  return (pod) =>
    (named === undefined || named.has(pod.namespace)) &&
    (labels === undefined || matchesLabels(labels, pod.labels));
}

function selectorIn(fields: Fields, path: string): ReturnType<typeof selectorOf> | undefined {
  if (fields["selector"] === undefined) return undefined;
  const at = `${path}.selector`;
  const selector = object(fields["selector"], at) as LabelSelector;
  onlyFields(selector as Fields, at, ["matchLabels", "matchExpressions"]);
  const [problem] = validateLabelSelector(selector, at);
  if (problem !== undefined) throw wrong(problem.field, problem.message);
  return selectorOf(selector);
}

/** `2s`, or `100ms-2s`. */
function range(fields: Fields, path: string, name: string): DelayRange | undefined {
  const value = fields[name];
  if (value === undefined) return undefined;
  const at = `${path}.${name}`;
  if (typeof value !== "string") throw wrong(at, "must be a duration such as 2s, or 100ms-2s");
  const [first = "", second = first, ...others] = value.split("-");
  if (others.length > 0) throw wrong(at, `"${value}" is neither a duration nor a range of two`);
  const least = parseDuration(first, `stage file: ${at}`);
  const most = parseDuration(second, `stage file: ${at}`);
  if (least > most || most > millisMax) {
    throw wrong(at, `"${value}" must rise, and last ${millisMax / 3_600_000}h at most`);
  }
  return { least, most };
}

function code(fields: Fields, path: string, name: string, fallback: number): number {
  const value = fields[name] ?? fallback;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 255) {
    return value;
  }
  throw wrong(`${path}.${name}`, `${JSON.stringify(value)} is not a whole number in 0..255`);
}

function object(value: unknown, path: string): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
  throw wrong(path, "must be an object");
}

function onlyFields(fields: Fields, path: string, names: readonly string[]): void {
  for (const name of Object.keys(fields)) {
    if (names.includes(name)) continue;
    const at = path ? `${path}.${name}` : name;
    throw wrong(at, `unknown field; known are ${names.join(", ")}`);
  }
}

function wrong(path: string, problem: string): StatusError {
  const at = path === "" ? "" : ` ${path}:`;
  return new StatusError(Code.invalidArgument, `stage file:${at} ${problem}`);
}
