/**
 * The status of a pod, from what the runtime shows. Pure: the same facts give the same status.
 * Phases and conditions follow upstream's kubelet (`getPhase`, `status/generate.go`).
 */
import type {
  Container,
  ContainerState,
  ContainerStatus,
  Pod,
  PodStatus,
  ResourceRequirements,
} from "../../../proto/gen/core.ts";
import { isSidecar, qosClassOf, rfc3339Seconds } from "../../kinds/facts.ts";
import { kubeletLimits } from "../limits.ts";
import type { Container as RuntimeContainer } from "../runtime/types.ts";
import { conditionsOf } from "./conditions.ts";
import { type HostIPs, hostIPList, type PodIPs, podIPList } from "./pod-ips.ts";
import type { ResizeState } from "./resize.ts";

export interface Waiting {
  readonly reason: string;
  readonly message?: string | undefined;
}

export interface StatusFacts {
  readonly pod: Pod;
  /** As in containerID. */
  readonly runtimeName: string;
  /** This pod's, any order. */
  readonly containers: readonly RuntimeContainer[];
  /** Why a container does not run, by name, where the worker knows. */
  readonly waiting: ReadonlyMap<string, Waiting>;
  /** By container id; absent: no probe has spoken. */
  readonly ready: (id: string, container: Container) => boolean;
  readonly started: (id: string, container: Container) => boolean;
  readonly sandboxReady: boolean;
  /** Undefined: the pod has no network now. */
  readonly podIPs: PodIPs | undefined;
  readonly hostIPs: HostIPs;
  /** Unix milliseconds. */
  readonly now: number;
  /** What was reported last: transition times and the start time live on. */
  readonly previous: PodStatus | undefined;
  /** Of a running container; absent: nothing is told. */
  readonly resources?:
    | ((run: RuntimeContainer) => {
        readonly allocated: ResourceRequirements;
        readonly actual: ResourceRequirements;
      })
    | undefined;
  readonly resize?: ResizeState | undefined;
  /** The kubelet ends the pod for this reason, e.g. DeadlineExceeded. */
  readonly failure?:
    | {
        readonly reason: string;
        readonly message: string;
        /** The pod goes for the node's sake. */
        readonly disrupts?: boolean | undefined;
      }
    | undefined;
  /** Nothing of the pod will ever run again. */
  readonly over: boolean;
  /** What an exited container left to be told; undefined: nothing. */
  readonly message: (run: RuntimeContainer) => string | undefined;
}

export interface Runs {
  readonly latest: RuntimeContainer | undefined;
  readonly previous: RuntimeContainer | undefined;
}

/** The newest run of a container, and the one before. */
export function runsOf(containers: readonly RuntimeContainer[], name: string): Runs {
  const runs = containers
    .filter((one) => one.name === name)
    .sort((a, b) => b.attempt - a.attempt || b.createdAt - a.createdAt);
  return { latest: runs[0], previous: runs[1] };
}

/** Whether a container that ended so is to run again. */
export function shouldRestart(policy: string | undefined, exitCode: number | undefined): boolean {
  if (policy === "Never") return false;
  if (policy === "OnFailure") return exitCode !== 0;
  return true;
}

