import type { NodeMetrics } from "../../../proto/gen/metrics.ts";
import type { Document } from "../../kinds/mod.ts";
import { objectKey } from "../storage/keys.ts";
import { createSelection } from "../storage/selection.ts";
import type { Backend } from "../verbs/backend.ts";
import { waitForCache } from "../verbs/resource-version.ts";
import type { VirtualKind } from "../verbs/virtual-kind.ts";
import { measuredMetadata, measuredTime, noMetrics, usageOf } from "./metrics.ts";

/** Nodes whose kubelets do not answer are left out, as by upstream's metrics server. */
export const nodeMetrics: VirtualKind = {
  async get(backend, _call, name) {
    const { nodes, cache } = await storedNodes(backend);
    const node = cache.get(objectKey(nodes, "", name))?.document;
    const metrics = node && (await metricsOf(backend, node));
    if (metrics !== undefined) return metrics;
    throw noMetrics(backend.registry.required("metrics.k8s.io/v1beta1", "NodeMetrics"), name);
  },
  async list(backend) {
    const { nodes, cache } = await storedNodes(backend);
    const all = [...cache.select(createSelection(nodes, {}))];
    const metrics = await Promise.all(all.map(({ document }) => metricsOf(backend, document)));
    return metrics.filter((one) => one !== undefined);
  },
};

async function storedNodes(backend: Backend) {
  const nodes = backend.registry.required("v1", "Node");
  await waitForCache(backend, nodes, undefined);
  return { nodes, cache: backend.cache.of(nodes) };
}

async function metricsOf(backend: Backend, node: Document): Promise<Document | undefined> {
  const stats = await backend.usage.of(node.metadata?.name ?? "");
  if (stats === undefined) return undefined;
  const metrics: NodeMetrics = {
    apiVersion: "metrics.k8s.io/v1beta1",
    kind: "NodeMetrics",
    metadata: measuredMetadata(backend, node),
    ...measuredTime(stats.time, stats.windowMillis),
    usage: usageOf(stats),
  };
  return metrics as Document;
}
