/** What a pod's worker needs of the node it runs on, and its helpers of the worker. */
import type { Log } from "../../../ha/runtime/types.ts";
import type { Container, Pod, PodStatusReport, Service } from "../../../proto/gen/core.ts";
import type { EventRecorder, LoopClock } from "../../client/mod.ts";
import type { CsiVolumes } from "../csi/volumes.ts";
import type { PodAddresses } from "../node/pod-ranges.ts";
import type { ContainerRuntime, Container as RuntimeContainer } from "../runtime/types.ts";
import type { AskForToken } from "./account-tokens.ts";
import type { ConfigSource } from "./environment.ts";
import type { ClusterDns } from "./network-files.ts";
import type { ProbeRunner } from "./probes.ts";
import type { ResizeRefusal } from "./resize.ts";

export interface WorkerContext {
  readonly clock: LoopClock;
  readonly log: Log;
  readonly runtime: ContainerRuntime;
  readonly probeRunner: ProbeRunner;
  readonly events: Pick<EventRecorder, "event">;
  readonly config: ConfigSource;
  readonly askForToken: AskForToken;
  readonly services: () => readonly Service[];
  readonly nodeName: string;
  readonly hostIP: string;
  /** Of the other family; absent: the node has none. */
  readonly secondHostIP?: string | undefined;
  readonly nodeCpuMillis: number;
  readonly nodeMemoryBytes: number;
  /** Why the node cannot give the pod what it asks for now; undefined: it can. */
  readonly refusesResize: (pod: Pod) => ResizeRefusal | undefined;
  /** Volumes of CSI drivers; absent: the node has none. */
  readonly csi?: CsiVolumes | undefined;
  readonly dns: ClusterDns;
  /** Directory of the pods' own directories, with volumes and termination messages. */
  readonly podsDir: string;
  /** Undefined: the node has no range yet, or it is used up; the worker is woken later. */
  readonly addresses: (uid: string) => PodAddresses | undefined;
  readonly report: (report: PodStatusReport) => void;
  /** Nothing is left of the pod here. */
  readonly forgotten: (uid: string) => void;
}

/** The worker as its helpers see it. */
export interface WorkerView {
  readonly context: WorkerContext;
  readonly log: Log;
  /** The newest known object. */
  pod(): Pod;
  /** The first of the pod's addresses. */
  podIP(): string;
  /** The pod's containers as the runtime shows them. */
  runs(): readonly RuntimeContainer[];
  closed(): boolean;
  wake(): void;
  wakeAfter(millis: number): void;
  /** The next pause of a named series of retries. */
  retryMillis(name: string): number;
  retriesOver(name: string): void;
  /** `container`: the name of the one that the event is about. */
  event(type: "Normal" | "Warning", reason: string, message: string, container?: string): void;
}

/** The pod's grace in milliseconds, from the stop signal to the kill. Below 0: one second. */
export function graceMillisOf(pod: Pod): number {
  const seconds = pod.spec?.terminationGracePeriodSeconds ?? 30;
  return (seconds < 0 ? 1 : seconds) * 1000;
}

export function containerNamed(pod: Pod, name: string): Container | undefined {
  const { containers = [], initContainers = [], ephemeralContainers = [] } = pod.spec ?? {};
  return [...containers, ...initContainers, ...ephemeralContainers].find(
    (one) => one.name === name,
  );
}

/** Where the pod names a container, as events about it tell. */
export function fieldPathOf({ spec = {} }: Pod, name: string): string | undefined {
  const lists = {
    containers: spec.containers,
    initContainers: spec.initContainers,
    ephemeralContainers: spec.ephemeralContainers,
  };
  for (const [field, list = []] of Object.entries(lists)) {
    if (list.some((one) => one.name === name)) return `spec.${field}{${name}}`;
  }
  return undefined;
}
