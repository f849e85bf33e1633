/** What plugins ask about the objects around a pod; answers come from caches at once. */
import type { Pod, Service } from "../../proto/gen/core.ts";
import type { LabelSelector } from "../../proto/gen/meta.ts";
import type { PodDisruptionBudget } from "../../proto/gen/policy.ts";
import type { Labels } from "./pod-terms.ts";
import type { Listers } from "./volume-lookup.ts";

export interface WorkloadLookup {
  namespaceLabels(namespace: string): Labels | undefined;
  services(namespace: string): readonly Service[];
  /** Of a ReplicationController, ReplicaSet or StatefulSet; undefined when it does not exist. */
  ownerSelector(kind: string, name: string, namespace: string): LabelSelector | undefined;
  budgets(): readonly PodDisruptionBudget[];
  pods(namespace: string): readonly Pod[];
}

/** Of a cluster without any. */
export const noWorkloads: WorkloadLookup = {
  namespaceLabels: () => undefined,
  services: () => [],
  ownerSelector: () => undefined,
  budgets: () => [],
  pods: () => [],
};

export function workloadLookup(listers: Listers): WorkloadLookup {
  const namespaces = listers("Namespace");
  const services = listers("Service");
  const controllers = listers("ReplicationController");
  const replicaSets = listers("ReplicaSet");
  const statefulSets = listers("StatefulSet");
  const pods = listers("Pod");
  const budgets = listers("PodDisruptionBudget");
  const selectors: Record<string, (name: string, namespace: string) => LabelSelector | undefined> =
    {
      ReplicationController(name, namespace) {
        const matchLabels = controllers.get(name, namespace)?.spec?.selector;
        return matchLabels && { matchLabels };
      },
      ReplicaSet: (name, namespace) => replicaSets.get(name, namespace)?.spec?.selector,
      StatefulSet: (name, namespace) => statefulSets.get(name, namespace)?.spec?.selector,
    };
  return {
    namespaceLabels(name) {
      const namespace = namespaces.get(name);
      return namespace && (namespace.metadata?.labels ?? {});
    },
    services: (namespace) => services.list(namespace),
    ownerSelector(kind, name, namespace) {
      return Object.hasOwn(selectors, kind) ? selectors[kind]?.(name, namespace) : undefined;
    },
    budgets: () => budgets.list(),
    pods: (namespace) => pods.list(namespace),
  };
}
