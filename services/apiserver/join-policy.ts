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
const joinNamespace = "kube-system";
const configName = "trireme-config";
const configRole = "trireme:nodes-config";
/** The secrets of the control plane, encrypted, for masters that join. */
const certsName = "trireme-certs";
const certsRole = "trireme:certs";
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

/** What the ConfigMap tells machines that join. */
export interface JoinInfo {
  /** `host:port` of each. */
  readonly grpcEndpoints: readonly string[];
  /** Where a master that joins is added to the store's members; none: no master can join. */
  readonly etcdEndpoints: readonly string[];
  /** Flags, `--name=value`, that are the same for all masters. */
  readonly masterFlags: readonly string[];
  /** The same of the controller managers beside them. */
  readonly controllerManagerFlags: readonly string[];
}

/** What is there is kept, but for what the ConfigMap tells. */
export async function reconcileJoinPolicy(backend: Backend, info: JoinInfo): Promise<void> {
  const cluster = (kind: string, name: string, rest: object): Document => {
    return { apiVersion: rbac, kind, metadata: { name }, ...rest };
  };
  for (const { name, rules } of clusterRoles) {
    await ensure(backend, cluster("ClusterRole", name, { rules }));
  }
  for (const { name, roleRef, subjects } of bindings) {
    await ensure(backend, cluster("ClusterRoleBinding", name, { roleRef, subjects }));
  }
  const namespace = joinNamespace;
  await ensureData(
    backend,
    { name: configName, namespace },
    {
      grpcEndpoints: info.grpcEndpoints.join(","),
      etcdEndpoints: info.etcdEndpoints.join(","),
      masterFlags: JSON.stringify(info.masterFlags),
      controllerManagerFlags: JSON.stringify(info.controllerManagerFlags),
    },
  );
  const roles = [
    {
      name: configRole,
      what: rule("get", "core", "configmaps", configName),
      who: [joining, nodes],
    },
    { name: certsRole, what: rule("get", "core", "secrets", certsName), who: [joining] },
  ];
  for (const { name, what, who } of roles) {
    const metadata = { name, namespace };
    await ensure(backend, { apiVersion: rbac, kind: "Role", metadata, rules: [what] });
    const { roleRef, subjects } = binding(name, `Role ${name}`, ...who);
    await ensure(backend, { apiVersion: rbac, kind: "RoleBinding", metadata, roleRef, subjects });
  }
}
