/**
 * Containers as plain processes of this machine.
 *
 * What differs from a container engine, and is told to users where it matters:
 * - `image` is a label: the programs are those of this machine, so a container needs a command;
 * - pods share the machine's files and network; a pod's own address is one of 127.64.0.0/10, and a
 *   program that binds it, and not 0.0.0.0, leaves its ports free for others; it has one of IPv6 too
 *   where the machine answers at those of the node's range;
 * - volumes are bind-mounted at their mountPath in a private mount namespace, for which missing
 *   mount points are made on the machine (and removed with the pod when empty). Without root,
 *   mountPath must lie under workingDir, where a link is made. The directory of each volume is in
 *   `TRIREME_VOLUME_<NAME>` as well;
 * - without workingDir a program starts in a private directory of its pod, which is also its HOME;
 * - memory and cpu limits need a writable cgroup. There is no RLIMIT in their place: limits on
 *   address space or data break runtimes that reserve much and use little, such as V8 and Go.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import type { Cancel, Log } from "../../../../ha/runtime/types.ts";
import { diskUseOf } from "../../disk-use.ts";
import type { ImageMap } from "../image-map.ts";
import { ImageLayouts } from "../layouts/mod.ts";
import { PodIndex } from "../pod-index.ts";
import type {
  ByteStream,
  Container,
  ContainerConfig,
  ContainerResources,
  ContainerRuntime,
  ExecResult,
  ExecSession,
  LogOptions,
  Mount,
  PodDiskUse,
  PodResourceUse,
  PodSandbox,
  PodSandboxConfig,
  RuntimeEvent,
  RuntimeFeatures,
  RuntimeStatus,
  StreamOptions,
} from "../types.ts";
import { ContainerConfigError } from "../types.ts";
import { openAttach } from "./attach.ts";
import { type Capabilities, featuresOf, probeCapabilities } from "./capabilities.ts";
import { joinCgroups, makeCgroups, removeCgroups } from "./cgroup.ts";
import { ProcessContainer } from "./container.ts";
import { type ExecPlan, openExec, runExec } from "./exec.ts";
import { openForward } from "./forward.ts";
import { identityArguments } from "./identity.ts";
import {
  completedByImage,
  enterRoot,
  identityInRoot,
  partOfTree,
  rootOf,
  unpackLayout,
} from "./image-root.ts";
import { imageIdOf, type LayoutSource, ProcessImages } from "./images.ts";
import { checkConfig, environmentOf, prepareLaunch, rootedEnvironment } from "./launching.ts";
import { logLimits, readLog, rotateLog } from "./logs.ts";
import { MountPoints } from "./mount-points.ts";
import { toolPath } from "./program.ts";
import {
  type ContainerRecord,
  openStateDir,
  type SandboxRecord,
  type StateDir,
} from "./records.ts";
import { type SessionOwner, usedBySessions } from "./resource-use.ts";
import { terminalCommand } from "./shim.ts";
import { sizeCommand } from "./terminal.ts";

export interface ProcessRuntimeOptions {
  /** State directory; made if it does not exist. */
  readonly root: string;
  readonly log: Log;
  /** Absent: probed by `load`. */
  readonly capabilities?: Capabilities | undefined;
  readonly logBytesMax?: number | undefined;
  readonly logFilesMax?: number | undefined;
  readonly rotateMillis?: number | undefined;
  /** Folder of image layouts whose containers have a root of their own. */
  readonly imageRoot?: string | undefined;
  /** Images that stand for a program of this machine. */
  readonly imageMap?: ImageMap | undefined;
}

const rotateMillisDefault = 10_000;
const uidShape = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

export function createProcessRuntime(options: ProcessRuntimeOptions): ContainerRuntime {
  return new ProcessRuntime(options);
}

