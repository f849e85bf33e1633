/** The roles of the components, and what Trireme's need beyond upstream's. */
import { controllerRoles } from "./controller-roles.ts";
import { paths, type RoleEntry, read, recordEvents, rule } from "./notation.ts";

const csr = rule("create get list watch", "certificates.k8s.io", "certificatesigningrequests");
const reviewTokens = rule("create", "authentication.k8s.io", "tokenreviews");
const reviewAccess = rule("create", "authorization.k8s.io", "subjectaccessreviews");
const elect = (lease: string) => [
  rule("create", "coordination.k8s.io", "leases"),
  rule("get update", "coordination.k8s.io", "leases", lease),
];
const everyLease = rule(
  "create delete get list patch update watch",
  "coordination.k8s.io",
  "leases",
);
const devices = "resource.k8s.io";
const seeNodes = rule(read, "node.trireme.io", "nodelivenesses");

/** Also what the Node authorizer allows a node, apart from what its graph decides. */
export const nodeRole: RoleEntry = {
  name: "system:node",
  rules: [
    reviewTokens,
    rule("create", "authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews"),
    rule(read, "core", "services"),
    rule("create get list watch", "core", "nodes"),
    rule("patch update", "core", "nodes/status"),
    rule("patch update", "core", "nodes"),
    rule("create patch update", "core", "events"),
    rule(read, "core", "pods"),
    rule("create delete", "core", "pods"),
    rule("patch update", "core", "pods/status"),
    rule("create", "core", "pods/eviction"),
    rule(read, "core", "configmaps secrets"),
    rule("get", "core", "persistentvolumeclaims persistentvolumes"),
    rule("get", "core", "endpoints"),
    csr,
    rule("create delete get patch update", "coordination.k8s.io", "leases"),
    rule("get", "storage.k8s.io", "volumeattachments"),
    rule("create", "core", "serviceaccounts/token"),
    rule("get patch update", "core", "persistentvolumeclaims/status"),
    rule(read, "storage.k8s.io", "csidrivers"),
    rule("create delete get patch update", "storage.k8s.io", "csinodes"),
    rule(read, "node.k8s.io", "runtimeclasses"),
    rule("get", devices, "resourceclaims"),
    rule("deletecollection", devices, "resourceslices"),
  ],
};

export const componentRoles: readonly RoleEntry[] = [
  nodeRole,
  { name: "system:node-bootstrapper", rules: [csr] },
  {
    name: "system:node-proxier",
    rules: [
      rule("list watch", "core", "endpoints services"),
      rule(read, "core", "nodes"),
      recordEvents,
      rule("list watch", "discovery.k8s.io", "endpointslices"),
    ],
  },
  { name: "system:kube-dns", rules: [rule("list watch", "core", "endpoints services")] },
  {
    name: "system:kube-controller-manager",
    rules: [
      recordEvents,
      ...elect("kube-controller-manager"),
      rule("create", "core", "secrets serviceaccounts"),
      rule("delete", "core", "secrets"),
      rule("get", "core", "configmaps namespaces secrets serviceaccounts"),
      rule("update", "core", "secrets serviceaccounts"),
      reviewTokens,
      reviewAccess,
      rule("list watch", "*", "*"),
      rule("create", "core", "serviceaccounts/token"),
    ],
  },
  {
    name: "system:kube-scheduler",
    rules: [
      recordEvents,
      ...elect("kube-scheduler"),
      rule(read, "core", "nodes"),
      rule("delete get list watch", "core", "pods"),
      rule("create", "core", "bindings pods/binding"),
      rule("patch update", "core", "pods/status"),
      rule(read, "core", "replicationcontrollers services"),
      rule(read, "apps extensions", "replicasets"),
      rule(read, "apps", "statefulsets"),
      rule(read, "policy", "poddisruptionbudgets"),
      rule(read, "core", "persistentvolumeclaims persistentvolumes"),
      reviewTokens,
      reviewAccess,
      rule(read, "storage.k8s.io", "volumeattachments"),
      rule(read, "storage.k8s.io", "csinodes"),
      rule(read, "core", "namespaces"),
      rule(read, "storage.k8s.io", "csidrivers"),
      rule(read, "storage.k8s.io", "csistoragecapacities"),
      rule(read, devices, "deviceclasses"),
      rule("get list patch update watch", devices, "resourceclaims"),
      rule("get list patch update watch", devices, "resourceclaims/status"),
      rule("update", "core", "pods/finalizers"),
      rule(read, devices, "resourceslices"),
    ],
  },
  {
    name: "system:volume-scheduler",
    rules: [
      rule("get list patch update watch", "core", "persistentvolumes"),
      rule(read, "storage.k8s.io", "storageclasses"),
      rule("get list patch update watch", "core", "persistentvolumeclaims"),
    ],
  },
];

/** Beside upstream's roles of the same components, which stay as they are. */
export const triremeRoles: readonly RoleEntry[] = [
  {
    name: "trireme:kube-scheduler",
    rules: [
      everyLease,
      seeNodes,
      rule("create", "core", "pods/eviction"),
      rule(read, "core", "configmaps endpoints"),
      rule(read, "apps", "deployments"),
    ],
  },
  {
    // All controllers share one identity, so it has what each of upstream's has.
    name: "trireme:kube-controller-manager",
    rules: [
      ...controllerRoles.flatMap(({ rules }) => rules),
      everyLease,
      seeNodes,
      rule("create", "core", "pods/eviction"),
      // Which service has which address, upstream's apiserver says itself.
      rule("create delete get list watch", "networking.k8s.io", "ipaddresses"),
      // Serving certificates of nodes, and kube-proxy's of machines that join.
      rule(
        "approve",
        "certificates.k8s.io",
        "signers",
        "kubernetes.io/kube-apiserver-client kubernetes.io/kubelet-serving",
      ),
    ],
  },
  {
    name: "trireme:ingress",
    rules: [
      rule(read, "core", "secrets services"),
      rule(read, "discovery.k8s.io", "endpointslices"),
      rule(read, "networking.k8s.io", "ingressclasses ingresses"),
      rule("create", "networking.k8s.io", "ingressclasses"),
      rule("patch update", "networking.k8s.io", "ingresses/status"),
      rule("create patch update", "core", "events"),
    ],
  },
  {
    name: "trireme:kube-proxy",
    rules: [
      rule(read, "core", "endpoints namespaces nodes pods services"),
      rule(read, "discovery.k8s.io", "endpointslices"),
      rule(read, "networking.k8s.io", "networkpolicies"),
    ],
  },
  { name: "trireme:cluster-status", rules: [paths("get", "/cluster/status")] },
];
