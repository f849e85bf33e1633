import { Pod, type PodStatus, PodsService } from "../../../../proto/gen/core.ts";
import { defineKind } from "../../machinery/define.ts";
import type { Document } from "../../machinery/resource.ts";
import { addLabelKeys } from "./affinity-keys.ts";
import { podColumns } from "./columns.ts";
import { setPodDefaults } from "./defaults.ts";
import { isFinished } from "./phase.ts";
import { qosClassOf } from "./qos.ts";
import { validatePodStatusUpdate } from "./status-validation.ts";
import { validatePodSpecUpdate } from "./update-validation.ts";
import { validatePod } from "./validation.ts";
import { nameWarnings, podWarnings } from "./warnings.ts";

const graceSecondsDefault = 30;

/** The condition of a new pod with scheduling gates (upstream `applySchedulingGatedCondition`). */
const gated = {
  type: "PodScheduled",
  status: "False",
  reason: "SchedulingGated",
  message: "Scheduling is blocked due to non-empty scheduling gates",
} as const;

export const pod = defineKind({
  message: "trireme.core.v1.Pod",
  codec: Pod,
  service: PodsService,
  shortNames: ["po"],
  categories: ["all"],

  setDefaults(document) {
    const pod = document as Pod;
    pod.spec ??= {};
    setPodDefaults(pod.spec);
    pod.status ??= {};
    pod.status.phase ??= "Pending";
    pod.status.qosClass ??= qosClassOf(pod);
    setAddressDefaults(pod.status);
  },
  prepareForCreate(document) {
    const pod = document as Pod;
    addLabelKeys(pod.spec ?? {}, pod.metadata?.labels ?? {});
    pod.status = { phase: "Pending", qosClass: qosClassOf(pod) };
    const gates = pod.spec?.schedulingGates ?? [];
    if (gates.length === 0) return;
    const { creationTimestamp: lastTransitionTime } = pod.metadata ?? {};
    pod.status.conditions = [{ ...gated, lastTransitionTime }];
  },
  warnings: (document, stored) =>
    stored === undefined
      ? [...nameWarnings(document, "the Pod's hostname"), ...podWarnings(document as Pod)]
      : [],
  validatesSpecAlone: true,
  validate: (document, stored) => validatePod(document as Pod, (stored as Pod | undefined)?.spec),
  validateUpdate: (next, stored, context) =>
    context?.subresource === "status"
      ? validatePodStatusUpdate(next as Pod, stored as Pod)
      : validatePodSpecUpdate((next as Pod).spec ?? {}, (stored as Pod).spec ?? {}),
  deletionGraceSeconds(document, requested) {
    const pod = document as Pod;
    const { spec } = pod;
    // No kubelet has it, or its containers have ended: nothing is left to stop.
    if (!spec?.nodeName || isFinished(pod)) return undefined;
    const seconds = requested ?? spec.terminationGracePeriodSeconds ?? graceSecondsDefault;
    if (seconds === 0) return undefined;
    return seconds < 0 ? 1 : seconds;
  },
  selectableFields: {
    "spec.nodeName": (document) => spec(document).nodeName ?? "",
    "spec.restartPolicy": (document) => spec(document).restartPolicy ?? "",
    "spec.schedulerName": (document) => spec(document).schedulerName ?? "",
    "spec.serviceAccountName": (document) => spec(document).serviceAccountName ?? "",
    "spec.hostNetwork": (document) => String(spec(document).hostNetwork ?? false),
    "status.phase": (document) => (document as Pod).status?.phase ?? "",
    "status.podIP": (document) => (document as Pod).status?.podIP ?? "",
    "status.nominatedNodeName": (document) => (document as Pod).status?.nominatedNodeName ?? "",
  },
  indexedFields: ["spec.nodeName"],
  columns: podColumns,
});

/** Older kubelets write `podIP` alone, which decides where both are there and differ, as upstream. */
function setAddressDefaults(status: PodStatus): void {
  const first = status.podIPs?.[0]?.ip;
  if (status.podIP) {
    if (first !== status.podIP) status.podIPs = [{ ip: status.podIP }];
  } else if (first) status.podIP = first;
}

function spec(document: Document): NonNullable<Pod["spec"]> {
  return (document as Pod).spec ?? {};
}
