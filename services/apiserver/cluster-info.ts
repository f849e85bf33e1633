/**
 * The ConfigMap `cluster-info` of kube-public: a kubeconfig without credentials, readable by
 * everyone, by which a machine that joins learns the API's address and its CA (as kubeadm makes it).
 */
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Document } from "../kinds/mod.ts";
import { apiserverUser } from "./nodes/liveness.ts";
import { objectKey } from "./storage/keys.ts";
import { type Backend, create, documentBody, internalCall, update } from "./verbs/mod.ts";

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
  const kubeconfig = kubeconfigText(info);
  const metadata = { name, namespace };
  const map = { apiVersion: "v1", kind: "ConfigMap", metadata, data: { [configKey]: kubeconfig } };
  const stored = await ensure(backend, map);
  const data = stored?.["data"] as Readonly<Record<string, string>> | undefined;
  if (stored !== undefined && data?.[configKey] !== kubeconfig) {
    const resource = backend.registry.required("v1", "ConfigMap");
    const next = { ...stored, data: { ...data, [configKey]: kubeconfig } };
    const write = { body: documentBody(next), subresource: "" as const, typed: false };
    await update(backend, internalCall(apiserverUser), resource, write);
  }
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

/** Creates the object if it is missing; else answers a copy of what is there. */
async function ensure(backend: Backend, wanted: object): Promise<Document | undefined> {
  const document = wanted as Document;
  const resource = backend.registry.required(document.apiVersion ?? "", document.kind ?? "");
  const key = objectKey(resource, namespace, document.metadata?.name ?? "");
  const stored = backend.cache.of(resource).get(key);
  if (stored !== undefined) return stored.copy();
  try {
    const body = documentBody(structuredClone(document));
    await create(backend, internalCall(apiserverUser), resource, { body });
  } catch (thrown) {
    // Another master was faster.
    if (StatusError.from(thrown).code !== Code.alreadyExists) throw thrown;
  }
  return undefined;
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
