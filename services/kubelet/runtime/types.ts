/**
 * What the kubelet needs of a container runtime, shaped like CRI (`runtime.v1`), so that a runtime
 * behind a CRI socket is an adapter. The comment of each method names its CRI counterpart.
 *
 * Order of calls: `load` once, before anything else. Then for a pod: `images.pull` where the image
 * is absent, `runSandbox`, and for each container `createContainer` and `startContainer`. At the
 * end: `stopContainer`, `stopSandbox` and, when the pod is forgotten, `removeSandbox`.
 *
 * Guarantees every implementation gives (`test/contract/container-runtime.ts`):
 * - sandboxes and containers outlive the kubelet: after `load()` of a new instance on the same
 *   state they are listed as they are, and an exit that happened meanwhile is known with code and
 *   time;
 * - `exited` is told once per container of this instance's life, after `containers()` shows it;
 * - when a container's main process ends, everything it started ends;
 * - `stopContainer` resolves when the container has exited; a later call may shorten the grace;
 * - stop and remove of what is not there succeed.
 *
 * Units: times are Unix milliseconds, durations milliseconds, sizes bytes, CPU thousandths of a
 * core. Errors: `ContainerConfigError` for what the pod's author can mend; `StatusError` with
 * `notFound` for an unknown id and `failedPrecondition` for a call in the wrong state.
 */
import type { Cancel } from "../../../ha/runtime/types.ts";
import type { DiskUse } from "../disk-use.ts";
import type { ImageService } from "./images.ts";
import type { ByteStream, ExecSession, StreamOptions } from "./streams.ts";

export type { Image, ImageService, RegistryCredentials } from "./images.ts";
export type { ByteStream, ExecSession, StreamOptions } from "./streams.ts";

/** Whose namespace a pod's containers join (CRI `NamespaceMode`). */
type NamespaceMode = "pod" | "container" | "node";

