/** Which level of pod security a namespace asks for, and what a pod has against it. */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type { PodSpec } from "../../../../proto/gen/core.ts";
import type { ObjectMeta } from "../../../../proto/gen/meta.ts";
import { invalid } from "../../../kinds/mod.ts";
import { baselineChecks } from "./baseline.ts";
import { restrictedChecks } from "./restricted.ts";
import { type Check, subjectOf, type Violation } from "./subject.ts";

const levels = ["privileged", "baseline", "restricted"] as const;
type Level = (typeof levels)[number];

/** A level as a release of Kubernetes means it. */
export interface LevelVersion {
  readonly level: Level;
  /** Infinite: `latest`. */
  readonly minor: number;
}

export interface Policy {
  readonly enforce: LevelVersion;
  readonly audit: LevelVersion;
  readonly warn: LevelVersion;
  /** What is wrong with the labels. */
  readonly causes: readonly FieldCause[];
}

const prefix = "pod-security.kubernetes.io";
const latest = Number.POSITIVE_INFINITY;

type Labels = Readonly<Record<string, string>>;

const policies = new WeakMap<Labels, Policy>();
const noLabels: Labels = {};

/** `policyOf`, once for the labels of a cached namespace: they never change, and are asked often. */
export function policyOfCached(labels: Labels = noLabels): Policy {
  const known = policies.get(labels);
  if (known !== undefined) return known;
  const policy = policyOf(labels);
  policies.set(labels, policy);
  return policy;
}

/** A level that is not understood is taken for the strictest one. */
export function policyOf(labels: Labels = noLabels): Policy {
  const causes: FieldCause[] = [];
  const read = (mode: "enforce" | "audit" | "warn"): LevelVersion => {
    const [levelKey, versionKey] = [`${prefix}/${mode}`, `${prefix}/${mode}-version`];
    const [level, version] = [labels[levelKey], labels[versionKey]];
    if (level !== undefined && !isLevel(level)) {
      const detail = `must be one of ${levels.join(", ")}`;
      causes.push(invalid(`metadata.labels[${levelKey}]`, level, detail));
    }
    const minor = version === undefined ? latest : minorOf(version);
    if (minor === undefined) {
      const detail = 'must be "latest" or "v1.x"';
      causes.push(invalid(`metadata.labels[${versionKey}]`, version, detail));
    }
    const known = level === undefined ? "privileged" : isLevel(level) ? level : "restricted";
    return { level: known, minor: minor ?? latest };
  };
  const [enforce, audit, warn] = [read("enforce"), read("audit"), read("warn")];
  // Who enforces a level is warned by it, unless another one is chosen for that.
  const warned = labels[`${prefix}/warn`] === undefined ? stricter(enforce, warn) : warn;
  return { enforce, audit, warn: warned, causes };
}

function stricter(one: LevelVersion, other: LevelVersion): LevelVersion {
  return rankOf(one) > rankOf(other) ? one : other;
}

export function rankOf({ level }: LevelVersion): number {
  return levels.indexOf(level);
}

function isLevel(text: string): text is Level {
  return levels.some((level) => level === text);
}

function minorOf(text: string): number | undefined {
  if (text === "latest") return latest;
  const minor = /^v1\.(0|[1-9]\d{0,4})$/.exec(text)?.[1];
  return minor === undefined ? undefined : Number(minor);
}

/** E.g. `restricted:latest`, `baseline:v1.30`. */
export function levelText({ level, minor }: LevelVersion): string {
  return `${level}:${minor === latest ? "latest" : `v1.${minor}`}`;
}

/** In the order of upstream: the baseline's before those of the restricted level. */
export function violationsOf(
  wanted: LevelVersion,
  metadata: ObjectMeta,
  spec: PodSpec,
): readonly Violation[] {
  if (wanted.level === "privileged") return [];
  const subject = subjectOf(metadata, spec);
  return checksOf(wanted).flatMap((check) => check.run(subject, wanted.minor) ?? []);
}

function checksOf({ level, minor }: LevelVersion): readonly Check[] {
  if (level === "baseline") return baselineChecks;
  const restricted = restrictedChecks.filter(({ since = 0 }) => since <= minor);
  const included = new Set(restricted.flatMap(({ includes = [] }) => includes));
  return [...baselineChecks.filter(({ id }) => !included.has(id)), ...restricted];
}

export function describe(violations: readonly Violation[]): string {
  return violations.map(({ reason, detail }) => `${reason} (${detail})`).join(", ");
}
