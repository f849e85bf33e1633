import type {
  Container,
  ContainerConfig,
  ContainerRuntime,
  ExecResult,
  PodResourceUse,
  PodSandbox,
  PodSandboxConfig,
  RuntimeEvent,
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

  async load(): Promise<void> {}
  async close(): Promise<void> {}
  sandboxes = () => [...this.#sandboxes.values()];

  async runSandbox(config: PodSandboxConfig): Promise<PodSandbox> {
    const made = { ...config, state: "ready" as const, createdAt: this.#clock.wallMillis() };
    this.#sandboxes.set(config.uid, made);
    return made;
  }

  async stopSandbox(uid: string): Promise<void> {
    const found = this.#sandboxes.get(uid);
    if (found === undefined || found.state === "stopped") return;
    this.calls.push("stopSandbox");
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
    const id = `${config.name}-${config.attempt}-${this.#next++}`;
    const { podUid, name, attempt, image, specHash } = config;
    const createdAt = this.#clock.wallMillis();
    this.#containers.set(id, {
      id,
      podUid,
      name,
      attempt,
      image,
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

  async stopContainer(id: string, graceMillis: number): Promise<void> {
    const container = this.#of(id);
    if (container.state === "exited") return;
    this.calls.push(`stop ${container.name} ${graceMillis}`);
    const wait = new Promise<void>((resolve) => {
      this.#waiters.set(id, [...(this.#waiters.get(id) ?? []), resolve]);
    });
    if (graceMillis <= 0 || !this.stubborn.has(container.name)) {
      this.end(container.name, graceMillis <= 0 ? 137 : 143);
    } else this.#clock.after(graceMillis, () => this.end(container.name, 137));
    await wait;
  }

  async removeContainer(id: string): Promise<void> {
    this.#containers.delete(id);
  }

  async exec(id: string, command: readonly string[]): Promise<ExecResult> {
    this.calls.push(`exec ${this.#of(id).name} ${command.join(" ")}`);
    return this.execResult;
  }

  async *logs(): AsyncGenerator<Uint8Array> {
    yield Buffer.from("log\n");
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
    if (container === undefined) return;
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
