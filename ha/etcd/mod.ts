/**
 * The etcd-v3 face of a member: KV, Watch, Lease, Cluster, Maintenance, Auth, Lock and Election, as
 * unmodified etcd clients expect them.
 */
export { type Alarm, AlarmKind, type KeyHash, type MemberInfo, type StoreAdmin } from "./admin.ts";
export { AutoCompaction, type Retention, readRetention } from "./auto-compaction.ts";
export { type JwtOptions, readAuthToken } from "./jwt-options.ts";
export { etcdLimits } from "./limits.ts";
export { etcdVersion } from "./maintenance-service.ts";
export { addEtcdServices, type EtcdServiceOptions } from "./services.ts";
