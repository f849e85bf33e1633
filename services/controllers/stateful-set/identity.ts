/** What makes a pod of a StatefulSet this one and no other: name, network name, claims. */
import type { ControllerRevision, StatefulSet } from "../../../proto/gen/apps.ts";
import type { PersistentVolumeClaim, Pod, Volume } from "../../../proto/gen/core.ts";
import { controllerReference } from "../owners.ts";
import { isAvailable, isReady } from "../pods.ts";
import { templateOf } from "../revision-history.ts";

const podNameLabel = "statefulset.kubernetes.io/pod-name";
const podIndexLabel = "apps.kubernetes.io/pod-index";
const revisionLabel = "controller-revision-hash";

export function startOf({ spec }: StatefulSet): number {
  return spec?.ordinals?.start ?? 0;
}

export function isMonotonic({ spec }: StatefulSet): boolean {
  return spec?.podManagementPolicy !== "Parallel";
}

/** Undefined: the name is not one of a pod of the set. */
export function ordinalOf(set: StatefulSet, pod: Pod): number | undefined {
  const prefix = `${set.metadata?.name}-`;
  const { name = "" } = pod.metadata ?? {};
  const text = name.startsWith(prefix) ? name.slice(prefix.length) : "";
  return /^(?:0|[1-9]\d{0,8})$/.test(text) ? Number(text) : undefined;
}

export function revisionNameOf(pod: Pod): string {
  return pod.metadata?.labels?.[revisionLabel] ?? "";
}

export function isTerminating(pod: Pod): boolean {
  return pod.metadata?.deletionTimestamp !== undefined;
}

export function isRunningAndReady(pod: Pod): boolean {
  return pod.status?.phase === "Running" && isReady(pod);
}

export function isRunningAndAvailable(set: StatefulSet, pod: Pod, nowMillis: number): boolean {
  return isRunningAndReady(pod) && isAvailable(pod, set.spec?.minReadySeconds ?? 0, nowMillis);
}

export function podOf(set: StatefulSet, revision: ControllerRevision, ordinal: number): Pod {
  const { labels, annotations, finalizers } = templateOf(revision).metadata ?? {};
  const pod: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...(annotations && { annotations }),
      ...(finalizers && { finalizers }),
      labels: { ...labels, [revisionLabel]: revision.metadata?.name ?? "" },
      ownerReferences: [controllerReference(set, "apps/v1", "StatefulSet")],
    },
    spec: { ...templateOf(revision).spec, subdomain: set.spec?.serviceName },
  };
  const named = withIdentity(set, pod, ordinal);
  return { ...named, spec: { ...named.spec, hostname: named.metadata?.name } };
}

/** The pod with the names and volumes that its ordinal gives it; everything else as it is. */
export function withIdentity(set: StatefulSet, pod: Pod, ordinal: number): Pod {
  const { name: setName, namespace } = set.metadata ?? {};
  const name = `${setName}-${ordinal}`;
  const labels = {
    ...pod.metadata?.labels,
    [podNameLabel]: name,
    [podIndexLabel]: String(ordinal),
  };
  const claimed = claimsOf(set, ordinal).map(
    ({ volume, claim }): Volume => ({
      name: volume,
      persistentVolumeClaim: { claimName: claim.metadata?.name, readOnly: false },
    }),
  );
  const names = new Set(claimed.map((each) => each.name));
  const others = (pod.spec?.volumes ?? []).filter((volume) => !names.has(volume.name ?? ""));
  return {
    ...pod,
    metadata: { ...pod.metadata, name, namespace, labels },
    spec: { ...pod.spec, volumes: [...claimed, ...others] },
  };
}

export interface OrdinalClaim {
  /** The name of the template, which the containers mount. */
  readonly volume: string;
  readonly claim: PersistentVolumeClaim;
}

/** The claims of the pod with this ordinal. */
export function claimsOf(set: StatefulSet, ordinal: number): OrdinalClaim[] {
  const { name: setName, namespace } = set.metadata ?? {};
  return (set.spec?.volumeClaimTemplates ?? []).map(({ metadata, spec }) => {
    const { name: volume = "", annotations, labels, finalizers } = metadata ?? {};
    const claim: PersistentVolumeClaim = {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: {
        name: `${volume}-${setName}-${ordinal}`,
        namespace,
        labels: { ...labels, ...set.spec?.selector?.matchLabels },
        ...(annotations && { annotations }),
        ...(finalizers && { finalizers }),
      },
      ...(spec && { spec }),
    };
    return { volume, claim };
  });
}
