import { hostPortsConflict, hostPortsOf } from "../../kinds/facts.ts";
import { on, type Plugin, refuse } from "../framework/mod.ts";

const taken = refuse("node(s) didn't have free ports for the requested pod ports");

/** A host port can be had once per node, address and protocol. */
export const nodePorts: Plugin = {
  name: "NodePorts",
  alike: ({ hostPorts }) => JSON.stringify(hostPorts),
  events: [
    on("Node", ["added"]),
    on("Pod", ["deleted"], (pod, { previous }) => {
      const freed = previous ? hostPortsOf(previous) : [];
      return pod.hostPorts.some((port) => freed.some((other) => hostPortsConflict(port, other)));
    }),
  ],
  preFilter: ({ pod }) => ({ skip: pod.hostPorts.length === 0 }),
  filter: ({ pod }, node) => (node.conflictingPort(pod.hostPorts) ? taken : undefined),
};
