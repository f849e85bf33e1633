/**
 * The ConfigMap `cluster-info` of kube-public: a kubeconfig without credentials, readable by
 * everyone, by which a machine that joins learns the API's address and its CA (as kubeadm makes it).
 */
import { ensure, ensureData } from "./ensure.ts";
import type { Backend } from "./verbs/mod.ts";

const namespace = "kube-public";
const name = "cluster-info";
const configKey = "kubeconfig";
const roleName = "kubeadm:bootstrap-signer-clusterinfo";
const rbac = "rbac.authorization.k8s.io";

export interface ClusterInfo {
  /** URL of the REST API. */
  readonly server: string;
  /** PEM. */
  readonly ca: string;
}

/** What is there is kept, but for a kubeconfig that names another address or CA. */
export async function reconcileClusterInfo(backend: Backend, info: ClusterInfo): Promise<void> {
  await ensureData(backend, { name, namespace }, { [configKey]: kubeconfigText(info) });
  const own = { name: roleName, namespace };
  const rule = {
    apiGroups: [""],
    resources: ["configmaps"],
    resourceNames: [name],
    verbs: ["get"],
  };
  const version = { apiVersion: `${rbac}/v1` };
  await ensure(backend, { ...version, kind: "Role", metadata: own, rules: [rule] });
  await ensure(backend, {
    ...{ ...version, kind: "RoleBinding", metadata: own },
    roleRef: { apiGroup: rbac, kind: "Role", name: roleName },
    subjects: [{ apiGroup: rbac, kind: "User", name: "system:anonymous" }],
  });
}

/** In JSON, which is YAML too. */
function kubeconfigText({ server, ca }: ClusterInfo): string {
  const cluster = { "certificate-authority-data": Buffer.from(ca).toString("base64"), server };
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "", cluster }],
    contexts: [],
    users: [],
    preferences: {},
    "current-context": "",
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}
