/** One replica of the store: see {@link Member}. */
export { clusterIdOf, clusterIdText } from "./cluster-id.ts";
export { assertLimits, type LimitOverrides, limits, type MemberLimits } from "./limits.ts";
export { openMember } from "./load.ts";
export type { Member } from "./member.ts";
export { MemberStore } from "./member-store.ts";
export type { ClusterPeer, MemberOptions } from "./types.ts";
export { openMemberWorker, type WorkerMemberOptions } from "./worker-store.ts";