export function generateStatus(facts: StatusFacts): PodStatus {
  const { pod, previous } = facts;
  const spec = pod.spec ?? {};
  const initContainers = spec.initContainers ?? [];
  const containers = spec.containers ?? [];
  const initDone = initializationDone(facts);
  const statusOf = (fallback: string) => (container: Container) =>
    containerStatus(facts, container, fallback);
  const initStatuses = initContainers.map(statusOf("PodInitializing"));
  const statuses = containers.map(statusOf(initDone ? "ContainerCreating" : "PodInitializing"));
  const phase =
    facts.failure !== undefined && facts.over
      ? "Failed"
      : stickyPhase(previous?.phase, podPhase(facts, initStatuses, statuses));
  const status: PodStatus = {
    phase,
    conditions: conditionsOf(facts, phase, initStatuses, statuses, initDone),
    hostIP: facts.hostIPs.hostIP,
    hostIPs: hostIPList(facts.hostIPs).map((ip) => ({ ip })),
    startTime: previous?.startTime ?? rfc3339Seconds(facts.now),
    qosClass: qosClassOf(pod),
    containerStatuses: statuses,
  };
  if (pod.metadata?.generation !== undefined) status.observedGeneration = pod.metadata.generation;
  if (initContainers.length > 0) status.initContainerStatuses = initStatuses;
  const ephemeral = (spec.ephemeralContainers ?? []).map(statusOf("ContainerCreating"));
  if (ephemeral.length > 0) status.ephemeralContainerStatuses = ephemeral.map(notCounted);
  if (facts.podIPs !== undefined) {
    status.podIP = facts.podIPs.podIP;
    status.podIPs = podIPList(facts.podIPs).map((ip) => ({ ip }));
  } else if (previous?.podIP !== undefined) {
    status.podIP = previous.podIP;
    status.podIPs = previous.podIPs ?? [{ ip: previous.podIP }];
  }
  const failure = facts.failure ?? previous;
  if (failure?.reason !== undefined) status.reason = failure.reason;
  if (failure?.message !== undefined) status.message = failure.message;
  return status;
}

/** A container for debugging says nothing of the pod's service. */
function notCounted({ started: _, ...status }: ContainerStatus): ContainerStatus {
  return { ...status, ready: false };
}

/** A pod that has failed or succeeded stays so. */
function stickyPhase(previous: string | undefined, phase: string): string {
  return previous === "Failed" || previous === "Succeeded" ? previous : phase;
}

export function isTerminal(status: PodStatus | undefined): boolean {
  return status?.phase === "Failed" || status?.phase === "Succeeded";
}

/** Status of a pod this node does not take. */
export function rejectedStatus(pod: Pod, reason: string, message: string, now: number): PodStatus {
  return {
    phase: "Failed",
    reason,
    message: `Pod was rejected: ${message}`,
    startTime: rfc3339Seconds(now),
    qosClass: qosClassOf(pod),
    ...(pod.status?.conditions && { conditions: pod.status.conditions }),
  };
}

/** Whether every init container has done its part: ended well, or as a sidecar has started. */
function initializationDone(facts: StatusFacts): boolean {
  const spec = facts.pod.spec ?? {};
  const mains = new Set((spec.containers ?? []).map((container) => container.name));
  if (facts.containers.some((one) => mains.has(one.name))) return true;
  return (spec.initContainers ?? []).every((container) => {
    const { latest } = runsOf(facts.containers, container.name ?? "");
    if (latest === undefined) return false;
    if (isSidecar(container)) {
      return latest.state === "running" && facts.started(latest.id, container);
    }
    return latest.state === "exited" && latest.exitCode === 0;
  });
}

/** The pod's containers share a budget, so that a status has a bounded size. */
function messageOf(facts: StatusFacts, run: RuntimeContainer): string | undefined {
  const { containers = [], initContainers = [], ephemeralContainers = [] } = facts.pod.spec ?? {};
  const all = containers.length + initContainers.length + ephemeralContainers.length;
  const count = Math.max(1, all);
  const bytesMax = Math.floor(kubeletLimits.terminationMessagesBytesOfPod / count);
  const text = facts.message(run);
  if (text === undefined || Buffer.byteLength(text) <= bytesMax) return text;
  return Buffer.from(text).subarray(0, bytesMax).toString("utf8");
}

function terminatedState(facts: StatusFacts, run: RuntimeContainer): ContainerState {
  const message = messageOf(facts, run);
  return {
    terminated: {
      exitCode: run.exitCode ?? 137,
      reason: run.reason ?? "ContainerStatusUnknown",
      ...(message !== undefined && { message }),
      ...(run.startedAt !== undefined && { startedAt: rfc3339Seconds(run.startedAt) }),
      ...(run.finishedAt !== undefined && { finishedAt: rfc3339Seconds(run.finishedAt) }),
      containerID: `${facts.runtimeName}://${run.id}`,
    },
  };
}

