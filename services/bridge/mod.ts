/** The bridge: see {@link startBridge}. */
export { type Bridge, type BridgeOptions, startBridge } from "./bridge.ts";
export type { ClusterFacts, MasterFacts, NodeFacts, PodFacts } from "./cluster-state.ts";
