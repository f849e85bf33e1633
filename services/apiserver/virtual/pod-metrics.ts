import type { Pod } from "../../../proto/gen/core.ts";
import type { NodeStats } from "../../../proto/gen/kubelet.ts";
import type { PodMetrics } from "../../../proto/gen/metrics.ts";
import type { Document } from "../../kinds/mod.ts";
import { objectKey } from "../storage/keys.ts";
import { createSelection } from "../storage/selection.ts";
import type { Backend } from "../verbs/backend.ts";
import { waitForCache } from "../verbs/resource-version.ts";
import type { VirtualKind } from "../verbs/virtual-kind.ts";
import { measuredMetadata, measuredTime, noMetrics, usageOf } from "./metrics.ts";

/** Pods that do not run, or that their kubelet has not measured yet, are left out. */
export const podMetrics: VirtualKind = {
  async get(backend, _call, name, namespace) {
    const { pods, cache } = await storedPods(backend);
    const pod = cache.get(objectKey(pods, namespace, name))?.document;
    const metrics = pod && metricsOf(backend, pod, await statsOf(backend, pod));
    if (metrics !== undefined) return metrics;
    const resource = backend.registry.required("metrics.k8s.io/v1beta1", "PodMetrics");
    throw noMetrics(resource, `${namespace}/${name}`);
  },
  async list(backend, _call, namespace) {
    const { pods, cache } = await storedPods(backend);
    const all = [...cache.select(createSelection(pods, { namespace }))];
    const metrics = await Promise.all(
      all.map(async ({ document }) =>
        metricsOf(backend, document, await statsOf(backend, document)),
      ),
    );
    return metrics.filter((one) => one !== undefined);
  },
};

async function storedPods(backend: Backend) {
  const pods = backend.registry.required("v1", "Pod");
  await waitForCache(backend, pods, undefined);
  return { pods, cache: backend.cache.of(pods) };
}

async function statsOf(backend: Backend, document: Document): Promise<NodeStats | undefined> {
  const { spec, status } = document as Pod;
  if (status?.phase !== "Running" || !spec?.nodeName) return undefined;
  return backend.usage.of(spec.nodeName);
}

function metricsOf(
  backend: Backend,
  pod: Document,
  stats: NodeStats | undefined,
): Document | undefined {
  const found = stats?.pods?.find(({ uid }) => uid === pod.metadata?.uid);
  if (stats === undefined || found === undefined) return undefined;
  const metrics: PodMetrics = {
    apiVersion: "metrics.k8s.io/v1beta1",
    kind: "PodMetrics",
    metadata: measuredMetadata(backend, pod),
    ...measuredTime(stats.time, stats.windowMillis),
    containers: (found.containers ?? []).map((one) => ({
      ...(one.name !== undefined && { name: one.name }),
      usage: usageOf(one),
    })),
  };
  return metrics as Document;
}
