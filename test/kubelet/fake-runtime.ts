import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type {
  Container,
  ContainerConfig,
  ContainerResources,
  ContainerRuntime,
  ExecResult,
  Image,
  ImageService,
  PodDiskUse,
  PodResourceUse,
  PodSandbox,
  PodSandboxConfig,
  RuntimeEvent,
  RuntimeFeatures,
  RuntimeStatus,
} from "../../services/kubelet/runtime/types.ts";
import { ContainerConfigError } from "../../services/kubelet/runtime/types.ts";
import type { FakeClock } from "./support.ts";

type Mutable = { -readonly [Key in keyof Container]: Container[Key] };

/** Containers that run until told to end; every call is noted in `calls`. */
export class FakeRuntime implements ContainerRuntime {
  readonly name = "fake";
  readonly version = "1";
  readonly calls: string[] = [];
  readonly configs = new Map<string, ContainerConfig>();
  /** Names of programs that cannot be started. */
  readonly broken = new Set<string>();
  /** Containers that only SIGKILL ends. */
  readonly stubborn = new Set<string>();
  /** Containers keep the resources that they have. */
  unchangeable = false;
  readonly pulled = new Set<string>();
  /** References that no registry has. */
  readonly unknownImages = new Set<string>();
  /** What each container wrote. */
  readonly output = new Map<string, string>();
  diskUse = async (): Promise<PodDiskUse> => ({ containers: [], shared: { bytes: 0, entries: 0 } });
  featureSet: RuntimeFeatures = {
    privateMounts: true,
    changeIdentity: true,
    restrictPrivileges: true,
    grantableCapabilities: ["NET_ADMIN", "CHOWN"],
    terminals: true,
    memoryLimits: true,
    cpuLimits: true,
    ownNetwork: false,
    registries: false,
    kernelParameters: false,
  };
  execResult: ExecResult = { exitCode: 0, output: "", timedOut: false };
  readonly #clock: FakeClock;
  readonly #sandboxes = new Map<string, PodSandbox>();
  readonly #containers = new Map<string, Mutable>();
  readonly #handlers = new Set<(event: RuntimeEvent) => void>();
  readonly #waiters = new Map<string, (() => void)[]>();
  #next = 1;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  readonly images: ImageService = {
    list: () => [...this.pulled].map(imageOf),
    status: (reference) => (this.pulled.has(reference) ? imageOf(reference) : undefined),
    pull: async (reference) => {
      if (this.unknownImages.has(reference)) throw new Error(`no image ${reference}`);
      this.calls.push(`pull ${reference}`);
      this.pulled.add(reference);
      return imageOf(reference);
    },
    remove: async (reference) => {
      if ([...this.#containers.values()].some(({ image }) => image === reference)) {
        throw new StatusError(Code.failedPrecondition, `image "${reference}" is in use`);
      }
      this.pulled.delete(reference);
    },
  };
  features = () => this.featureSet;
  async status(): Promise<RuntimeStatus> {
    return { runtimeReady: true, networkReady: true };
  }
  async refresh(): Promise<void> {}
  async execStream(): Promise<never> {
    throw new Error("the fake runtime has no streams");
  }
  async attach(): Promise<never> {
    throw new Error("the fake runtime has no streams");
  }
  async portForward(): Promise<never> {
    throw new Error("the fake runtime has no network");
  }