/** CRI `DNSConfig`: the lines of the containers' resolv.conf. */
export interface DnsConfig {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

/** CRI `PortMapping`. */
export interface PortMapping {
  readonly protocol: "TCP" | "UDP" | "SCTP";
  readonly containerPort: number;
  readonly hostPort: number;
  readonly hostIP?: string | undefined;
}

/** CRI `LinuxSandboxSecurityContext`, of which a container's own settings are the finer part. */
interface SandboxSecurity {
  readonly network: NamespaceMode;
  readonly pid: NamespaceMode;
  readonly ipc: NamespaceMode;
  readonly sysctls: Readonly<Record<string, string>>;
}

/** CRI `PodSandboxConfig`. A pod has at most one ready sandbox; its uid names it. */
export interface PodSandboxConfig {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  /** What gethostname(2) answers in the containers, where they can have a name of their own. */
  readonly hostname: string;
  /** Address the pod binds; a runtime with a network of its own may answer another. */
  readonly address: string;
  /** Of the other family; absent: the pod has none. */
  readonly secondAddress?: string | undefined;
  /** The pod shares the node's addresses and hostname. */
  readonly hostNetwork: boolean;
  /** Absent: the node's resolv.conf. */
  readonly dns?: DnsConfig | undefined;
  readonly portMappings?: readonly PortMapping[] | undefined;
  readonly security?: SandboxSecurity | undefined;
  /** Directory of the containers' logs; absent: the runtime's own choice. */
  readonly logDirectory?: string | undefined;
}

export interface PodSandbox extends PodSandboxConfig {
  readonly state: "ready" | "stopped";
  readonly createdAt: number;
}

/** CRI `Mount`. */
export interface Mount {
  /** Absolute path on the node; empty where an image is mounted. */
  readonly hostPath: string;
  /** The image whose files are mounted, of which `subPath` may name a part. */
  readonly image?: string | undefined;
  readonly subPath?: string | undefined;
  /** Absolute path the container sees. */
  readonly containerPath: string;
  readonly readOnly: boolean;
}

/** CRI `SecurityProfile`. */
export interface SecurityProfile {
  readonly type: "RuntimeDefault" | "Unconfined" | "Localhost";
  /** Of `Localhost`: its name, or its file below the node's directory of profiles. */
  readonly name?: string | undefined;
}

/** CRI `LinuxContainerSecurityContext`. */
export interface ContainerSecurity {
  readonly runAsUser?: number | undefined;
  readonly runAsGroup?: number | undefined;
  readonly supplementalGroups?: readonly number[] | undefined;
  /** Capabilities without their CAP_ prefix, upper case; `ALL` stands for every one. */
  readonly addCapabilities?: readonly string[] | undefined;
  readonly dropCapabilities?: readonly string[] | undefined;
  readonly privileged?: boolean | undefined;
  readonly readOnlyRootFilesystem?: boolean | undefined;
  /** The program cannot gain rights it was not started with (prctl PR_SET_NO_NEW_PRIVS). */
  readonly noNewPrivileges?: boolean | undefined;
  /** Absent: the container is unconfined. */
  readonly seccomp?: SecurityProfile | undefined;
  /** Absent: the runtime's own choice. */
  readonly appArmor?: SecurityProfile | undefined;
}

/** CRI `LinuxContainerResources`. */
export interface ContainerResources {
  readonly memoryLimitBytes?: number | undefined;
  readonly cpuLimitMillis?: number | undefined;
  /** The container's part of a busy machine; absent: that of its limit, or the smallest. */
  readonly cpuRequestMillis?: number | undefined;
  /** CRI `oom_score_adj`, -1000 to 1000; absent: the runtime's own. */
  readonly oomScore?: number | undefined;
}

/** CRI `ContainerConfig`. */
export interface ContainerConfig extends ContainerResources {
  readonly podUid: string;
  readonly name: string;
  /** 0 for the first run, then one more for each restart. */
  readonly attempt: number;
  /** The image as the pod names it. */
  readonly image: string;
  /** Replaces the image's entry point; empty: the image's own. Variables are expanded. */
  readonly command: readonly string[];
  /** Replaces the image's arguments. Variables are expanded. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Absent: the image's, or a private directory of the pod. */
  readonly workingDir?: string | undefined;
  readonly mounts: readonly Mount[];
  readonly security?: ContainerSecurity | undefined;
  /** Standard input stays open for `attach`; otherwise it is /dev/null. */
  readonly stdin?: boolean | undefined;
  /** Standard input ends when the first client that attached to it has gone. */
  readonly stdinOnce?: boolean | undefined;
  /** The program runs on a terminal. */
  readonly tty?: boolean | undefined;
  /** e.g. SIGTERM, the default. */
  readonly stopSignal?: string | undefined;
  /** Tells whether the container still is what the pod asks for (CRI: an annotation). */
  readonly specHash: string;
}

/** CRI `ContainerStatus`. */
export interface Container {
  readonly id: string;
  readonly podUid: string;
  readonly name: string;
  readonly attempt: number;
  readonly image: string;
  /** Names the image's content, distinct from the name the pod uses (CRI `image_ref`). */
  readonly imageId: string;
  readonly specHash: string;
  readonly state: "created" | "running" | "exited";
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
  /** Only whole lines written then or later, in Unix milliseconds. */
  readonly sinceMillis?: number | undefined;
  /** Each line begins with its RFC 3339 time and a blank. */
  readonly timestamps?: boolean | undefined;
  /** Of all that is given, timestamps too. */
  readonly limitBytes?: number | undefined;
  readonly signal: AbortSignal;
}

/** Totals since the container's start; a rate is the difference of two. */
export interface ContainerResourceUse {
  readonly id: string;
  readonly name: string;
  readonly cpuMillisTotal: number;
  readonly memoryBytes: number;
  /** Absent: they are not counted. */
  readonly processes?: number | undefined;
}

/** Disk that a pod takes beside its volumes. */
export interface PodDiskUse {
  /** Logs and what the containers wrote to their own files. */
  readonly containers: readonly { readonly name: string; readonly use: DiskUse }[];
  /** What the containers of the pod share. */
  readonly shared: DiskUse;
}

/** The sums of what the pod's running containers use, and each of them. */
export interface PodResourceUse {
  readonly podUid: string;
  readonly containers: readonly ContainerResourceUse[];
  readonly cpuMillisTotal: number;
  readonly memoryBytes: number;
}

/** CRI `ContainerEventResponse`. */
export interface RuntimeEvent {
  readonly type: "started" | "exited";
  readonly podUid: string;
  readonly containerId: string;
}

/** What the runtime can enforce; the kubelet refuses or warns of what it cannot (pod/fields.ts). */
export interface RuntimeFeatures {
  /** Mounts, resolv.conf and hostname of a container's own. */
  readonly privateMounts: boolean;
  /** The runtime may change user, groups and capabilities. */
  readonly changeIdentity: boolean;
  /** setpriv(1) or its like: no_new_privs and capability sets. */
  readonly restrictPrivileges: boolean;
  /** Capabilities a container can be given, upper case without CAP_. */
  readonly grantableCapabilities: readonly string[];
  /** Containers can have a terminal. */
  readonly terminals: boolean;
  readonly memoryLimits: boolean;
  readonly cpuLimits: boolean;
  /** `diskUse` tells what containers take of the disk. Absent: false. */
  readonly diskUse?: boolean | undefined;
  /** Pods get their addresses, and the node's ports that lead to them, from the runtime. */
  readonly ownNetwork: boolean;
  /** Images come from registries, which are shown the pod's credentials. */
  readonly registries: boolean;
  /** Pods have kernel parameters of their own. */
  readonly kernelParameters: boolean;
  /** Images can be mounted as volumes. Absent: false, as for those below. */
  readonly imageVolumes?: boolean | undefined;
  /** A container is stopped by the signal that it names. */
  readonly stopSignals?: boolean | undefined;
  readonly seccomp?: boolean | undefined;
  readonly appArmor?: boolean | undefined;
}

/** CRI `RuntimeStatus`: both conditions must hold for a Ready node. */
export interface RuntimeStatus {
  /** Containers can be made; else why not. */
  readonly runtimeReady: true | { readonly reason: string; readonly message: string };
  /** Pods can be given a network; else why not. */
  readonly networkReady: true | { readonly reason: string; readonly message: string };
}

/** A container that cannot be made from this configuration; the message is meant for the user. */
export class ContainerConfigError extends Error {
  override readonly name = "ContainerConfigError";
}

export interface ContainerRuntime {
  /** As in containerID `<name>://<id>`; CRI `Version.runtime_name`. */
  readonly name: string;
  readonly version: string;
  /** CRI `ImageService`. */
  readonly images: ImageService;
  /** Reads the state and adopts what runs. Before anything else; once. */
  load(): Promise<void>;
  /** Lets go of everything and leaves it running. Idempotent. */
  close(): Promise<void>;
  /** Constant after `load`. */
  features(): RuntimeFeatures;
  /**
   * CRI `UpdateRuntimeConfig`: the node's range of pod addresses, or one of each family with a comma
   * between, for a runtime that gives pods their addresses itself. Returns at once; what becomes of it, the runtime's status says.
   */
  usePodRange?(cidrs: string): void;
  /** CRI `Status`. Measured at the call; never throws. */
  status(): Promise<RuntimeStatus>;

