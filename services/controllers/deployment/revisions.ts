/** How a Deployment's ReplicaSets are told apart, named and numbered. */
import type { Deployment, ReplicaSet } from "../../../proto/gen/apps.ts";
import type { PodTemplateSpec } from "../../../proto/gen/core.ts";

export const hashLabel = "pod-template-hash";
export const revisionAnnotation = "deployment.kubernetes.io/revision";
export const desiredAnnotation = "deployment.kubernetes.io/desired-replicas";
export const maxAnnotation = "deployment.kubernetes.io/max-replicas";

/** Letters that make no words (kubernetes `rand.SafeEncodeString`). */
const alphabet = "bcdfghjklmnpqrstvwxz2456789";

/** Differs when the template does; `collisions` moves on from a name that is taken. */
export function templateHash(template: PodTemplateSpec | undefined, collisions: number): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(`${canonical(template)}#${collisions}`)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  let text = "";
  for (let length = 0; length < 10; length++) {
    text += alphabet[Number(hash % 27n)];
    hash /= 27n;
  }
  return text;
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

/** JSON with sorted keys, without what is absent or empty. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) => {
    if (typeof each !== "object" || each === null || Array.isArray(each)) return each;
    const entries = Object.entries(each).filter(([, field]) => !isEmpty(field));
    return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

function isEmpty(value: unknown): boolean {
  if (value === undefined) return true;
  return Array.isArray(value) && value.length === 0;
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
