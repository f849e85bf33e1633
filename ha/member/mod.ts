/** One replica of the store: see {@link Member}. */
export {
  type AlarmInfo,
  type KeyHash,
  MemberAdmin,
  type MemberInfo,
  parsePeerUrls,
} from "./admin.ts";
export { BackupReader } from "./backup.ts";
export { type CheckReport, checkMemberDisk } from "./check.ts";
export { type ClusterId, clusterIdOf, clusterIdText } from "./cluster-id.ts";
export { isExclusion } from "./founding.ts";
export { assertLimits, type LimitOverrides, limits, type MemberLimits } from "./limits.ts";
export { openMember } from "./load.ts";
export type { NamedMember } from "./meeting.ts";
export type { Member } from "./member.ts";
export { MemberStore } from "./member-store.ts";
export { defaultRevisionBump, type NewCluster, Restoration } from "./restore.ts";
export { type Salvaged, salvage } from "./salvage.ts";
export type { ServeInThread, ThreadService } from "./thread-service.ts";
export type { ClusterPeer, MemberOptions } from "./types.ts";
export { openMemberWorker, type WorkerMember, type WorkerMemberOptions } from "./worker-store.ts";
