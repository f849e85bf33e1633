/**
 * Containers of a runtime behind a CRI socket (`runtime.v1`), such as containerd and CRI-O.
 *
 * What differs from the process runtime:
 * - a pod's address is what the runtime's network gives, and the one that is offered counts for
 *   nothing;
 * - an exec's program whose caller leaves runs on: CRI has no way to end it;
 * - the streams of exec, attach and port-forward come from the runtime's streaming server, which
 *   listens on this node, commonly on its loopback: kubelet and runtime share a network namespace.
 */
import { mkdir, rename, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { call } from "../../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import type { Cancel, Log } from "../../../../ha/runtime/types.ts";
import type { PodSandboxConfig as CriSandboxConfig } from "../../../../proto/gen/cri.ts";
import { ImageLayouts } from "../layouts/mod.ts";
import { logLimits } from "../process/logs.ts";
import type {
  ByteStream,
  Container,
  ContainerConfig,
  ContainerResources,
  ContainerRuntime,
  ExecResult,
  ExecSession,
  LogOptions,
  PodDiskUse,
  PodResourceUse,
  PodSandbox,
  PodSandboxConfig,
  RuntimeEvent,
  RuntimeFeatures,
  RuntimeStatus,
  StreamOptions,
} from "../types.ts";
import { CriCache } from "./cache.ts";
import { containerMessage, logPathOf, resources, sandboxMessage } from "./config.ts";
import { type CriConnection, connectCri, criLimits } from "./connection.ts";
import { runExec } from "./exec.ts";
import { criFeatures } from "./features.ts";
import { CriFollower } from "./follow.ts";
import { CriImages } from "./images.ts";
import { readCriLog } from "./logs.ts";
import { addressesOf, type KnownContainer, type KnownSandbox } from "./records.ts";
import { openForward, openSession } from "./sessions.ts";
import { measureDisk, measureUse } from "./stats.ts";
import { criStatus } from "./status.ts";

export interface CriRuntimeOptions {
  /** `unix:///run/containerd/containerd.sock` */
  readonly endpoint: string;
  /** Directory of the containers' logs; made if it does not exist. */
  readonly logRoot: string;
  /** Directory of the seccomp profiles that pods may name. */
  readonly seccompRoot: string;
  /** Folder of image layouts that stand in for a registry. */
  readonly imageRoot?: string | undefined;
  readonly log: Log;
  readonly logBytesMax?: number | undefined;
  readonly logFilesMax?: number | undefined;
  readonly rotateMillis?: number | undefined;
}

const rotateMillisDefault = 10_000;

/** Throws StatusError for an endpoint that is none. Dials at `load`. */
export function createCriRuntime(options: CriRuntimeOptions): ContainerRuntime {
  return new CriRuntime(options);
}

const acting = { deadlineMillis: criLimits.actMillis };
const asking = { deadlineMillis: criLimits.askMillis };

class CriRuntime implements ContainerRuntime {
  readonly images: CriImages;
  readonly #options: CriRuntimeOptions;
  readonly #log: Log;
  readonly #logRoot: string;
  readonly #connection: CriConnection;
  readonly #cache: CriCache;
  readonly #follower: CriFollower;
  readonly #handlers = new Set<(event: RuntimeEvent) => void>();
  /** How often a sandbox was asked for, by pod: names of failed ones may still be taken. */
  readonly #attempts = new Map<string, number>();
  #name = "cri";
  #version = "";
  #features: RuntimeFeatures | undefined;
  #rotation: NodeJS.Timeout | undefined;

  constructor(options: CriRuntimeOptions) {
    const { endpoint, imageRoot, log, logRoot } = options;
    this.#options = options;
    this.#log = log.child({ runtime: "cri" });
    this.#logRoot = resolve(logRoot);
    this.#connection = connectCri(endpoint);
    this.#cache = new CriCache(this.#connection, (event) => {
      for (const handler of [...this.#handlers]) handler(event);
    });
    const layouts =
      imageRoot === undefined ? undefined : new ImageLayouts(resolve(imageRoot), this.#log);
    this.images = new CriImages(this.#connection, layouts, this.#log, () => {
      const names = this.#cache.containers().map(({ container }) => container);
      return new Set(names.flatMap(({ image, imageId }) => [image, imageId]));
    });
    const round = async () => {
      await this.#cache.refresh();
      await this.images.refresh();
    };
    this.#follower = new CriFollower(this.#connection, round, this.#log);
  }

  get name(): string {
    return this.#name;
  }

  get version(): string {
    return this.#version;
  }

  async load(): Promise<void> {
    await this.#untilAnswered();
    await mkdir(this.#logRoot, { recursive: true });
    await this.#cache.refresh();
    await this.images.refresh(true);
    await this.#bringSandboxImage();
    this.#follower.start();
    this.#rotation = setInterval(
      () => void this.#rotateLogs(),
      this.#options.rotateMillis ?? rotateMillisDefault,
    );
    this.#rotation.unref();
  }

  async close(): Promise<void> {
    clearInterval(this.#rotation);
    this.#handlers.clear();
    await this.#follower.close();
    this.#connection.close();
  }

  features(): RuntimeFeatures {
    this.#features ??= criFeatures(this.#name, this.#version);
    return this.#features;
  }

  usePodRange(cidrs: string): void {
    const request = { runtimeConfig: { networkConfig: { podCidr: cidrs } } };
    // Most runtimes' networks are configured by hand, and take no notice.
    call(this.#connection.runtime, "updateRuntimeConfig", request, asking).catch((error) =>
      this.#log.warn("the runtime was not told the range of pod addresses", { cidrs, error }),
    );
  }

  status(): Promise<RuntimeStatus> {
    return criStatus(this.#connection);
  }

  async refresh(): Promise<void> {
    await this.#cache.refresh();
  }

  sandboxes(): readonly PodSandbox[] {
    return this.#cache.sandboxes().map(({ sandbox }) => sandbox);
  }

  sandbox(podUid: string): PodSandbox | undefined {
    return this.#cache.sandbox(podUid)?.sandbox;
  }

  async runSandbox(config: PodSandboxConfig): Promise<PodSandbox> {
    const known = this.#cache.sandbox(config.uid);
    if (known?.sandbox.state === "ready") return known.sandbox;
    // Its network and the rest of its containers go before the next one comes.
    if (known !== undefined) await this.#stop(known);
    const attempt = Math.max(known?.attempt ?? -1, this.#attempts.get(config.uid) ?? -1) + 1;
    this.#attempts.set(config.uid, attempt);
    const whole = { ...config, logDirectory: config.logDirectory ?? this.#logDirectory(config) };
    await mkdir(whole.logDirectory, { recursive: true });
    const { runtime } = this.#connection;
    const message = sandboxMessage(whole, attempt);
    const { podSandboxId: id = "" } = await call(
      runtime,
      "runPodSandbox",
      { config: message },
      acting,
    );
    const { status } = await call(runtime, "podSandboxStatus", { podSandboxId: id }, asking);
    const addresses = addressesOf(status?.network, config);
    const createdAt = Number((status?.createdAt ?? 0n) / 1_000_000n);
    const sandbox: PodSandbox = { ...whole, ...addresses, state: "ready", createdAt };
    this.#cache.putSandbox({ id, attempt, sandbox });
    return sandbox;
  }

  async stopSandbox(uid: string): Promise<void> {
    for (const known of this.#cache.sandboxesOf(uid)) {
      if (known.sandbox.state === "ready") await this.#stop(known);
    }
  }

  async removeSandbox(uid: string): Promise<void> {
    const { runtime } = this.#connection;
    for (const known of this.#cache.sandboxesOf(uid)) {
      await this.#stop(known);
      await ifThere(call(runtime, "removePodSandbox", { podSandboxId: known.id }, acting));
      await rm(this.#directoryOf(known), { recursive: true, force: true });
      this.#cache.dropSandbox(known.id);
    }
    this.#attempts.delete(uid);
  }

  containers(podUid?: string): readonly Container[] {
    return this.#cache
      .containers(podUid)
      .map(({ container }) => container)
      .sort((a, b) => a.createdAt - b.createdAt || a.attempt - b.attempt);
  }

  async createContainer(config: ContainerConfig): Promise<string> {
    const known = this.#cache.sandbox(config.podUid);
    if (known === undefined || known.sandbox.state !== "ready") {
      throw new StatusError(Code.failedPrecondition, `pod ${config.podUid} has no sandbox`);
    }
    const image = this.images.status(config.image);
    if (image === undefined) {
      throw new StatusError(Code.notFound, `image "${config.image}" is not on this node`);
    }
    const path = join(this.#directoryOf(known), logPathOf(config));
    await mkdir(join(path, ".."), { recursive: true });
    const request = {
      podSandboxId: known.id,
      config: containerMessage(config, known.sandbox, image, this.#options.seccompRoot),
      sandboxConfig: this.#messageOf(known),
    };
    try {
      const made = await call(this.#connection.runtime, "createContainer", request, acting);
      this.images.used(image);
      await this.#cache.refreshContainer(made.containerId ?? "");
      return made.containerId ?? "";
    } catch (error) {
      // The image may have been removed beneath: the next try pulls it.
      if (StatusError.from(error).code === Code.notFound) await this.images.refresh(true);
      throw error;
    }
  }

  async startContainer(id: string): Promise<void> {
    const { container } = this.#get(id);
    if (container.state !== "created") return;
    try {
      await call(this.#connection.runtime, "startContainer", { containerId: id }, acting);
    } catch (error) {
      await this.#cache.refreshContainer(id);
      // The runtime has noted why it did not start; anything else is told.
      if (this.#cache.container(id)?.container.state !== "exited") throw error;
      return;
    }
    await this.#cache.refreshContainer(id);
    this.#follower.hurry();
  }

  async updateContainer(id: string, asked: ContainerResources): Promise<void> {
    const { cpuShares, ...others } = resources(asked);
    // What is absent stays as it is.
    const shares = asked.cpuRequestMillis ?? asked.cpuLimitMillis;
    const linux = shares === undefined ? others : { ...others, cpuShares };
    const request = { containerId: id, linux };
    await call(this.#connection.runtime, "updateContainerResources", request, acting);
  }

  async stopContainer(id: string, graceMillis: number): Promise<void> {
    const known = this.#cache.container(id);
    if (known === undefined || known.container.state === "exited") return;
    const seconds = Math.max(0, Math.ceil(graceMillis / 1000));
    const request = { containerId: id, timeout: BigInt(seconds) };
    const deadlineMillis = seconds * 1000 + criLimits.actMillis;
    await ifThere(call(this.#connection.runtime, "stopContainer", request, { deadlineMillis }));
    await this.#cache.refreshContainer(id);
  }

  async removeContainer(id: string): Promise<void> {
    const known = this.#cache.container(id);
    if (known === undefined) return;
    await ifThere(call(this.#connection.runtime, "removeContainer", { containerId: id }, acting));
    const path = this.#logPath(known);
    const rotated = rotatedNames(path, this.#options.logFilesMax);
    for (const file of [path, ...rotated]) await rm(file, { force: true });
    this.#cache.dropContainer(id);
  }

  async exec(id: string, command: readonly string[], timeoutMillis: number): Promise<ExecResult> {
    this.#running(id);
    return runExec(this.#connection, id, command, timeoutMillis);
  }

  async execStream(
    id: string,
    command: readonly string[],
    options: StreamOptions,
  ): Promise<ExecSession> {
    if (command.length === 0) throw new StatusError(Code.invalidArgument, "exec needs a command");
    this.#running(id);
    const { stdin, tty } = options;
    const request = { containerId: id, cmd: [...command], stdin, tty, stdout: true, stderr: !tty };
    const { url = "" } = await call(this.#connection.runtime, "exec", request, asking);
    return openSession(url, options);
  }

  async attach(id: string, options: StreamOptions): Promise<ExecSession> {
    this.#running(id);
    const { container } = this.#get(id);
    const { stdin, tty } = options;
    const request = { containerId: id, stdin, tty, stdout: true, stderr: !tty };
    const { url = "" } = await call(this.#connection.runtime, "attach", request, asking);
    const session = await openSession(url, options);
    const exitCode = session.exitCode.then(() => this.#exitCodeOf(id, options.signal));
    exitCode.catch((error: unknown) =>
      this.#log.debug("an attached session broke off", { container: container.name, error }),
    );
    return { ...session, exitCode };
  }

  async portForward(podUid: string, port: number, signal: AbortSignal): Promise<ByteStream> {
    if (!Number.isInteger(port) || port < 1 || port > 65_535) {
      throw new StatusError(Code.invalidArgument, `port ${port} is not within 1..65535`);
    }
    const known = this.#cache.sandbox(podUid);
    if (known === undefined || known.sandbox.state !== "ready") {
      throw new StatusError(Code.notFound, `pod ${podUid} has no ready sandbox`);
    }
    const request = { podSandboxId: known.id, port: [port] };
    const { url = "" } = await call(this.#connection.runtime, "portForward", request, asking);
    return openForward(url, port, signal);
  }

  logs(id: string, options: LogOptions): AsyncIterable<Uint8Array> {
    const known = this.#get(id);
    const isOver = () => (this.#cache.container(id)?.container.state ?? "exited") === "exited";
    return readCriLog(this.#logPath(known), options, isOver);
  }

  resourceUse(): Promise<readonly PodResourceUse[]> {
    return measureUse(this.#connection, this.#cache);
  }

  async diskUse(podUid: string): Promise<PodDiskUse> {
    const known = this.#cache.sandbox(podUid);
    if (known === undefined) return { containers: [], shared: { bytes: 0, entries: 0 } };
    return measureDisk(this.#connection, this.#cache, known.id, this.#directoryOf(known));
  }

  onEvent(handler: (event: RuntimeEvent) => void): Cancel {
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }

  async #untilAnswered(): Promise<void> {
    const deadline = performance.now() + criLimits.loadMillis;
    for (;;) {
      try {
        const asked = { version: "v1" };
        const told = await call(this.#connection.runtime, "version", asked, asking);
        this.#name = told.runtimeName || "cri";
        this.#version = told.runtimeVersion ?? "";
        return;
      } catch (error) {
        const { code, message } = StatusError.from(error);
        const { endpoint } = this.#connection;
        const text = `container runtime at ${endpoint}: ${message}`;
        if (code !== Code.unavailable || performance.now() > deadline) {
          throw new StatusError(code, text);
        }
        await pause(criLimits.quickPollMillis);
      }
    }
  }

  /** The runtime pulls the image of its sandboxes itself; without a registry it is brought here. */
  async #bringSandboxImage(): Promise<void> {
    if (this.#options.imageRoot === undefined) return;
    const { info = {} } = await call(this.#connection.runtime, "status", { verbose: true }, asking);
    const reference = /"sandboxImage":\s*"([^"]+)"/.exec(info["config"] ?? "")?.[1];
    if (reference === undefined || this.images.status(reference) !== undefined) return;
    await this.images.pull(reference).catch((error: unknown) => {
      const { message } = StatusError.from(error);
      this.#log.warn("the runtime's image of sandboxes is not here", { reference, message });
    });
  }

  async #stop({ id, sandbox, ...rest }: KnownSandbox): Promise<void> {
    await ifThere(call(this.#connection.runtime, "stopPodSandbox", { podSandboxId: id }, acting));
    await this.#cache.refresh();
    const still = this.#cache.sandboxesOf(sandbox.uid).some((known) => known.id === id);
    if (!still) return;
    this.#cache.putSandbox({ ...rest, id, sandbox: { ...sandbox, state: "stopped" } });
  }

  /** Of a container whose output is over: the runtime knows its end a moment later. */
  async #exitCodeOf(id: string, signal: AbortSignal): Promise<number | undefined> {
    const deadline = performance.now() + criLimits.askMillis;
    while (!signal.aborted && performance.now() < deadline) {
      await this.#cache.refreshContainer(id);
      const container = this.#cache.container(id)?.container;
      if (container?.state !== "running") return container?.exitCode;
      await pause(criLimits.quickPollMillis / 4);
    }
    return undefined;
  }

  #get(id: string): KnownContainer {
    const known = this.#cache.container(id);
    if (known === undefined) throw new StatusError(Code.notFound, `no container ${id}`);
    return known;
  }

  #running(id: string): void {
    const { container } = this.#get(id);
    if (container.state === "running") return;
    throw new StatusError(Code.failedPrecondition, `container ${container.name} is not running`);
  }

  #messageOf({ sandbox, attempt }: KnownSandbox): CriSandboxConfig {
    return sandboxMessage(sandbox, attempt);
  }

  #logDirectory({ namespace, name, uid }: PodSandboxConfig): string {
    return join(this.#logRoot, `${namespace}_${name}_${uid}`);
  }

  #directoryOf({ sandbox }: KnownSandbox): string {
    return sandbox.logDirectory ?? this.#logDirectory(sandbox);
  }

  #logPath({ sandboxId, logPath, container }: KnownContainer): string {
    if (logPath.startsWith("/")) return logPath;
    const all = this.#cache.sandboxesOf(container.podUid);
    const known = all.find(({ id }) => id === sandboxId) ?? all.at(-1);
    const directory = known === undefined ? this.#logRoot : this.#directoryOf(known);
    return join(directory, logPath || `${container.name}/${container.attempt}.log`);
  }

  async #rotateLogs(): Promise<void> {
    const bytesMax = this.#options.logBytesMax ?? logLimits.fileBytesMax;
    for (const known of this.#cache.containers()) {
      if (known.container.state !== "running") continue;
      const path = this.#logPath(known);
      const size = (await stat(path).catch(() => undefined))?.size ?? 0; // not there yet
      if (size <= bytesMax) continue;
      await this.#rotate(known.container.id, path).catch((error: unknown) =>
        this.#log.warn("a log could not be rotated", { path, error }),
      );
    }
  }

  async #rotate(containerId: string, path: string): Promise<void> {
    const names = [path, ...rotatedNames(path, this.#options.logFilesMax)];
    for (let index = names.length - 2; index >= 0; index--) {
      const [from = "", to = ""] = [names[index], names[index + 1]];
      await rename(from, to).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      });
    }
    await call(this.#connection.runtime, "reopenContainerLog", { containerId }, asking);
  }
}

/** A call that ends something, which may be gone: that is what it asks for. */
async function ifThere(answer: Promise<unknown>): Promise<void> {
  try {
    await answer;
  } catch (error) {
    if (StatusError.from(error).code !== Code.notFound) throw error;
  }
}

function rotatedNames(path: string, filesMax: number = logLimits.filesMax): readonly string[] {
  return Array.from({ length: filesMax - 1 }, (_, index) => `${path}.${index + 1}`);
}
