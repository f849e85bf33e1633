/** What becomes of the fields of a pod's spec, its scheduling and its security settings. */
import {
  behaves,
  oneOfValues,
  refused,
  type SupportTable,
  saysNothing,
  warned,
} from "../../machinery/field-support.ts";
import { isObject } from "../../machinery/json.ts";

const kubelet = "the kubelet";
const scheduler = "the scheduler";
const validation = "validation and admission";
const noEffect = "the process runtime of this kubelet does not apply it, it has no effect";
const notStarted = "the kubelet refuses it, the pod's containers will not start";
const noProfiles =
  "the process runtime of this kubelet enforces no profiles: RuntimeDefault has no effect, with " +
  "Localhost the container will not start";

export const podSpecFields: SupportTable = {
  "trireme.core.v1.PodTemplateSpec": behaves("the controllers that make pods", "metadata spec"),
  "trireme.core.v1.PodSpec": {
    ...behaves(kubelet, "volumes initContainers containers restartPolicy hostNetwork hostname"),
    ...behaves(kubelet, "terminationGracePeriodSeconds activeDeadlineSeconds securityContext"),
    ...behaves(kubelet, "readinessGates enableServiceLinks nodeName hostAliases subdomain"),
    ...behaves(kubelet, "setHostnameAsFQDN dnsPolicy dnsConfig"),
    ...behaves("the kubelet, whose processes share them anyway", "hostPID hostIPC"),
    ...behaves("the kubelet, whose processes share them anyway", "shareProcessNamespace"),
    ...behaves(scheduler, "nodeSelector affinity schedulerName tolerations priority overhead"),
    ...behaves(scheduler, "schedulingGates"),
    ...behaves("admission, which mounts the token", "automountServiceAccountToken"),
    ...behaves(validation, "serviceAccountName serviceAccount priorityClassName os"),
    ...refused("ephemeralContainers", "validation: cannot be set on create"),
    ...warned("runtimeClassName", notStarted),
    ...warned("imagePullSecrets", "no images are pulled from registries, it has no effect"),
    ...warned("hostUsers", notStarted, oneOfValues(true)),
    ...warned("resourceClaims", "devices are not allocated, the pod waits without a node"),
    ...behaves(scheduler, "preemptionPolicy topologySpreadConstraints"),
    ...warned("resources", "the limits of a whole pod are not enforced", withoutLimits),
  },
  "trireme.core.v1.PodOS": behaves(validation, "name"),
  "trireme.core.v1.PodReadinessGate": behaves(kubelet, "conditionType"),
  "trireme.core.v1.PodSchedulingGate": behaves(scheduler, "name"),
  "trireme.core.v1.Toleration": behaves(
    "the scheduler and the node lifecycle controller",
    "key operator value effect tolerationSeconds",
  ),
  "trireme.core.v1.Affinity": behaves(scheduler, "nodeAffinity podAffinity podAntiAffinity"),
  "trireme.core.v1.PodAffinity": behaves(
    scheduler,
    "requiredDuringSchedulingIgnoredDuringExecution preferredDuringSchedulingIgnoredDuringExecution",
  ),
  "trireme.core.v1.PodAntiAffinity": behaves(
    scheduler,
    "requiredDuringSchedulingIgnoredDuringExecution preferredDuringSchedulingIgnoredDuringExecution",
  ),
  "trireme.core.v1.WeightedPodAffinityTerm": behaves(scheduler, "weight podAffinityTerm"),
  "trireme.core.v1.PodAffinityTerm": {
    ...behaves(scheduler, "labelSelector namespaces topologyKey namespaceSelector"),
    ...behaves(
      "the apiserver, which adds them to the selector",
      "matchLabelKeys mismatchLabelKeys",
    ),
  },
  "trireme.core.v1.TopologySpreadConstraint": behaves(
    scheduler,
    "maxSkew topologyKey whenUnsatisfiable labelSelector minDomains nodeAffinityPolicy " +
      "nodeTaintsPolicy matchLabelKeys",
  ),
  "trireme.core.v1.NodeAffinity": behaves(
    scheduler,
    "requiredDuringSchedulingIgnoredDuringExecution preferredDuringSchedulingIgnoredDuringExecution",
  ),
  "trireme.core.v1.NodeSelector": behaves(scheduler, "nodeSelectorTerms"),
  "trireme.core.v1.NodeSelectorTerm": behaves(scheduler, "matchExpressions matchFields"),
  "trireme.core.v1.NodeSelectorRequirement": behaves(scheduler, "key operator values"),
  "trireme.core.v1.PreferredSchedulingTerm": behaves(scheduler, "weight preference"),
  "trireme.core.v1.PodSecurityContext": {
    ...behaves(kubelet, "runAsUser runAsGroup runAsNonRoot supplementalGroups fsGroup"),
    ...behaves(kubelet, "fsGroupChangePolicy supplementalGroupsPolicy"),
    ...warned("sysctls", notStarted),
    ...warned("seccompProfile appArmorProfile", noProfiles, oneOfValues({ type: "Unconfined" })),
    ...warned("seLinuxOptions seLinuxChangePolicy", noEffect),
    ...refused("windowsOptions", "validation: no node runs Windows"),
  },
  "trireme.core.v1.SecurityContext": {
    ...behaves(kubelet, "runAsUser runAsGroup runAsNonRoot capabilities privileged procMount"),
    ...behaves(kubelet, "readOnlyRootFilesystem allowPrivilegeEscalation"),
    ...warned("seccompProfile appArmorProfile", noProfiles, oneOfValues({ type: "Unconfined" })),
    ...warned("seLinuxOptions", noEffect),
    ...refused("windowsOptions", "validation: no node runs Windows"),
  },
  "trireme.core.v1.Capabilities": behaves(kubelet, "add drop"),
  "trireme.core.v1.HostAlias": behaves(kubelet, "ip hostnames"),
  "trireme.core.v1.PodDNSConfig": behaves(kubelet, "nameservers searches options"),
  "trireme.core.v1.PodDNSConfigOption": behaves(kubelet, "name value"),
};

function withoutLimits(resources: unknown): boolean {
  return !isObject(resources) || saysNothing(resources["limits"]);
}
