/** How a Deployment's ReplicaSets are told apart, named and numbered. */
import type { Deployment, ReplicaSet } from "../../../proto/gen/apps.ts";
import type { PodTemplateSpec } from "../../../proto/gen/core.ts";
import { canonical, hashOf } from "../canonical.ts";

export const hashLabel = "pod-template-hash";
export const revisionAnnotation = "deployment.kubernetes.io/revision";
export const desiredAnnotation = "deployment.kubernetes.io/desired-replicas";
export const maxAnnotation = "deployment.kubernetes.io/max-replicas";
/** Revisions that a set had before a rollback gave it a newer one, e.g. `1,3`. */
const historyAnnotation = "deployment.kubernetes.io/revision-history";
const rollbackAnnotation = "deprecated.deployment.rollback.to";
/** Characters of the list of former revisions; the oldest are left out (upstream). */
const historyLengthMax = 2_000;

/** Differs when the template does; `collisions` moves on from a name that is taken. */
export function templateHash(template: PodTemplateSpec | undefined, collisions: number): string {
  return hashOf(template, collisions);
}

export function sameTemplate(set: ReplicaSet, deployment: Deployment): boolean {
  const { metadata, ...rest } = set.spec?.template ?? {};
  const labels = { ...metadata?.labels };
  delete labels[hashLabel];
  return (
    canonical({ ...rest, metadata: { ...metadata, labels } }) ===
    canonical({
      ...deployment.spec?.template,
      metadata: {
        ...deployment.spec?.template?.metadata,
        labels: { ...deployment.spec?.template?.metadata?.labels },
      },
    })
  );
}

export function revisionOf(set: ReplicaSet): number {
  return Number(set.metadata?.annotations?.[revisionAnnotation] ?? 0) || 0;
}

/** Oldest first. */
export function byAge(a: ReplicaSet, b: ReplicaSet): number {
  const [left = "", right = ""] = [a.metadata?.creationTimestamp, b.metadata?.creationTimestamp];
  if (left !== right) return left < right ? -1 : 1;
  return (
    revisionOf(a) - revisionOf(b) || ((a.metadata?.name ?? "") < (b.metadata?.name ?? "") ? -1 : 1)
  );
}

/** Annotations of the Deployment that its ReplicaSets carry too, so that a rollback restores them. */
export function inheritedAnnotations(deployment: Deployment): Record<string, string> {
  const skipped = new Set([
    "kubectl.kubernetes.io/last-applied-configuration",
    revisionAnnotation,
    historyAnnotation,
    desiredAnnotation,
    maxAnnotation,
    rollbackAnnotation,
  ]);
  const entries = Object.entries(deployment.metadata?.annotations ?? {});
  return Object.fromEntries(entries.filter(([key]) => !skipped.has(key)));
}

/**
 * The number of a set that is the current one: higher than those of all old ones. A set that has a
 * lower one, because of a rollback, takes a new one and remembers what it had.
 */
export function numberedAnnotations(
  set: ReplicaSet,
  highestOld: number,
): { readonly revision: number; readonly annotations: Record<string, string> } {
  const before = revisionOf(set);
  if (before > highestOld) {
    return { revision: before, annotations: { [revisionAnnotation]: String(before) } };
  }
  const revision = highestOld + 1;
  const annotations: Record<string, string> = { [revisionAnnotation]: String(revision) };
  if (before > 0) {
    const former = (set.metadata?.annotations?.[historyAnnotation] ?? "").split(",");
    const all = [...former.filter((each) => each !== ""), String(before)];
    while (all.join(",").length > historyLengthMax) all.shift();
    annotations[historyAnnotation] = all.join(",");
  }
  return { revision, annotations };
}

/** Old sets to be forgotten: the oldest beyond the limit, as far as nothing of them is left. */
export function forgettable(old: readonly ReplicaSet[], limit: number): ReplicaSet[] {
  const there = old
    .filter(({ metadata }) => !metadata?.deletionTimestamp)
    .sort((a, b) => revisionOf(a) - revisionOf(b) || byAge(a, b));
  return there
    .slice(0, Math.max(0, there.length - limit))
    .filter(
      ({ metadata, spec, status }) =>
        (spec?.replicas ?? 1) === 0 &&
        (status?.replicas ?? 0) === 0 &&
        (status?.observedGeneration ?? 0) >= (metadata?.generation ?? 0),
    );
}
