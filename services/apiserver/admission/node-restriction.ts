import { isDeepStrictEqual } from "node:util";
import type { Node, Pod, TokenRequest } from "../../../proto/gen/core.ts";
import { copyJson, type Document, referencesOf } from "../../kinds/mod.ts";
import { nodeNameOf } from "../auth/node-authorizer.ts";
import { mirrorAnnotation, type NodeGraph } from "../auth/node-graph.ts";
import { forbidden } from "../errors.ts";
import type { AdmissionPlugin, AdmissionRequest } from "./chain.ts";

/** Labels that a kubelet sets about its node (upstream `kubelet/apis.IsKubeletLabel`). */
const kubeletLabels = new Set([
  "kubernetes.io/hostname",
  "kubernetes.io/os",
  "kubernetes.io/arch",
  "topology.kubernetes.io/zone",
  "topology.kubernetes.io/region",
  "failure-domain.beta.kubernetes.io/zone",
  "failure-domain.beta.kubernetes.io/region",
  "node.kubernetes.io/instance-type",
  "beta.kubernetes.io/instance-type",
  "beta.kubernetes.io/os",
  "beta.kubernetes.io/arch",
]);
const kubeletNamespaces = ["kubelet.kubernetes.io", "node.kubernetes.io"];
const restrictedNamespace = "node-restriction.kubernetes.io";
const leaseNamespace = "kube-node-lease";

type Check = (graph: NodeGraph, node: string, request: AdmissionRequest) => string | undefined;

/** By `plural[.group]`: why a node may not write so; undefined: it may. */
const checks: Readonly<Record<string, Check>> = {
  nodes: checkNode,
  pods: checkPod,
  serviceaccounts: checkToken,
  "csinodes.storage.k8s.io": (_graph, node, { name, document }) => {
    if ((name || document?.metadata?.name) === node) return undefined;
    return "can only access CSINode with the same name as the requesting node";
  },
  "leases.coordination.k8s.io": (_graph, node, { name, namespace, document }) => {
    if (namespace !== leaseNamespace) {
      return `can only access leases in the "${leaseNamespace}" system namespace`;
    }
    if ((name || document?.metadata?.name) === node) return undefined;
    return "can only access node lease with the same name as the requesting node";
  },
};

/**
 * A kubelet writes nothing but its own Node, Lease and CSINode, the status of its own pods, mirror
 * pods of its own, and tokens for its pods (upstream's NodeRestriction).
 */
export function nodeRestriction(graph: NodeGraph): AdmissionPlugin {
  return {
    name: "node-restriction",
    resources: Object.keys(checks),
    validate(request) {
      const node = nodeNameOf(request.user);
      if (node === undefined) return;
      const { plural, group } = request.resource;
      const why = checks[group === "" ? plural : `${plural}.${group}`]?.(graph, node, request);
      if (why !== undefined) throw forbidden(request.resource, request.name, why);
    },
  };
}

function checkNode(_graph: NodeGraph, node: string, request: AdmissionRequest): string | undefined {
  const { operation, document, stored } = request;
  const name = request.name || document?.metadata?.name;
  if (name !== node) return `node "${node}" is not allowed to modify node "${name}"`;
  if (operation === "delete") return `node "${node}" is not allowed to delete nodes`;
  const labels = document?.metadata?.labels ?? {};
  const before = stored?.metadata?.labels ?? {};
  const changed = [...new Set([...Object.keys(labels), ...Object.keys(before)])].filter(
    (key) => labels[key] !== before[key],
  );
  const bad = changed.filter(isForbiddenLabel).sort();
  if (operation === "create") {
    if (bad.length === 0) return undefined;
    return `is not allowed to set the following labels: ${bad.join(", ")}`;
  }
  const taints = (of: Document | undefined) => copyJson(((of ?? {}) as Node).spec?.taints ?? []);
  if (!isDeepStrictEqual(taints(document), taints(stored))) {
    return `node "${node}" is not allowed to modify taints`;
  }
  const owners = (of: Document | undefined) => copyJson(of?.metadata?.ownerReferences ?? []);
  if (!isDeepStrictEqual(owners(document), owners(stored))) {
    return `node "${node}" is not allowed to modify ownerReferences`;
  }
  return bad.length === 0 ? undefined : `is not allowed to modify labels: ${bad.join(", ")}`;
}

