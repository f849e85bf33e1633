/** The roles for people and their tools (upstream `rbac/bootstrappolicy`, facts of its policy). */
import { paths, type RoleEntry, read, recordEvents, rule, write } from "./notation.ts";

const workloads = "daemonsets deployments replicasets statefulsets";
const rollbacks = "deployments/rollback deployments/scale replicasets/scale";
const all = `${read} ${write}`;

const aggregateToAdmin: RoleEntry = {
  name: "system:aggregate-to-admin",
  aggregateTo: "admin",
  rules: [
    rule("create", "authorization.k8s.io", "localsubjectaccessreviews"),
    rule(all, "rbac.authorization.k8s.io", "rolebindings roles"),
  ],
};

const podStreams = "pods/attach pods/exec pods/portforward pods/proxy";

const aggregateToEdit: RoleEntry = {
  name: "system:aggregate-to-edit",
  aggregateTo: "edit",
  rules: [
    rule(read, "core", `${podStreams} secrets services/proxy`),
    rule("impersonate", "core", "serviceaccounts"),
    rule(write, "core", `pods ${podStreams}`),
    rule("create", "core", "pods/eviction"),
    rule(
      write,
      "core",
      "configmaps events persistentvolumeclaims replicationcontrollers " +
        "replicationcontrollers/scale secrets serviceaccounts services services/proxy",
    ),
    rule("create", "core", "serviceaccounts/token"),
    rule(write, "apps", `${workloads} ${rollbacks} statefulsets/scale`),
    rule(write, "autoscaling", "horizontalpodautoscalers"),
    rule(write, "batch", "cronjobs jobs"),
    rule(
      write,
      "extensions",
      `daemonsets deployments replicasets ${rollbacks} ingresses networkpolicies ` +
        "replicationcontrollers/scale",
    ),
    rule(write, "policy", "poddisruptionbudgets"),
    rule(write, "networking.k8s.io", "ingresses networkpolicies"),
    rule(all, "coordination.k8s.io", "leases"),
    rule(write, "resource.k8s.io", "resourceclaims resourceclaimtemplates"),
  ],
};

const aggregateToView: RoleEntry = {
  name: "system:aggregate-to-view",
  aggregateTo: "view",
  rules: [
    rule(
      read,
      "core",
      "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods " +
        "replicationcontrollers replicationcontrollers/scale serviceaccounts services " +
        "services/status",
    ),
    rule(
      read,
      "core",
      "bindings events limitranges namespaces/status pods/log pods/status " +
        "replicationcontrollers/status resourcequotas resourcequotas/status",
    ),
    rule(read, "core", "namespaces"),
    rule(read, "discovery.k8s.io", "endpointslices"),
    rule(
      read,
      "apps",
      `controllerrevisions ${workloads} daemonsets/status deployments/scale deployments/status ` +
        "replicasets/scale replicasets/status statefulsets/scale statefulsets/status",
    ),
    rule(read, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
    rule(read, "batch", "cronjobs cronjobs/status jobs jobs/status"),
    rule(
      read,
      "extensions",
      "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses " +
        "ingresses/status networkpolicies replicasets replicasets/scale replicasets/status " +
        "replicationcontrollers/scale",
    ),
    rule(read, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    rule(read, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
    rule(read, "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates"),
  ],
};

/** As upstream's metrics server brings it. */
const metricsReader: RoleEntry = {
  name: "system:aggregated-metrics-reader",
  aggregateTo: "view",
  rules: [rule(read, "metrics.k8s.io", "nodes pods")],
};

/** What a role that aggregates begins with; the clusterrole-aggregation controller keeps it so. */
const viewRules = [...aggregateToView.rules, ...metricsReader.rules];
const editRules = [...aggregateToEdit.rules, ...viewRules];
const adminRules = [...editRules, ...aggregateToAdmin.rules];

export const userRoles: readonly RoleEntry[] = [
  { name: "cluster-admin", rules: [rule("*", "*", "*"), paths("*", "*")] },
  {
    name: "system:discovery",
    rules: [
      paths(
        "get",
        "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/",
      ),
    ],
  },
  {
    name: "system:monitoring",
    rules: [
      paths("get", "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*"),
    ],
  },
  {
    name: "system:basic-user",
    rules: [
      rule("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
      rule("create", "authentication.k8s.io", "selfsubjectreviews"),
    ],
  },
  {
    name: "system:public-info-viewer",
    rules: [paths("get", "/healthz /livez /readyz /version /version/")],
  },
  { name: "admin", aggregates: "admin", rules: adminRules },
  { name: "edit", aggregates: "edit", aggregateTo: "admin", rules: editRules },
  { name: "view", aggregates: "view", aggregateTo: "edit", rules: viewRules },
  aggregateToAdmin,
  aggregateToEdit,
  aggregateToView,
  metricsReader,
  {
    name: "system:heapster",
    rules: [
      rule(read, "core", "events namespaces nodes pods"),
      rule(read, "extensions", "deployments"),
    ],
  },
  {
    name: "system:auth-delegator",
    rules: [
      rule("create", "authentication.k8s.io", "tokenreviews"),
      rule("create", "authorization.k8s.io", "subjectaccessreviews"),
    ],
  },
  { name: "system:kube-aggregator", rules: [rule(read, "core", "endpoints services")] },
  {
    name: "system:service-account-issuer-discovery",
    rules: [paths("get", "/.well-known/openid-configuration /openid/v1/jwks")],
  },
  {
    name: "system:kubelet-api-admin",
    rules: [
      rule(read, "core", "nodes"),
      rule("proxy", "core", "nodes"),
      rule("*", "core", "nodes/log nodes/metrics nodes/proxy nodes/stats"),
    ],
  },
  {
    name: "system:node-problem-detector",
    rules: [rule("get", "core", "nodes"), rule("patch", "core", "nodes/status"), recordEvents],
  },
  {
    name: "system:persistent-volume-provisioner",
    rules: [
      rule("create delete get list watch", "core", "persistentvolumes"),
      rule("get list update watch", "core", "persistentvolumeclaims"),
      rule(read, "storage.k8s.io", "storageclasses"),
      rule("watch", "core", "events"),
      recordEvents,
    ],
  },
  ...[
    "kube-apiserver-client",
    "kube-apiserver-client-kubelet",
    "kubelet-serving",
    "legacy-unknown",
  ].map((signer) => ({
    name: `system:certificates.k8s.io:${signer}-approver`,
    rules: [rule("approve", "certificates.k8s.io", "signers", `kubernetes.io/${signer}`)],
  })),
  ...["nodeclient", "selfnodeclient"].map((client) => ({
    name: `system:certificates.k8s.io:certificatesigningrequests:${client}`,
    rules: [rule("create", "certificates.k8s.io", `certificatesigningrequests/${client}`)],
  })),
];
