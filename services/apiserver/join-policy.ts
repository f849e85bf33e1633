/**
 * What machines need that join the cluster: the rights of bootstrap tokens and of nodes to their
 * certificates (as kubeadm gives them), and the ConfigMap `trireme-config`, which tells them where
 * the gRPC API is.
 */
import type { Document } from "../kinds/mod.ts";
import { type BindingEntry, binding, rule, subject } from "./auth/rbac/bootstrap/notation.ts";
import { ensure, ensureData } from "./ensure.ts";
import type { Backend } from "./verbs/mod.ts";

const rbac = "rbac.authorization.k8s.io/v1";
const configNamespace = "kube-system";
const configName = "trireme-config";
const configRole = "trireme:nodes-config";
const csrRole = "system:certificates.k8s.io:certificatesigningrequests";
const kubeProxyRole = "trireme:certificates.k8s.io:certificatesigningrequests:kubeproxyclient";
const getNodesRole = "kubeadm:get-nodes";
/** Of the tokens that `trireme token create` makes. */
const joining = subject("Group", "system:bootstrappers:kubeadm:default-node-token");
const nodes = subject("Group", "system:nodes");

const bindings: readonly BindingEntry[] = [
  binding("kubeadm:kubelet-bootstrap", "ClusterRole system:node-bootstrapper", joining),
  binding("kubeadm:node-autoapprove-bootstrap", `ClusterRole ${csrRole}:nodeclient`, joining),
  binding(
    "kubeadm:node-autoapprove-certificate-rotation",
    `ClusterRole ${csrRole}:selfnodeclient`,
    nodes,
  ),
  binding(getNodesRole, `ClusterRole ${getNodesRole}`, joining),
  binding("trireme:node-autoapprove-kube-proxy", `ClusterRole ${kubeProxyRole}`, nodes),
];

const clusterRoles = [
  { name: getNodesRole, rules: [rule("get", "core", "nodes")] },
  {
    name: kubeProxyRole,
    rules: [rule("create", "certificates.k8s.io", "certificatesigningrequests/kubeproxyclient")],
  },
];

/** `grpcEndpoints`: `host:port` of each. What is there is kept, but for other endpoints. */
export async function reconcileJoinPolicy(
  backend: Backend,
  grpcEndpoints: readonly string[],
): Promise<void> {
  const cluster = (kind: string, name: string, rest: object): Document => {
    return { apiVersion: rbac, kind, metadata: { name }, ...rest };
  };
  for (const { name, rules } of clusterRoles) {
    await ensure(backend, cluster("ClusterRole", name, { rules }));
  }
  for (const { name, roleRef, subjects } of bindings) {
    await ensure(backend, cluster("ClusterRoleBinding", name, { roleRef, subjects }));
  }
  const endpoints = grpcEndpoints.join(",");
  const config = { name: configName, namespace: configNamespace };
  await ensureData(backend, config, { grpcEndpoints: endpoints });
  const metadata = { name: configRole, namespace: configNamespace };
  const rules = [rule("get", "core", "configmaps", configName)];
  await ensure(backend, { apiVersion: rbac, kind: "Role", metadata, rules });
  const { roleRef, subjects } = binding(configRole, `Role ${configRole}`, joining, nodes);
  await ensure(backend, { apiVersion: rbac, kind: "RoleBinding", metadata, roleRef, subjects });
}
