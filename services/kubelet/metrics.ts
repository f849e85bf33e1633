/** The kubelet's own gauges, under upstream's names (`pkg/kubelet/metrics`). */
import { processMetrics } from "../../ha/runtime/metrics.ts";
import type { Pod } from "../../proto/gen/core.ts";
import type { ContainerRuntime } from "./runtime/types.ts";

export interface KubeletSources {
  readonly nodeName: string;
  readonly pods: () => readonly Pod[];
  readonly runtime: Pick<ContainerRuntime, "containers">;
}

export function addKubeletMetrics({ nodeName, pods, runtime }: KubeletSources): void {
  const collect = processMetrics.collect.bind(processMetrics, "gauge");
  collect("kubelet_node_name", "The node's name. The count is always 1.", () => [
    { labels: { node: nodeName }, value: 1 },
  ]);
  collect("kubelet_running_pods", "Number of pods that have a running pod sandbox.", () => [
    { value: pods().filter(({ status }) => status?.phase === "Running").length },
  ]);
  collect("kubelet_running_containers", "Number of containers by their state.", () => {
    const counts = new Map<string, number>();
    for (const { state } of runtime.containers()) counts.set(state, (counts.get(state) ?? 0) + 1);
    return [...counts].map(([state, value]) => ({ labels: { container_state: state }, value }));
  });
}
