/** What the bridge is told of the cluster, from what the supervisor watches. */
import type { Node, NodeCondition } from "../../proto/gen/core.ts";
import type { ClusterFacts, MasterFacts, NodeFacts, PodFacts } from "../bridge/mod.ts";
import { isReadyNode } from "./counts.ts";
import type { ClusterObjects, ClusterView } from "./watch-cluster.ts";

export function bridgeFacts(view: ClusterView, objects: ClusterObjects): ClusterFacts {
  const masters = [...view.masters].map(([name, status]): MasterFacts => {
    const { ready = false, role = "", term = 0, revision = 0 } = status ?? {};
    const { appliedIndex: applied = 0, commitIndex: commit = 0 } = status ?? {};
    return { name, up: status !== undefined, ready, role, term, applied, commit, revision };
  });
  const pods = objects.pods.map((pod): PodFacts => {
    const { name = "", namespace = "", status = "", node } = pod;
    return { name, namespace, node, status };
  });
  const nodes = objects.nodes.map((node) => nodeFacts(node, objects.heard));
  return { leader: view.leader, masters, nodes, pods };
}

function nodeFacts(node: Node, heard: ReadonlySet<string>): NodeFacts {
  const name = node.metadata?.name ?? "";
  const troubles = (node.status?.conditions ?? []).filter(isTrouble).map(troubleText);
  return { name, ready: heard.has(name) && isReadyNode(node), troubles };
}

/** A node is to be Ready, and nothing else that it has a condition for. */
function isTrouble({ type, status }: NodeCondition): boolean {
  return (status === "True") !== (type === "Ready");
}

function troubleText({ type, status, reason }: NodeCondition): string {
  return `${type} is ${status}${reason ? `: ${reason}` : ""}`;
}
