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
import type { LabelSelector } from "../../../proto/gen/meta.ts";
import { type Fields, FileFields, parseDuration } from "../../client/mod.ts";
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

const file = new FileFields("stage file");

const fieldNames = [
  ...["selector", "namespaces", "startDelay", "runTime", "exitCode", "failureShare"],
  ...["failureExitCode", "stopDelay"],
];

/** YAML or JSON. Throws a StatusError that names the field and its limits. */
export function parseStages(text: string): Stages {
  const [document, ...more] = parseYaml(text);
  if (more.length > 0) throw file.wrong("", `${more.length + 1} documents, not one`);
  const fields = file.object(document, "");
  file.only(fields, "", ["stages"]);
  const stages = fields["stages"];
  if (!Array.isArray(stages) || stages.length === 0 || stages.length > stagesMax) {
    throw file.wrong("stages", `must be a list of 1 to ${stagesMax} stages`);
  }
  return new Stages(stages.map((each, index) => parseStage(each, `stages[${index}]`)));
}

function parseStage(value: unknown, path: string): SelectingStage {
  const fields = file.object(value, path);
  file.only(fields, path, fieldNames);
  const share = fields["failureShare"] ?? 0;
  if (typeof share !== "number" || !(share >= 0 && share <= 1)) {
    throw file.wrong(
      `${path}.failureShare`,
      `${JSON.stringify(share)} is not a number from 0 to 1`,
    );
  }
  return {
    selects: selection(fields, path),
    startDelay: range(fields, path, "startDelay") ?? none,
    runTime: range(fields, path, "runTime"),
    exitCode: file.whole(fields, path, "exitCode", 0, 255) ?? 0,
    failureShare: share,
    failureExitCode: file.whole(fields, path, "failureExitCode", 0, 255) ?? 1,
    stopDelay: range(fields, path, "stopDelay") ?? none,
  };
}

function selection(fields: Fields, path: string): SelectingStage["selects"] {
  const { namespaces } = fields;
  const strings = Array.isArray(namespaces) && namespaces.every((one) => typeof one === "string");
  if (namespaces !== undefined && !strings) {
    throw file.wrong(`${path}.namespaces`, "must be a list of names");
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
  const selector = file.object(fields["selector"], at) as LabelSelector;
  file.only(selector as Fields, at, ["matchLabels", "matchExpressions"]);
  const [problem] = validateLabelSelector(selector, at);
  if (problem !== undefined) throw file.wrong(problem.field, problem.message);
  return selectorOf(selector);
}

/** `2s`, or `100ms-2s`. */
function range(fields: Fields, path: string, name: string): DelayRange | undefined {
  const value = fields[name];
  if (value === undefined) return undefined;
  const at = `${path}.${name}`;
  if (typeof value !== "string") throw file.wrong(at, "must be a duration such as 2s, or 100ms-2s");
  const [first = "", second = first, ...others] = value.split("-");
  if (others.length > 0)
    throw file.wrong(at, `"${value}" is neither a duration nor a range of two`);
  const least = parseDuration(first, `stage file: ${at}`);
  const most = parseDuration(second, `stage file: ${at}`);
  if (least > most || most > millisMax) {
    throw file.wrong(at, `"${value}" must rise, and last ${millisMax / 3_600_000}h at most`);
  }
  return { least, most };
}