class ProcessRuntime implements ContainerRuntime {
  readonly name = "process";
  readonly version = process.version;
  readonly #options: ProcessRuntimeOptions;
  readonly #log: Log;
  readonly #state: StateDir;
  readonly #sandboxes = new Map<string, SandboxRecord>();
  readonly #containers = new PodIndex<ProcessContainer>(({ record }) => record.config.podUid);
  /** Those that have had a client of their input and output. */
  readonly #attached = new WeakSet<object>();
  readonly #mountPoints: MountPoints;
  readonly images: ProcessImages;
  readonly #handlers = new Set<(event: RuntimeEvent) => void>();
  #able: Capabilities | undefined;
  #rotation: NodeJS.Timeout | undefined;

  constructor(options: ProcessRuntimeOptions) {
    this.#options = options;
    this.#log = options.log.child({ runtime: "process" });
    this.#state = openStateDir(resolve(options.root), this.#log);
    this.#mountPoints = new MountPoints(this.#state.podDir);
    this.images = new ProcessImages(
      this.#state.root,
      () => {
        const containers = [...this.#containers.values()];
        const used = containers.flatMap(({ record: { config } }) => [
          config.image,
          ...config.mounts.flatMap(({ image }) => image ?? []),
        ]);
        return new Set(used.map(imageIdOf));
      },
      this.#layoutSource(),
    );
  }

  async load(): Promise<void> {
    // Kubelets of one machine have different state directories: their hash keeps cgroups apart.
    const scope = createHash("sha256").update(this.#state.root).digest("hex").slice(0, 16);
    this.#able = this.#options.capabilities ?? (await probeCapabilities(scope, this.#log));
    const { sandboxes, containers } = await this.#state.load();
    this.images.load();
    if (this.#able.mounts) await this.#mountPoints.sweep();
    for (const record of sandboxes) this.#sandboxes.set(record.config.uid, record);
    for (const record of containers) {
      const container = this.#newContainer(record);
      await container.adopt();
    }
    this.#rotation = setInterval(
      () => void this.#rotateLogs(),
      this.#options.rotateMillis ?? rotateMillisDefault,
    );
    this.#rotation.unref();
  }

  async close(): Promise<void> {
    clearInterval(this.#rotation);
    this.#handlers.clear();
    for (const container of this.#containers.values()) container.close();
    // The groups' parents go when nothing is in them; the next instance makes them anew.
    const { memoryCgroup, cpuCgroup } = this.#able ?? {};
    await removeCgroups([memoryCgroup, cpuCgroup].flatMap((one) => (one ? [one.dir] : [])));
  }

  features(): RuntimeFeatures {
    const imageVolumes = this.#options.imageRoot !== undefined && this.#capabilities().mounts;
    return { ...featuresOf(this.#capabilities()), imageVolumes };
  }

  /** Ready while its state can be written: without that no start and no exit would be kept. */
  async status(): Promise<RuntimeStatus> {
    const probe = join(this.#state.root, "probe");
    try {
      await writeFile(probe, "");
      await rm(probe);
      return { runtimeReady: true, networkReady: true };
    } catch (error) {
      const { message } = error as Error;
      return { runtimeReady: { reason: "StateNotWritable", message }, networkReady: true };
    }
  }

  /** The cache follows every container by itself; this looks at those it cannot hear of. */
  async refresh(): Promise<void> {
    for (const container of this.#containers.values()) await container.refresh();
  }

  sandboxes(): readonly PodSandbox[] {
    return [...this.#sandboxes.values()].map(sandboxOf);
  }

  sandbox(podUid: string): PodSandbox | undefined {
    const record = this.#sandboxes.get(podUid);
    return record === undefined ? undefined : sandboxOf(record);
  }

  async runSandbox(config: PodSandboxConfig): Promise<PodSandbox> {
    if (!uidShape.test(config.uid)) {
      throw new ContainerConfigError(`pod uid "${config.uid}" cannot name a directory`);
    }
    const known = this.#sandboxes.get(config.uid);
    const record: SandboxRecord = {
      version: 1,
      config,
      createdAt: Date.now(),
      stopped: false,
      madeMountPoints: known?.madeMountPoints ?? [],
    };
    mkdirSync(join(this.#state.podDir(config.uid), "work"), { recursive: true });
    this.#state.writeSandbox(record);
    this.#sandboxes.set(config.uid, record);
    return sandboxOf(record);
  }

  async stopSandbox(uid: string): Promise<void> {
    await Promise.all(this.#of(uid).map((container) => container.stop(0, "SIGKILL")));
    const record = this.#sandboxes.get(uid);
    if (record === undefined || record.stopped) return;
    record.stopped = true;
    this.#state.writeSandbox(record);
  }

  async removeSandbox(uid: string): Promise<void> {
    await this.stopSandbox(uid);
    for (const container of this.#of(uid)) await this.removeContainer(container.record.id);
    const record = this.#sandboxes.get(uid);
    if (record === undefined) return;
    await this.#mountPoints.release(record.madeMountPoints, uid);
    await rm(this.#state.podDir(uid), { recursive: true, force: true });
    this.#sandboxes.delete(uid);
  }

  containers(podUid?: string): readonly Container[] {
    const chosen = podUid === undefined ? [...this.#containers.values()] : this.#of(podUid);
    return chosen
      .map((container) => container.status())
      .sort((a, b) => a.createdAt - b.createdAt || a.attempt - b.attempt);
  }

  async createContainer(asked: ContainerConfig): Promise<string> {
    const sandbox = this.#sandboxes.get(asked.podUid);
    if (sandbox === undefined) {
      throw new StatusError(Code.failedPrecondition, `pod ${asked.podUid} has no sandbox`);
    }
    if (this.images.status(asked.image) === undefined) {
      throw new StatusError(Code.notFound, `image "${asked.image}" is not on this node`);
    }
    const unpacked = this.images.unpacked(asked.image);
    const whole = unpacked ? await completedByImage(asked, unpacked) : this.#mapped(asked);
    const config = { ...whole, mounts: await this.#withImages(whole.mounts) };
    checkConfig(config, this.#capabilities());
    const id = randomBytes(32).toString("hex");
    const record: ContainerRecord = {
      version: 1,
      id,
      config,
      createdAt: Date.now(),
      cgroups: [],
      launched: false,
      ...(unpacked && { imageRoot: unpacked.root }),
    };
    mkdirSync(this.#state.containerDir(id), { recursive: true, mode: 0o755 });
    this.#state.writeContainer(record);
    this.#newContainer(record);
    return id;
  }

  async startContainer(id: string): Promise<void> {
    const container = this.#get(id);
    const { record } = container;
    if (record.launched || container.exited) return;
    const { podUid, image } = record.config;
    const sandbox = this.#sandboxes.get(podUid);
    try {
      if (sandbox === undefined) throw new Error(`pod ${podUid} has no sandbox`);
      const prepared = await prepareLaunch(container, {
        able: this.#capabilities(),
        state: this.#state,
        mountPoints: this.#mountPoints,
        sandbox,
        workDir: this.#workDir(podUid),
      });
      this.images.used(image, prepared.programBytes);
      await container.launch(prepared);
    } catch (error) {
      await container.failStart((error as Error).message);
    }
    if (!container.exited) this.#tell("started", container);
  }

  async updateContainer(id: string, resources: ContainerResources): Promise<void> {
    const { record, processPid } = this.#get(id);
    if (processPid === undefined) throw notRunning(record.config.name);
    const config = { ...record.config, ...given(resources) };
    const dirs = await makeCgroups(this.#capabilities(), id, {
      memoryBytes: config.memoryLimitBytes,
      cpuMillis: config.cpuLimitMillis,
    });
    const joined = dirs.filter((dir) => !record.cgroups.includes(dir));
    if (joined.length > 0) await joinCgroups(joined, processPid);
    record.cgroups = [...record.cgroups, ...joined];
    record.config = config;
    this.#state.writeContainer(record);
  }

  async stopContainer(id: string, graceMillis: number): Promise<void> {
    const container = this.#containers.get(id);
    const signal = (container?.record.config.stopSignal ?? "SIGTERM") as NodeJS.Signals;
    await container?.stop(graceMillis, signal);
  }

  async removeContainer(id: string): Promise<void> {
    const container = this.#containers.get(id);
    if (container === undefined) return;
    await container.stop(0, "SIGKILL");
    container.close();
    await removeCgroups(container.record.cgroups);
    await rm(container.dir, { recursive: true, force: true });
    this.#containers.delete(id);
  }

  exec(id: string, command: readonly string[], timeoutMillis: number): Promise<ExecResult> {
    return runExec(this.#execPlan(id, command), timeoutMillis);
  }

  execStream(id: string, command: readonly string[], options: StreamOptions): Promise<ExecSession> {
    if (command.length === 0) throw new StatusError(Code.invalidArgument, "exec needs a command");
    if (!options.tty) return openExec(this.#execPlan(id, command), options);
    if (!this.#capabilities().script) {
      throw new StatusError(Code.failedPrecondition, "tty: this machine has no script(1)");
    }
    const size = options.size === undefined ? "" : sizeCommand(options.size);
    return openExec(this.#execPlan(id, command, size), options);
  }

  async attach(id: string, options: StreamOptions): Promise<ExecSession> {
    const container = this.#get(id);
    const { config } = container.record;
    const pid = container.processPid;
    if (pid === undefined) throw notRunning(config.name);
    const hadClient = this.#attached.has(container);
    this.#attached.add(container);
    const session = await openAttach(
      {
        dir: container.dir,
        hasInput: config.stdin ?? false,
        inputOnce: config.stdinOnce ?? false,
        hadClient,
        terminal: config.tty ?? false,
        pid,
        exited: container.whenExited(),
        isExited: () => container.exited,
      },
      options,
    );
    if (options.size !== undefined) await session.resize(options.size);
    return session;
  }

  async portForward(podUid: string, port: number, signal: AbortSignal): Promise<ByteStream> {
    const sandbox = this.#sandboxes.get(podUid);
    if (sandbox === undefined || sandbox.stopped) {
      throw new StatusError(Code.notFound, `pod ${podUid} has no ready sandbox`);
    }
    const { address, secondAddress } = sandbox.config;
    return openForward(secondAddress ? [address, secondAddress] : [address], port, signal);
  }

  #layoutSource(): LayoutSource | undefined {
    const { imageRoot } = this.#options;
    if (imageRoot === undefined) return undefined;
    const layouts = new ImageLayouts(resolve(imageRoot), this.#log);
    const directory = join(this.#state.root, "images");
    return {
      find: (reference) => layouts.find(reference),
      unpack: (image) => unpackLayout(image, directory, this.#capabilities()),
    };
  }

  /** The trees of the images that are mounted. Throws ContainerConfigError. */
  #withImages(mounts: readonly Mount[]): Promise<readonly Mount[]> {
    return Promise.all(
      mounts.map(async (mount) => {
        const { image, subPath = "" } = mount;
        if (image === undefined) return mount;
        const root = this.images.unpacked(image)?.root;
        if (root !== undefined) return { ...mount, hostPath: await partOfTree(root, subPath) };
        const why = "the process runtime mounts images of --image-root alone";
        throw new ContainerConfigError(`volume of image "${image}": ${why}`);
      }),
    );
  }

  /** An image that stands for a program: what the pod says replaces it, as with any image. */
  #mapped(config: ContainerConfig): ContainerConfig {
    if (config.command.length > 0) return config;
    return { ...config, command: this.#options.imageMap?.(config.image) ?? [] };
  }

  /** Enters the container's namespaces with its user, environment and working directory. */
  /** `terminal`: the program runs on one, behind these words of sh. */
  #execPlan(id: string, command: readonly string[], terminal?: string): ExecPlan {
    const container = this.#get(id);
    const { config } = container.record;
    const pid = container.processPid;
    if (pid === undefined) throw notRunning(config.name);
    const able = this.#capabilities();
    const home = this.#workDir(config.podUid);
    const { imageRoot } = container.record;
    const rooted = imageRoot !== undefined;
    const cwd = rooted ? "/" : (config.workingDir ?? home);
    const identity = rooted
      ? identityInRoot(config.security)
      : identityArguments(config.security, able.root);
    const enter = [toolPath("nsenter"), `--target=${pid}`, "--mount", "--uts", `--wd=${cwd}`, "--"];
    const inner = rooted ? [...enterRoot(config), ...command] : command;
    const toRoot = ["sh", "-c", 'cd -- "$0" && exec "$@"', rootOf(container.dir)];
    return {
      command: [
        ...(able.mounts ? enter : []),
        ...(rooted ? toRoot : []),
        ...(identity.length > 0 ? [toolPath("setpriv"), ...identity, "--"] : []),
        ...(terminal === undefined ? inner : terminalCommand(inner, terminal)),
      ],
      env: rooted ? rootedEnvironment(config) : environmentOf(config, home),
      cwd: able.mounts ? "/" : cwd,
    };
  }

  logs(id: string, options: LogOptions): AsyncIterable<Uint8Array> {
    const container = this.#get(id);
    return readLog(container.logPath, options, () => container.exited);
  }

  resourceUse(): Promise<readonly PodResourceUse[]> {
    const sessions = new Map<number, SessionOwner>();
    for (const { session, record } of this.#containers.values()) {
      const { id, config } = record;
      const { podUid, name } = config;
      if (session !== undefined) sessions.set(session, { podUid, id, name });
    }
    return usedBySessions(sessions);
  }

  async diskUse(podUid: string): Promise<PodDiskUse> {
    const containers: PodDiskUse["containers"][number][] = [];
    for (const { dir, record } of this.#of(podUid)) {
      containers.push({ name: record.config.name, use: await diskUseOf(dir) });
    }
    return { containers, shared: await diskUseOf(this.#workDir(podUid)) };
  }

  onEvent(handler: (event: RuntimeEvent) => void): Cancel {
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }

  #capabilities(): Capabilities {
    if (this.#able === undefined) {
      throw new StatusError(Code.failedPrecondition, "the process runtime is not loaded yet");
    }
    return this.#able;
  }

  #workDir(podUid: string): string {
    return join(this.#state.podDir(podUid), "work");
  }

  #of(podUid: string): readonly ProcessContainer[] {
    return this.#containers.of(podUid);
  }

  #get(id: string): ProcessContainer {
    const container = this.#containers.get(id);
    if (container === undefined) throw new StatusError(Code.notFound, `no container ${id}`);
    return container;
  }

  #newContainer(record: ContainerRecord): ProcessContainer {
    const container = new ProcessContainer(record, this.#state, this.#log, (ended) =>
      this.#tell("exited", ended),
    );
    this.#containers.set(record.id, container);
    return container;
  }

  #tell(type: RuntimeEvent["type"], { record }: ProcessContainer): void {
    const event = { type, podUid: record.config.podUid, containerId: record.id };
    for (const handler of [...this.#handlers]) handler(event);
  }

  async #rotateLogs(): Promise<void> {
    const bytesMax = this.#options.logBytesMax ?? logLimits.fileBytesMax;
    for (const container of this.#containers.values()) {
      try {
        const rotated = await rotateLog(container.logPath, bytesMax, this.#options.logFilesMax);
        if (rotated) await container.logTimes.reset();
      } catch (error) {
        this.#log.error("could not rotate a container's log", { id: container.record.id, error });
      }
    }
  }
}

function sandboxOf(record: SandboxRecord): PodSandbox {
  const state = record.stopped ? ("stopped" as const) : ("ready" as const);
  return { ...record.config, state, createdAt: record.createdAt };
}

/** Without what is not said. */
function given(resources: ContainerResources): ContainerResources {
  return Object.fromEntries(Object.entries(resources).filter(([, value]) => value !== undefined));
}

function notRunning(name: string): StatusError {
  return new StatusError(Code.failedPrecondition, `container ${name} is not running`);
}