/** Labels by which workloads are steered, and Kubernetes' own but those of kubelets. */
function isForbiddenLabel(key: string): boolean {
  const slash = key.indexOf("/");
  const namespace = slash < 0 ? "" : key.slice(0, slash);
  const within = (parent: string) => namespace === parent || namespace.endsWith(`.${parent}`);
  if (within(restrictedNamespace)) return true;
  if (!within("kubernetes.io") && !within("k8s.io")) return false;
  return !kubeletLabels.has(key) && !kubeletNamespaces.some(within);
}

function checkPod(graph: NodeGraph, node: string, request: AdmissionRequest): string | undefined {
  const { operation, subresource, document, stored, namespace, name } = request;
  const pod = (document ?? {}) as Pod;
  if (subresource === "eviction" || operation === "delete") {
    const held = (stored as Pod | undefined)?.spec?.nodeName ?? graph.nodeOfPod(namespace, name);
    const verb = operation === "delete" ? "delete" : "evict";
    return held === node
      ? undefined
      : `node "${node}" can only ${verb} pods with spec.nodeName set to itself`;
  }
  if (operation === "create" && subresource === "") return checkMirrorPod(node, pod);
  if (subresource !== "status") return `unexpected update of pods by node "${node}"`;
  if (((stored ?? {}) as Pod).spec?.nodeName !== node) {
    return `node "${node}" can only update pod status for pods with spec.nodeName set to itself`;
  }
  const labels = (of: Document | undefined) => copyJson(of?.metadata?.labels ?? {});
  if (isDeepStrictEqual(labels(document), labels(stored))) return undefined;
  return `node "${node}" cannot update labels through pod status`;
}

/** Of a static pod of its own; it must open nothing to the node. */
function checkMirrorPod(node: string, pod: Pod): string | undefined {
  const { annotations = {}, ownerReferences = [] } = pod.metadata ?? {};
  if (!Object.hasOwn(annotations, mirrorAnnotation)) {
    return `pod does not have "${mirrorAnnotation}" annotation, node "${node}" can only create mirror pods`;
  }
  if (pod.spec?.nodeName !== node) {
    return `node "${node}" can only create pods with spec.nodeName set to itself`;
  }
  const foreign = ownerReferences.some(({ kind, name }) => kind !== "Node" || name !== node);
  if (ownerReferences.length > 1 || foreign) {
    return `node "${node}" can only create pods with an owner reference set to itself`;
  }
  const { serviceAccountName = "" } = pod.spec;
  // The one that every pod has by default is not named by the node.
  if (serviceAccountName !== "" && serviceAccountName !== "default") {
    return `node "${node}" can not create pods that reference a service account`;
  }
  const { secrets, configMaps, claims } = referencesOf(pod);
  const named = { secrets, configmaps: configMaps, persistentvolumeclaims: claims };
  for (const [kind, names] of Object.entries(named)) {
    if (names.size > 0) return `node "${node}" can not create pods that reference ${kind}`;
  }
  return undefined;
}

/** Tokens only for pods that run on the node. */
function checkToken(graph: NodeGraph, node: string, request: AdmissionRequest): string | undefined {
  if (request.subresource !== "token") return undefined;
  const { boundObjectRef } = ((request.document ?? {}) as TokenRequest).spec ?? {};
  if (boundObjectRef?.kind !== "Pod" || !boundObjectRef.name) {
    return "node requested token not bound to a pod";
  }
  if (!boundObjectRef.uid) return "node requested token with a pod binding without a uid";
  if (graph.nodeOfPod(request.namespace, boundObjectRef.name) === node) return undefined;
  return "node requested token bound to a pod scheduled on a different node";
}