function containerStatus(
  facts: StatusFacts,
  container: Container,
  fallback: string,
): ContainerStatus {
  const name = container.name ?? "";
  const { latest, previous } = runsOf(facts.containers, name);
  const waiting = facts.waiting.get(name);
  const status: ContainerStatus = {
    name,
    image: container.image ?? "",
    imageID: "",
    ready: false,
    restartCount: latest?.attempt ?? 0,
    started: false,
    state: {},
    lastState: {},
  };
  if (latest === undefined) {
    // A record that is gone leaves what was reported.
    const told = reported(facts, name);
    if (facts.over && told?.state?.terminated !== undefined) return told;
    status.state = { waiting: waitingState(waiting ?? { reason: fallback }) };
    return status;
  }
  status.containerID = `${facts.runtimeName}://${latest.id}`;
  status.image = latest.image;
  status.imageID = latest.imageId;
  if (previous !== undefined) status.lastState = terminatedState(facts, previous);
  if (latest.state === "running") {
    const startedAt = rfc3339Seconds(latest.startedAt ?? latest.createdAt);
    status.state = { running: { startedAt } };
    const given = facts.resources?.(latest);
    const { requests } = given?.allocated ?? {};
    if (requests !== undefined) status.allocatedResources = requests;
    if (given !== undefined) status.resources = given.actual;
    status.started = facts.started(latest.id, container);
    status.ready = status.started && facts.ready(latest.id, container);
  } else if (latest.state === "exited") {
    if (waiting !== undefined && !facts.over) {
      status.state = { waiting: waitingState(waiting) };
      status.lastState = terminatedState(facts, latest);
    } else status.state = terminatedState(facts, latest);
    const isInit = (facts.pod.spec?.initContainers ?? []).includes(container);
    if (isInit && !isSidecar(container)) status.ready = latest.exitCode === 0;
  } else status.state = { waiting: waitingState(waiting ?? { reason: fallback }) };
  return status;
}

function waitingState(waiting: Waiting) {
  return waiting.message === undefined
    ? { reason: waiting.reason }
    : { reason: waiting.reason, message: waiting.message };
}

function reported(facts: StatusFacts, name: string): ContainerStatus | undefined {
  const { previous = {} } = facts;
  const { containerStatuses, initContainerStatuses, ephemeralContainerStatuses } = previous;
  return [containerStatuses, initContainerStatuses, ephemeralContainerStatuses]
    .flatMap((list) => list ?? [])
    .find((status) => status.name === name);
}

function podPhase(
  facts: StatusFacts,
  initStatuses: readonly ContainerStatus[],
  statuses: readonly ContainerStatus[],
): string {
  const spec = facts.pod.spec ?? {};
  const { restartPolicy } = spec;
  const mains = statuses.map((status) => status.state ?? {});
  const begun = statuses.some((status) => status.containerID !== undefined);
  let pendingInit = false;
  let failedInit = false;
  let sidecarsRunning = 0;
  for (const [index, container] of (spec.initContainers ?? []).entries()) {
    if (isSidecar(container)) {
      pendingInit ||= initStatuses[index]?.started !== true;
      if (initStatuses[index]?.state?.running !== undefined) sidecarsRunning += 1;
      continue;
    }
    const { terminated } = initStatuses[index]?.state ?? {};
    if (terminated === undefined) pendingInit = true;
    else if (terminated.exitCode !== 0) failedInit = true;
  }
  if (failedInit && restartPolicy === "Never" && (sidecarsRunning === 0 || facts.over)) {
    return "Failed";
  }
  if ((pendingInit || failedInit) && !begun) return facts.over ? "Failed" : "Pending";

  const running = mains.filter((state) => state.running).length;
  const ended = statuses.filter(
    ({ state, lastState }) => state?.terminated ?? (state?.waiting && lastState?.terminated),
  );
  const neverRan = mains.length - running - ended.length;
  if (neverRan > 0) return facts.over ? "Failed" : "Pending";
  // A pod runs until its last sidecar has ended, too.
  if (running > 0 || (sidecarsRunning > 0 && !facts.over)) return "Running";
  const codes = statuses.map(({ state }) => state?.terminated?.exitCode);
  const succeeded = codes.every((code) => code === 0);
  if (facts.over) return succeeded ? "Succeeded" : "Failed";
  if (restartPolicy === "Always" || restartPolicy === undefined) return "Running";
  if (succeeded) return "Succeeded";
  return restartPolicy === "Never" ? "Failed" : "Running";
}
