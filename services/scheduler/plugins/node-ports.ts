import type { Plugin } from "../framework.ts";

/** Host ports can be had once per node, address and protocol. */
export const nodePorts: Plugin = {
  name: "NodePorts",
  events: ["nodeAdded", "assignedPodDeleted"],
  filter({ pod }, node) {
    if (!node.conflictingPort(pod.hostPorts)) return [];
    return ["node(s) didn't have free ports for the requested pod ports"];
  },
};