  /**
   * CRI `ListPodSandbox`, from the runtime's cache: costs no call. The cache is as new as the last
   * event, own call or `refresh`.
   */
  sandboxes(): readonly PodSandbox[];
  /** The pod's own among them; undefined: it has none. */
  sandbox(podUid: string): PodSandbox | undefined;
  /** CRI `RunPodSandbox`. Of a stopped sandbox: makes it anew. */
  runSandbox(config: PodSandboxConfig): Promise<PodSandbox>;
  /** CRI `StopPodSandbox`: kills what still runs, gives the address back; records and logs stay. */
  stopSandbox(uid: string): Promise<void>;
  /** CRI `RemovePodSandbox`: stops, then deletes every trace. */
  removeSandbox(uid: string): Promise<void>;

  /** CRI `ListContainers` and `ContainerStatus`, cached as `sandboxes()` is; oldest first. */
  containers(podUid?: string): readonly Container[];
  /** Compares the cache with what really runs, one page at a time, and tells what has changed. */
  refresh(): Promise<void>;
  /** CRI `CreateContainer`. Throws ContainerConfigError. Resolves to the id. */
  createContainer(config: ContainerConfig): Promise<string>;
  /**
   * CRI `StartContainer`. A program that cannot be started makes the container `exited` with
   * StartError: no throw.
   */
  startContainer(id: string): Promise<void>;
  /**
   * CRI `UpdateContainerResources`, of a running container; what is absent stays. Absent: the
   * runtime cannot. Throws what the machine says.
   */
  updateContainer?(id: string, resources: ContainerResources): Promise<void>;
  /** CRI `StopContainer`, whose timeout is in seconds: an adapter rounds up. */
  stopContainer(id: string, graceMillis: number): Promise<void>;
  /** CRI `RemoveContainer`: of an exited or created container, with its log. */
  removeContainer(id: string): Promise<void>;

  /** CRI `ExecSync`: a program beside the container's, with the same environment and user. */
  exec(id: string, command: readonly string[], timeoutMillis: number): Promise<ExecResult>;
  /** CRI `Exec` and its stream: the same, with its input and output as streams. */
  execStream(id: string, command: readonly string[], options: StreamOptions): Promise<ExecSession>;
  /** CRI `Attach` and its stream: the main process's output from now on, and its input. */
  attach(id: string, options: StreamOptions): Promise<ExecSession>;
  /** CRI `PortForward` and its stream: one TCP connection to a port of the pod. */
  portForward(podUid: string, port: number, signal: AbortSignal): Promise<ByteStream>;

  /** Output, stdout and stderr as written. Throws StatusError notFound. */
  logs(id: string, options: LogOptions): AsyncIterable<Uint8Array>;
  /** CRI `ListPodSandboxStats`. */
  resourceUse(): Promise<readonly PodResourceUse[]>;
  /** CRI `ContainerStats.writable_layer`, and the logs. Absent: it is not measured. */
  diskUse?(podUid: string): Promise<PodDiskUse>;
  /** CRI `GetContainerEvents`. */
  onEvent(handler: (event: RuntimeEvent) => void): Cancel;
}
