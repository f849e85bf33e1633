/** One replica of the store: see {@link Member}. */
export { MemberAdmin } from "./admin.ts";
export { BackupReader } from "./backup.ts";
export { checkMemberDisk } from "./check.ts";
export { type ClusterId, clusterIdText } from "./cluster-id.ts";
export { isExclusion } from "./founding.ts";
export type { LimitOverrides } from "./limits.ts";
export { openMember } from "./load.ts";
export type { NamedMember } from "./meeting.ts";
export type { Member } from "./member.ts";
export { MemberStore } from "./member-store.ts";
export { defaultRevisionBump, Restoration } from "./restore.ts";
export { salvage } from "./salvage.ts";
export type { ServeInThread } from "./thread-service.ts";
export type { ClusterPeer, MemberOptions } from "./types.ts";
export { openMemberWorker, type WorkerMember, type WorkerMemberOptions } from "./worker-store.ts";
