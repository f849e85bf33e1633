/** The node agent. */
export { bootstrapNode } from "./certificates.ts";
export { Kubelet } from "./kubelet.ts";
export { nodeIPList } from "./node/node-ips.ts";
export { createProcessRuntime } from "./runtime/process/mod.ts";
export type * from "./runtime/types.ts";
