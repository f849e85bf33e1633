/** The role of each controller, `system:controller:<name>`, bound to its service account. */
import { type RoleEntry, read, recordEvents, rule } from "./notation.ts";

const apps = "apps extensions";
const managePods = rule("create delete list patch watch", "core", "pods");
const revisions = rule("create delete get list patch update watch", "apps", "controllerrevisions");
const csr = "certificatesigningrequests";
const slices = rule("create delete get list update watch", "discovery.k8s.io", "endpointslices");

const rules: Readonly<Record<string, readonly ReturnType<typeof rule>[]>> = {
  "attachdetach-controller": [
    rule("list watch", "core", "persistentvolumeclaims persistentvolumes"),
    rule(read, "core", "nodes"),
    rule("patch update", "core", "nodes/status"),
    rule("list watch", "core", "pods"),
    recordEvents,
    rule("create delete get list watch", "storage.k8s.io", "volumeattachments"),
    rule(read, "storage.k8s.io", "csidrivers"),
    rule(read, "storage.k8s.io", "csinodes"),
  ],
  "clusterrole-aggregation-controller": [
    rule("escalate get list patch update watch", "rbac.authorization.k8s.io", "clusterroles"),
  ],
  "cronjob-controller": [
    rule("get list update watch", "batch", "cronjobs"),
    rule("create delete get list patch update watch", "batch", "jobs"),
    rule("update", "batch", "cronjobs/status"),
    rule("update", "batch", "cronjobs/finalizers"),
    rule("delete list watch", "core", "pods"),
    recordEvents,
  ],
  "daemon-set-controller": [
    rule(read, apps, "daemonsets"),
    rule("update", apps, "daemonsets/status"),
    rule("update", apps, "daemonsets/finalizers"),
    rule("list watch", "core", "nodes"),
    managePods,
    rule("create", "core", "pods/binding"),
    revisions,
    recordEvents,
  ],
  "deployment-controller": [
    rule("get list update watch", apps, "deployments"),
    rule("update", apps, "deployments/status"),
    rule("update", apps, "deployments/finalizers"),
    rule("create delete get list patch update watch", apps, "replicasets"),
    rule("get list update watch", "core", "pods"),
    recordEvents,
  ],
  "disruption-controller": [
    rule(read, apps, "deployments"),
    rule(read, apps, "replicasets"),
    rule(read, "core", "replicationcontrollers"),
    rule(read, "policy", "poddisruptionbudgets"),
    rule(read, "apps", "statefulsets"),
    rule("update", "policy", "poddisruptionbudgets/status"),
    rule("patch update", "core", "pods/status"),
    rule("get", "*", "*/scale"),
    recordEvents,
  ],
  "endpoint-controller": [
    rule(read, "core", "pods services"),
    rule("create delete get list update watch", "core", "endpoints"),
    rule("create", "core", "endpoints/restricted"),
    recordEvents,
  ],
  "endpointslice-controller": [
    rule(read, "core", "nodes pods services"),
    rule("update", "core", "services/finalizers"),
    slices,
    recordEvents,
  ],
  "endpointslicemirroring-controller": [
    rule(read, "core", "endpoints services"),
    rule("update", "core", "services/finalizers"),
    rule("update", "core", "endpoints/finalizers"),
    slices,
    recordEvents,
  ],
  "ephemeral-volume-controller": [
    rule(read, "core", "pods"),
    rule("update", "core", "pods/finalizers"),
    rule("create get list watch", "core", "persistentvolumeclaims"),
    recordEvents,
  ],
  "resource-claim-controller": [
    rule(read, "core", "pods"),
    rule("update", "core", "pods/finalizers"),
    rule("create delete get list watch", "resource.k8s.io", "resourceclaims"),
    rule("patch update", "resource.k8s.io", "resourceclaims resourceclaims/status"),
    rule("patch update", "core", "pods/status"),
    recordEvents,
  ],
  "expand-controller": [
    rule("get list patch update watch", "core", "persistentvolumes"),
    rule("patch update", "core", "persistentvolumeclaims/status"),
    rule(read, "core", "persistentvolumeclaims"),
    recordEvents,
    rule("get", "core", "services"),
  ],
  "generic-garbage-collector": [rule("delete get list patch update watch", "*", "*"), recordEvents],
  "horizontal-pod-autoscaler": [
    rule(read, "autoscaling", "horizontalpodautoscalers"),
    rule("update", "autoscaling", "horizontalpodautoscalers/status"),
    rule("get update", "*", "*/scale"),
    rule("list watch", "core", "pods"),
    rule("list watch", "metrics.k8s.io", "pods"),
    rule(read, "custom.metrics.k8s.io", "*"),
    rule(read, "external.metrics.k8s.io", "*"),
    recordEvents,
  ],
  "job-controller": [
    rule("get list patch update watch", "batch", "jobs"),
    rule("update", "batch", "jobs/status"),
    rule("update", "batch", "jobs/finalizers"),
    managePods,
    recordEvents,
  ],
  "legacy-service-account-token-cleaner": [
    rule("get", "core", "configmaps", "kube-apiserver-legacy-service-account-token-tracking"),
    rule("delete patch", "core", "secrets"),
  ],
  "namespace-controller": [
    rule("delete get list watch", "core", "namespaces"),
    rule("update", "core", "namespaces/finalize namespaces/status"),
    rule("delete deletecollection get list watch", "*", "*"),
  ],
  "node-controller": [
    rule("delete get list patch update watch", "core", "nodes"),
    rule("patch update", "core", "nodes/status"),
    rule("patch update", "core", "pods/status"),
    rule("delete get list watch", "core", "pods"),
    recordEvents,
  ],
  "persistent-volume-binder": [
    rule("create delete get list update watch", "core", "persistentvolumes"),
    rule("update", "core", "persistentvolumes/status"),
    rule("get list update watch", "core", "persistentvolumeclaims"),
    rule("update", "core", "persistentvolumeclaims/status"),
    rule("create delete get list watch", "core", "pods"),
    rule(read, "storage.k8s.io", "storageclasses"),
    rule("list watch", "core", "nodes"),
    recordEvents,
    rule("watch", "core", "events"),
    rule("get", "core", "services"),
  ],
  "pod-garbage-collector": [
    rule("delete list watch", "core", "pods"),
    rule(read, "core", "nodes"),
    rule("patch", "core", "pods/status"),
  ],
  "pv-protection-controller": [
    rule("get list update watch", "core", "persistentvolumes"),
    recordEvents,
  ],
  "pvc-protection-controller": [
    rule("get list update watch", "core", "persistentvolumeclaims"),
    rule(read, "core", "pods"),
    recordEvents,
  ],
  "replicaset-controller": [
    rule("get list update watch", apps, "replicasets"),
    rule("update", apps, "replicasets/status"),
    rule("update", apps, "replicasets/finalizers"),
    managePods,
    recordEvents,
  ],
  "replication-controller": [
    rule("get list update watch", "core", "replicationcontrollers"),
    rule("update", "core", "replicationcontrollers/status"),
    rule("update", "core", "replicationcontrollers/finalizers"),
    managePods,
    recordEvents,
  ],
  "resourcequota-controller": [
    rule("list watch", "*", "*"),
    rule("update", "core", "resourcequotas/status"),
    recordEvents,
  ],
  "root-ca-cert-publisher": [rule("create update", "core", "configmaps"), recordEvents],
  "route-controller": [
    rule("list watch", "core", "nodes"),
    rule("patch", "core", "nodes/status"),
    recordEvents,
  ],
  "service-account-controller": [rule("create", "core", "serviceaccounts"), recordEvents],
  "service-cidrs-controller": [
    rule("get list patch update watch", "networking.k8s.io", "servicecidrs"),
    rule("patch update", "networking.k8s.io", "servicecidrs/finalizers"),
    rule("patch update", "networking.k8s.io", "servicecidrs/status"),
    rule(read, "networking.k8s.io", "ipaddresses"),
    recordEvents,
  ],
  "service-controller": [
    rule(read, "core", "services"),
    rule("patch update", "core", "services/status"),
    rule("list watch", "core", "nodes"),
    recordEvents,
  ],
  "statefulset-controller": [
    rule("list watch", "core", "pods"),
    rule(read, "apps", "statefulsets"),
    rule("update", "apps", "statefulsets/status"),
    rule("update", "apps", "statefulsets/finalizers"),
    rule("create delete get patch update", "core", "pods"),
    revisions,
    rule("create get list watch", "core", "persistentvolumeclaims"),
    rule("delete update", "core", "persistentvolumeclaims"),
    rule("update", "core", "pods/finalizers"),
    recordEvents,
  ],
  "ttl-after-finished-controller": [rule("delete get list watch", "batch", "jobs"), recordEvents],
  "ttl-controller": [rule("list patch update watch", "core", "nodes"), recordEvents],
  "certificate-controller": [
    rule("delete get list watch", "certificates.k8s.io", csr),
    rule("update", "certificates.k8s.io", `${csr}/approval ${csr}/status`),
    rule(
      "approve",
      "certificates.k8s.io",
      "signers",
      "kubernetes.io/kube-apiserver-client-kubelet",
    ),
    rule(
      "sign",
      "certificates.k8s.io",
      "signers",
      "kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet " +
        "kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown",
    ),
    rule("create", "authorization.k8s.io", "subjectaccessreviews"),
    recordEvents,
  ],
  "volumeattributesclass-protection-controller": [
    rule(read, "core", "persistentvolumeclaims"),
    rule(read, "core", "persistentvolumes"),
    rule("get list update watch", "storage.k8s.io", "volumeattributesclasses"),
    recordEvents,
  ],
  "validatingadmissionpolicy-status-controller": [
    rule(read, "admissionregistration.k8s.io", "validatingadmissionpolicies"),
    rule("get patch update", "admissionregistration.k8s.io", "validatingadmissionpolicies/status"),
    recordEvents,
  ],
};

export const controllerRolePrefix = "system:controller:";

export const controllerRoles: readonly RoleEntry[] = Object.entries(rules).map(([name, list]) => ({
  name: `${controllerRolePrefix}${name}`,
  rules: list,
}));
