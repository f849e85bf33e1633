// What the contracts are called outside of this repository. Here each is one file in one folder;
// elsewhere a file lies in the folder of its package, and files that somebody else owns have the
// names that their owners gave them.

/** Contracts of other owners, by our name. Languages bring generated code for these themselves. */
const foreign = {
  "etcd.proto": "etcd/api/etcdserverpb/rpc.proto",
  "etcd_auth.proto": "etcd/api/authpb/auth.proto",
  "etcd_election.proto": "etcd/server/etcdserver/api/v3election/v3electionpb/v3election.proto",
  "etcd_kv.proto": "etcd/api/mvccpb/kv.proto",
  "etcd_lock.proto": "etcd/server/etcdserver/api/v3lock/v3lockpb/v3lock.proto",
  "health.proto": "grpc/health/v1/health.proto",
  "reflection_v1.proto": "grpc/reflection/v1/reflection.proto",
  "reflection_v1alpha.proto": "grpc/reflection/v1alpha/reflection.proto",
  "rpc_status.proto": "google/rpc/status.proto",
};

/**
 * Contracts between the programs of a cluster, which no client calls: the log and the disk of
 * members, what members say to each other, and what kubelets answer to apiservers.
 */
const internal = new Set(["kubelet.proto", "raft.proto", "store.proto"]);

/** Whether ids beyond 2^53 occur in the contract: its 64-bit integers become bigint. */
export function isBigint(name) {
  return name.startsWith("etcd");
}

/** Whether the contract belongs into the tree for other languages. */
export function isPublic(name) {
  return !Object.hasOwn(foreign, name) && !internal.has(name) && !name.includes("/");
}

/** The path by which other programs know the contract `name` of package `packageName`. */
export function publicPath(name, packageName) {
  // Files of google/protobuf, which the compiler brings.
  if (name.includes("/")) return name;
  return foreign[name] ?? `${packageName.replaceAll(".", "/")}/${name}`;
}
