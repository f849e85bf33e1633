/** The node agent. */
export { Kubelet, type KubeletOptions } from "./kubelet.ts";
export { kubeletLimits } from "./limits.ts";
export { createProcessRuntime, type ProcessRuntimeOptions } from "./runtime/process/mod.ts";
export type * from "./runtime/types.ts";
