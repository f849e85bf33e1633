/** A pod as a table row: the rules of upstream's `printers/internalversion.printPod`. */
import type { ContainerState, ContainerStatus, Pod } from "../../../../proto/gen/core.ts";
import { ageColumn, nameColumn } from "../../machinery/define.ts";
import type { Column, Document } from "../../machinery/resource.ts";
import { age, parseTime } from "../../machinery/time.ts";
import { isSidecar } from "./containers.ts";
import { isFinished } from "./phase.ts";

const none = "<none>";
const asPod = (document: Document): Pod => document as Pod;

export const podColumns: readonly Column[] = [
  nameColumn,
  {
    name: "Ready",
    description: "Ready containers of all.",
    value: (document) => {
      const { ready, total } = summarise(asPod(document));
      return `${ready}/${total}`;
    },
  },
  {
    name: "Status",
    description: "Phase of the pod, or what keeps it from the next.",
    value: (document) => summarise(asPod(document)).status,
  },
  {
    name: "Restarts",
    description: "Restarts of its containers together, and when the last one was.",
    value: (document, now) => {
      const { restarts, lastRestart } = summarise(asPod(document));
      const when =
        restarts === 0 || lastRestart === undefined ? "" : ` (${age(lastRestart, now)} ago)`;
      return `${restarts}${when}`;
    },
  },
  ageColumn,
  {
    name: "IP",
    description: "Address of the pod.",
    wide: true,
    value: (document) => {
      const { status } = asPod(document);
      return status?.podIPs?.[0]?.ip || status?.podIP || none;
    },
  },
  {
    name: "Node",
    description: "Where it is bound to.",
    wide: true,
    value: (document) => asPod(document).spec?.nodeName || none,
  },
  {
    name: "Nominated Node",
    description: "Where a pod of lower priority makes room for it.",
    wide: true,
    value: (document) => asPod(document).status?.nominatedNodeName || none,
  },
  {
    name: "Readiness Gates",
    description: "Conditions that are met, of those that must be.",
    wide: true,
    value: (document) => readinessGates(asPod(document)),
  },
];

function readinessGates(pod: Pod): string {
  const gates = pod.spec?.readinessGates ?? [];
  if (gates.length === 0) return none;
  const met = gates.filter(({ conditionType = "" }) => conditionIs(pod, conditionType));
  return `${met.length}/${gates.length}`;
}

function conditionIs(pod: Pod, type: string): boolean {
  return (pod.status?.conditions ?? []).some(
    (condition) => condition.type === type && condition.status === "True",
  );
}

export interface PodSummary {
  readonly ready: number;
  readonly total: number;
  /** What kubectl prints under STATUS, e.g. `CrashLoopBackOff`, `Init:0/1`, `Terminating`. */
  readonly status: string;
  readonly restarts: number;
  /** When a container last ended and was started anew; RFC 3339. */
  readonly lastRestart: string | undefined;
}

interface Progress {
  status: string;
  ready: number;
  restarts: number;
  lastRestart: string | undefined;
}

/** A pod that has no field of these names, at any depth, is shown by its phase. */
export const statusFields: readonly string[] = [
  "deletionTimestamp",
  "initContainerStatuses",
  "reason",
  "terminated",
];

export function summarise(pod: Pod): PodSummary {
  const status = pod.status ?? {};
  const sidecars = new Set(
    (pod.spec?.initContainers ?? []).filter(isSidecar).map((container) => container.name),
  );
  const total = (pod.spec?.containers ?? []).length + sidecars.size;
  const gated = (status.conditions ?? []).some(
    ({ type, reason }) => type === "PodScheduled" && reason === "SchedulingGated",
  );
  const phase = status.phase ?? "";
  const initial = gated ? "SchedulingGated" : status.reason || phase || "Pending";
  const named = (name: string | undefined): boolean => sidecars.has(name);
  const init = initialising(pod, initial, named);
  let progress = init.progress;
  if (!init.initialising || conditionIs(pod, "Initialized")) {
    progress = running(pod, init.progress, init.sidecarRestarts, init.sidecarRestart);
  }
  if (pod.metadata?.deletionTimestamp !== undefined) {
    if (status.reason === "NodeLost") progress.status = "Unknown";
    else if (!isFinished(pod)) progress.status = "Terminating";
  }
  return { total, ...progress };
}

function initialising(pod: Pod, initial: string, isSidecar: (name?: string) => boolean) {
  const progress: Progress = { status: initial, ready: 0, restarts: 0, lastRestart: undefined };
  let sidecarRestarts = 0;
  let sidecarRestart: string | undefined;
  const count = (pod.spec?.initContainers ?? []).length;
  for (const [index, container] of (pod.status?.initContainerStatuses ?? []).entries()) {
    const { state = {} } = container;
    const sidecar = isSidecar(container.name);
    countRestarts(progress, container);
    if (sidecar) {
      sidecarRestarts += container.restartCount ?? 0;
      sidecarRestart = later(sidecarRestart, container.lastState?.terminated?.finishedAt);
    }
    if (state.terminated !== undefined && (state.terminated.exitCode ?? 0) === 0) continue;
    if (sidecar && container.started === true) {
      if (container.ready) progress.ready += 1;
      continue;
    }
    const waiting = state.waiting?.reason ?? "";
    if (state.terminated !== undefined) progress.status = `Init:${endedReason(state)}`;
    else if (waiting !== "" && waiting !== "PodInitializing") progress.status = `Init:${waiting}`;
    else progress.status = `Init:${index}/${count}`;
    return { progress, initialising: true, sidecarRestarts, sidecarRestart };
  }
  return { progress, initialising: false, sidecarRestarts, sidecarRestart };
}

function running(
  pod: Pod,
  before: Progress,
  sidecarRestarts: number,
  sidecarRestart: string | undefined,
): Progress {
  const progress: Progress = {
    status: before.status,
    ready: before.ready,
    restarts: sidecarRestarts,
    lastRestart: sidecarRestart,
  };
  let anyRunning = false;
  // From the last to the first, so that the first container has the last word.
  for (const container of (pod.status?.containerStatuses ?? []).toReversed()) {
    countRestarts(progress, container);
    const { state = {} } = container;
    if (state.waiting?.reason) progress.status = state.waiting.reason;
    else if (state.terminated !== undefined) progress.status = endedReason(state);
    else if (container.ready && state.running !== undefined) {
      anyRunning = true;
      progress.ready += 1;
    }
  }
  if (progress.status === "Completed" && anyRunning) {
    progress.status = conditionIs(pod, "Ready") ? "Running" : "NotReady";
  }
  return progress;
}

function countRestarts(progress: Progress, container: ContainerStatus): void {
  progress.restarts += container.restartCount ?? 0;
  progress.lastRestart = later(progress.lastRestart, container.lastState?.terminated?.finishedAt);
}

function later(left: string | undefined, right: string | undefined): string | undefined {
  const [first, second] = [parseTime(left), parseTime(right)];
  if (second === undefined) return left;
  return first === undefined || second > first ? right : left;
}

function endedReason({ terminated }: ContainerState): string {
  if (terminated?.reason) return terminated.reason;
  if (terminated?.signal) return `Signal:${terminated.signal}`;
  return `ExitCode:${terminated?.exitCode ?? 0}`;
}
