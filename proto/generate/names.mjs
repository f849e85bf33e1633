// What the contracts are called outside of this repository. Here each is one file in one folder;
// elsewhere a file lies in the folder of its package, and files that somebody else owns have the
// names that their owners gave them.

/** Contracts of other owners, by our name. Languages bring generated code for these themselves. */
const foreign = {
  "containerd_content.proto":
    "github.com/containerd/containerd/api/services/content/v1/content.proto",
  "containerd_images.proto": "github.com/containerd/containerd/api/services/images/v1/images.proto",
  "containerd_leases.proto": "github.com/containerd/containerd/api/services/leases/v1/leases.proto",
  "containerd_types.proto": "github.com/containerd/containerd/api/types/descriptor.proto",
  "csi.proto": "github.com/container-storage-interface/spec/csi.proto",
  "cri.proto": "k8s.io/cri-api/pkg/apis/runtime/v1/api.proto",
  "etcd.proto": "etcd/api/etcdserverpb/rpc.proto",
  "etcd_auth.proto": "etcd/api/authpb/auth.proto",
  "etcd_election.proto": "etcd/server/etcdserver/api/v3election/v3electionpb/v3election.proto",
  "etcd_kv.proto": "etcd/api/mvccpb/kv.proto",
  "etcd_lock.proto": "etcd/server/etcdserver/api/v3lock/v3lockpb/v3lock.proto",
  "health.proto": "grpc/health/v1/health.proto",
  "plugin_registration.proto": "k8s.io/kubelet/pkg/apis/pluginregistration/v1/api.proto",
  "reflection_v1.proto": "grpc/reflection/v1/reflection.proto",
  "reflection_v1alpha.proto": "grpc/reflection/v1alpha/reflection.proto",
  "rpc_status.proto": "google/rpc/status.proto",
};

/**
 * Contracts between the programs of a cluster, which no client calls: the log and the disk of
 * members, what members say to each other, and what kubelets answer to apiservers.
 */
const internal = new Set(["kubelet.proto", "raft.proto", "store.proto"]);

/** Whether numbers beyond 2^53 occur in the contract: its 64-bit integers become bigint. */
export function isBigint(name) {
  return name.startsWith("etcd") || name === "cri.proto";
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
