/** What the checks of pod security look at, and the phrases in which they answer. */
import type { Container, PodSpec, SecurityContext } from "../../../../proto/gen/core.ts";
import type { ObjectMeta } from "../../../../proto/gen/meta.ts";

/** Why a pod does not keep to a check. */
export interface Violation {
  /** As it is counted, e.g. `privileged`. */
  readonly reason: string;
  readonly detail: string;
}

export interface Subject {
  readonly metadata: ObjectMeta;
  readonly spec: PodSpec;
  /** Of every sort: init containers, containers, ephemeral containers. */
  readonly containers: readonly Container[];
}

export interface Check {
  readonly level: "baseline" | "restricted";
  /** By which checks are ordered. */
  readonly id: string;
  /** The minor version from which the check holds; default: from the first on. */
  readonly since?: number;
  /** Checks of the baseline that are part of this one. */
  readonly includes?: readonly string[];
  run(subject: Subject, minor: number): Violation | undefined;
}

export function subjectOf(metadata: ObjectMeta, spec: PodSpec): Subject {
  const { initContainers = [], containers = [], ephemeralContainers = [] } = spec;
  return { metadata, spec, containers: [...initContainers, ...containers, ...ephemeralContainers] };
}

export function joinQuoted(values: Iterable<string>): string {
  return [...values].map((value) => JSON.stringify(value)).join(", ");
}

/** Sorted, each once. */
export function joinSorted(values: Iterable<string>): string {
  return joinQuoted([...new Set(values)].sort());
}

export function plural(one: string, count: number): string {
  return count === 1 ? one : `${one}s`;
}

export function containersNamed(containers: readonly Container[]): string {
  const names = containers.map(({ name = "" }) => name);
  return `${plural("container", names.length)} ${joinQuoted(names)}`;
}

type Setting = Pick<
  SecurityContext,
  "seLinuxOptions" | "windowsOptions" | "runAsUser" | "seccompProfile" | "appArmorProfile"
>;

/** Who sets something that it must not, e.g. `pod and container "a"`; undefined: none does. */
export function settersOf(
  { spec, containers }: Subject,
  isBad: (setting: Setting) => boolean,
): string | undefined {
  const bad = containers.filter(({ securityContext = {} }) => isBad(securityContext));
  const setters = isBad(spec.securityContext ?? {}) ? ["pod"] : [];
  if (bad.length > 0) setters.push(containersNamed(bad));
  return setters.length === 0 ? undefined : setters.join(" and ");
}

/** Linux' settings mean nothing to it. */
export function runsOnWindows({ spec }: Subject): boolean {
  return spec.os?.name === "windows";
}
