/**
 * What the kubelet needs of whatever runs containers, shaped like CRI (`runtime.v1`).
 *
 * Guarantees every implementation gives (`test/contract/container-runtime.ts`):
 * - sandboxes and containers outlive the kubelet: after `load()` of a new instance on the same
 *   state they are listed as they are, and an exit that happened meanwhile is known with code and time;
 * - `exited` is told once per container of this instance's life, after `containers()` shows it;
 * - when a container's main process ends, everything it started ends;
 * - `stopContainer` resolves when the container has exited; a later call may shorten the grace;
 * - stop and remove of what is not there succeed.
 */
import type { Cancel } from "../../../ha/runtime/types.ts";

export interface PodSandboxConfig {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly hostname: string;
  /** Address the pod binds; a runtime with a network of its own may answer another. */
  readonly address: string;
  /** The pod shares the node's address. */
  readonly hostNetwork: boolean;
}

export interface PodSandbox extends PodSandboxConfig {
  readonly state: "ready" | "stopped";
  /** Unix milliseconds. */
  readonly createdAt: number;
}

export interface Mount {
  /** Absolute path on the node. */
  readonly hostPath: string;
  /** Absolute path the container sees. */
  readonly containerPath: string;
  readonly readOnly: boolean;
}

export interface ContainerConfig {
  readonly podUid: string;
  readonly name: string;
  /** 0 for the first run, then one more for each restart. */
  readonly attempt: number;
  readonly image: string;
  /** Program and arguments, expanded. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Absent: a private directory of the pod. */
  readonly workingDir?: string | undefined;
  readonly mounts: readonly Mount[];
  readonly memoryLimitBytes?: number | undefined;
  readonly cpuLimitMillis?: number | undefined;
  readonly runAsUser?: number | undefined;
  readonly runAsGroup?: number | undefined;
  readonly supplementalGroups?: readonly number[] | undefined;
  /** e.g. SIGTERM, the default. */
  readonly stopSignal?: string | undefined;
  /** Tells whether the container still is what the pod asks for. */
  readonly specHash: string;
}

export interface Container {
  readonly id: string;
  readonly podUid: string;
  readonly name: string;
  readonly attempt: number;
  readonly image: string;
  readonly specHash: string;
  readonly state: "created" | "running" | "exited";
  /** Unix milliseconds. */
  readonly createdAt: number;
  readonly startedAt?: number | undefined;
  readonly finishedAt?: number | undefined;
  /** 128 + n when signal n ended it; 128 with reason StartError when it never ran. */
  readonly exitCode?: number | undefined;
  /** Completed, Error, OOMKilled, StartError or ContainerStatusUnknown. */
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
}

export interface ExecResult {
  /** -1 when it ran out of time. */
  readonly exitCode: number;
  /** stdout and stderr together, cut at 10 KiB. */
  readonly output: string;
  readonly timedOut: boolean;
}

export interface LogOptions {
  readonly follow: boolean;
  /** Whole lines from the end; absent: everything. */
  readonly tailLines?: number | undefined;
  readonly limitBytes?: number | undefined;
  readonly signal: AbortSignal;
}

/** Totals since the container's start; a rate is the difference of two. */
export interface PodResourceUse {
  readonly podUid: string;
  readonly cpuMillisTotal: number;
  readonly memoryBytes: number;
}

export interface RuntimeEvent {
  readonly type: "started" | "exited";
  readonly podUid: string;
  readonly containerId: string;
}

/** A container that cannot be made from this configuration; the message is meant for the user. */
export class ContainerConfigError extends Error {
  override readonly name = "ContainerConfigError";
}

export interface ContainerRuntime {
  /** As in containerID `<name>://<id>`. */
  readonly name: string;
  readonly version: string;
  /** Reads the state directory and adopts what runs. Before anything else; once. */
  load(): Promise<void>;
  /** Lets go of everything and leaves it running. Idempotent. */
  close(): Promise<void>;

  sandboxes(): readonly PodSandbox[];
  runSandbox(config: PodSandboxConfig): Promise<PodSandbox>;
  /** Kills what still runs and gives the address back; records and logs stay. */
  stopSandbox(uid: string): Promise<void>;
  /** Stops, then deletes every trace. */
  removeSandbox(uid: string): Promise<void>;

  /** All, or one pod's, oldest first. */
  containers(podUid?: string): readonly Container[];
  /** Throws ContainerConfigError. Resolves to the id. */
  createContainer(config: ContainerConfig): Promise<string>;
  /** A program that cannot be started makes the container `exited` with StartError: no throw. */
  startContainer(id: string): Promise<void>;
  stopContainer(id: string, graceMillis: number): Promise<void>;
  /** Of an exited or created container, with its log. */
  removeContainer(id: string): Promise<void>;

  /** Runs a program beside the container's: same environment, mounts and user. */
  exec(id: string, command: readonly string[], timeoutMillis: number): Promise<ExecResult>;
  /** Raw output, stdout and stderr as written. Throws StatusError notFound. */
  logs(id: string, options: LogOptions): AsyncIterable<Uint8Array>;
  resourceUse(): Promise<readonly PodResourceUse[]>;
  onEvent(handler: (event: RuntimeEvent) => void): Cancel;
}
