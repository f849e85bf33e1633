/** How a Deployment's ReplicaSets are told apart, named and numbered. */
import type { Deployment, ReplicaSet } from "../../../proto/gen/apps.ts";
import type { PodTemplateSpec } from "../../../proto/gen/core.ts";
import { canonical, hashOf } from "../canonical.ts";

export const hashLabel = "pod-template-hash";
export const revisionAnnotation = "deployment.kubernetes.io/revision";
export const desiredAnnotation = "deployment.kubernetes.io/desired-replicas";
export const maxAnnotation = "deployment.kubernetes.io/max-replicas";

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
    desiredAnnotation,
    maxAnnotation,
  ]);
  const entries = Object.entries(deployment.metadata?.annotations ?? {});
  return Object.fromEntries(entries.filter(([key]) => !skipped.has(key)));
}