  async load(): Promise<void> {}
  async close(): Promise<void> {}
  sandboxes = () => [...this.#sandboxes.values()];
  sandbox = (podUid: string) => this.sandboxes().find(({ uid }) => uid === podUid);

  async runSandbox(config: PodSandboxConfig): Promise<PodSandbox> {
    const known = this.#sandboxes.get(config.uid);
    if (known?.state === "ready") return known;
    const made = { ...config, state: "ready" as const, createdAt: this.#clock.wallMillis() };
    this.#sandboxes.set(config.uid, made);
    return made;
  }

  async stopSandbox(uid: string): Promise<void> {
    const found = this.#sandboxes.get(uid);
    if (found === undefined || found.state === "stopped") return;
    this.calls.push("stopSandbox");
    for (const { id, state } of this.containers(uid)) {
      if (state !== "exited") this.#end(id, 137);
    }
    this.#sandboxes.set(uid, { ...found, state: "stopped" });
  }

  async removeSandbox(uid: string): Promise<void> {
    this.calls.push("removeSandbox");
    this.#sandboxes.delete(uid);
    for (const one of this.containers(uid)) this.#containers.delete(one.id);
  }

  containers(podUid?: string): readonly Container[] {
    const all = [...this.#containers.values()].map((one) => ({ ...one }));
    return podUid === undefined ? all : all.filter((one) => one.podUid === podUid);
  }

  async createContainer(config: ContainerConfig): Promise<string> {
    if (config.command.length === 0)
      throw new ContainerConfigError("needs spec.containers[].command");
    if (this.#sandboxes.get(config.podUid)?.state !== "ready") {
      throw new StatusError(Code.failedPrecondition, `pod ${config.podUid} has no sandbox`);
    }
    if (!this.pulled.has(config.image)) {
      throw new StatusError(Code.notFound, `image "${config.image}" is not on this node`);
    }
    const id = `${config.name}-${config.attempt}-${this.#next++}`;
    const { podUid, name, attempt, image, specHash } = config;
    const createdAt = this.#clock.wallMillis();
    this.#containers.set(id, {
      id,
      podUid,
      name,
      attempt,
      image,
      imageId: imageOf(image).id,
      specHash,
      createdAt,
      state: "created",
    });
    this.configs.set(id, config);
    return id;
  }

  async startContainer(id: string): Promise<void> {
    const container = this.#of(id);
    this.calls.push(`start ${container.name}/${container.attempt}`);
    if (this.broken.has(container.name)) {
      this.end(container.name, 128, "StartError", "no such program");
      return;
    }
    container.state = "running";
    container.startedAt = this.#clock.wallMillis();
    this.#tell("started", container);
  }

  async updateContainer(id: string, resources: ContainerResources): Promise<void> {
    const { memoryLimitBytes, cpuLimitMillis } = resources;
    this.calls.push(`update ${this.#of(id).name} ${cpuLimitMillis} ${memoryLimitBytes}`);
    if (this.unchangeable) throw new Error("device or resource busy");
  }

  async stopContainer(id: string, graceMillis: number): Promise<void> {
    const container = this.#containers.get(id);
    if (container === undefined || container.state === "exited") return;
    this.calls.push(`stop ${container.name} ${graceMillis}`);
    const wait = new Promise<void>((resolve) => {
      this.#waiters.set(id, [...(this.#waiters.get(id) ?? []), resolve]);
    });
    if (graceMillis <= 0 || !this.stubborn.has(container.name)) {
      this.#end(id, graceMillis <= 0 ? 137 : 143);
    } else this.#clock.after(graceMillis, () => this.#end(id, 137));
    await wait;
  }

  async removeContainer(id: string): Promise<void> {
    this.#containers.delete(id);
  }

  async exec(id: string, command: readonly string[]): Promise<ExecResult> {
    this.calls.push(`exec ${this.#of(id).name} ${command.join(" ")}`);
    return this.execResult;
  }

  async *logs(id: string): AsyncGenerator<Uint8Array> {
    yield Buffer.from(this.output.get(this.#of(id).name) ?? "log\n");
  }

  async resourceUse(): Promise<readonly PodResourceUse[]> {
    return [];
  }

  onEvent(handler: (event: RuntimeEvent) => void): () => void {
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }

  /** The running container of this name ends. */
  end(name: string, exitCode: number, reason?: string, message?: string): void {
    const container = [...this.#containers.values()].find(
      (one) => one.name === name && one.state !== "exited",
    );
    if (container !== undefined) this.#end(container.id, exitCode, reason, message);
  }

  #end(id: string, exitCode: number, reason?: string, message?: string): void {
    const container = this.#containers.get(id);
    if (container === undefined || container.state === "exited") return;
    container.state = "exited";
    container.exitCode = exitCode;
    container.finishedAt = this.#clock.wallMillis();
    container.reason = reason ?? (exitCode === 0 ? "Completed" : "Error");
    container.message = message;
    this.#tell("exited", container);
    for (const resolve of this.#waiters.get(container.id) ?? []) resolve();
  }

  #of(id: string): Mutable {
    const found = this.#containers.get(id);
    if (found === undefined) throw new Error(`no container ${id}`);
    return found;
  }

  #tell(type: RuntimeEvent["type"], container: Container): void {
    for (const handler of this.#handlers) {
      handler({ type, podUid: container.podUid, containerId: container.id });
    }
  }
}

function imageOf(reference: string): Image {
  return { id: `sha256:${reference}`, names: [reference], sizeBytes: 0, usedAt: 0 };
}
