/** A master of the cluster: the Kubernetes API on a store. */
export {
  type Apiserver,
  startApiserver,
} from "./apiserver.ts";
export { type EtcdServer, startEtcdServer } from "./etcd-server.ts";
export { serveEtcd } from "./etcd-thread.ts";
export { clusterState, parseInitialCluster } from "./initial-cluster.ts";
export { endOf, openReplica } from "./open-store.ts";
export * from "./pki/mod.ts";
