/** The node agent. */
export { Kubelet } from "./kubelet.ts";
export { createProcessRuntime } from "./runtime/process/mod.ts";
export type * from "./runtime/types.ts";
