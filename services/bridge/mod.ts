/** The bridge: see {@link startBridge}. */
export { type Bridge, startBridge } from "./bridge.ts";
export type { ClusterFacts, MasterFacts, NodeFacts, PodFacts } from "./cluster-state.ts";
export { LeaderStory, type Outage, outageText } from "./leader-story.ts";
