/** What becomes of the fields of a pod's spec, its scheduling and its security settings. */
import {
  behaves,
  oneOfValues,
  refused,
  type SupportTable,
  warned,
} from "../../machinery/field-support.ts";

const kubelet = "the kubelet";
const scheduler = "the scheduler";
const validation = "validation and admission";
const noEffect = "the process runtime of this kubelet does not apply it, it has no effect";

export const podSpecFields: SupportTable = {
  "trireme.core.v1.PodTemplateSpec": behaves("the controllers that make pods", "metadata spec"),
  "trireme.core.v1.PodSpec": {
    ...behaves(kubelet, "volumes initContainers containers restartPolicy hostNetwork hostname"),
    ...behaves(kubelet, "terminationGracePeriodSeconds activeDeadlineSeconds securityContext"),
    ...behaves(kubelet, "readinessGates enableServiceLinks nodeName"),
    ...behaves(scheduler, "nodeSelector affinity schedulerName tolerations priority overhead"),
    ...behaves(scheduler, "schedulingGates resources"),
    ...behaves(validation, "serviceAccountName serviceAccount priorityClassName"),
    ...refused("ephemeralContainers", "validation: cannot be set on create"),
    ...refused("runtimeClassName", "admission: no RuntimeClass of that name"),
    ...warned(
      "automountServiceAccountToken imagePullSecrets",
      "no tokens are mounted and no images are pulled by this kubelet, it has no effect",
    ),
    ...warned("hostPID hostIPC shareProcessNamespace hostAliases dnsConfig", noEffect),
    ...warned("hostUsers", noEffect, oneOfValues(true)),
    ...warned("dnsPolicy", noEffect, oneOfValues("ClusterFirst", "Default")),
    ...warned("subdomain setHostnameAsFQDN", "there is no cluster DNS, it has no effect"),
    ...warned(
      "preemptionPolicy",
      "the scheduler does not preempt, it has no effect",
      oneOfValues("Never", ""),
    ),
    ...warned("topologySpreadConstraints", "the scheduler does not read it, it has no effect"),
    ...warned(
      "resourceClaims",
      "no device driver is known to this cluster, the claims are not allocated",
    ),
    ...behaves(validation, "os"),
  },
  "trireme.core.v1.PodOS": behaves(validation, "name"),
  "trireme.core.v1.PodReadinessGate": behaves(kubelet, "conditionType"),
  "trireme.core.v1.PodSchedulingGate": behaves(scheduler, "name"),
  "trireme.core.v1.Toleration": behaves(
    "the scheduler and the node lifecycle controller",
    "key operator value effect tolerationSeconds",
  ),
  "trireme.core.v1.Affinity": {
    ...behaves(scheduler, "nodeAffinity"),
    ...warned("podAffinity podAntiAffinity", "the scheduler does not read it, it has no effect"),
  },
  "trireme.core.v1.NodeAffinity": behaves(
    scheduler,
    "requiredDuringSchedulingIgnoredDuringExecution preferredDuringSchedulingIgnoredDuringExecution",
  ),
  "trireme.core.v1.NodeSelector": behaves(scheduler, "nodeSelectorTerms"),
  "trireme.core.v1.NodeSelectorTerm": behaves(scheduler, "matchExpressions matchFields"),
  "trireme.core.v1.NodeSelectorRequirement": behaves(scheduler, "key operator values"),
  "trireme.core.v1.PreferredSchedulingTerm": behaves(scheduler, "weight preference"),
  "trireme.core.v1.PodSecurityContext": {
    ...behaves(kubelet, "runAsUser runAsGroup runAsNonRoot supplementalGroups"),
    ...warned("fsGroup fsGroupChangePolicy sysctls", noEffect),
    ...warned("supplementalGroupsPolicy", noEffect, oneOfValues("Merge")),
    ...warned("seccompProfile appArmorProfile", noEffect, oneOfValues({ type: "Unconfined" })),
    ...warned("seLinuxOptions seLinuxChangePolicy", noEffect),
    ...refused("windowsOptions", "validation: no node runs Windows"),
  },
  "trireme.core.v1.SecurityContext": {
    ...behaves(kubelet, "runAsUser runAsGroup runAsNonRoot"),
    ...warned("privileged capabilities readOnlyRootFilesystem", noEffect),
    ...warned("allowPrivilegeEscalation", noEffect, oneOfValues(true)),
    ...warned("procMount", noEffect, oneOfValues("Default")),
    ...warned("seccompProfile appArmorProfile", noEffect, oneOfValues({ type: "Unconfined" })),
    ...warned("seLinuxOptions", noEffect),
    ...refused("windowsOptions", "validation: no node runs Windows"),
  },
};
