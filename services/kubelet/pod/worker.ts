/**
 * One pod on this node. Level-based and serialised: whatever happens wakes the worker, which looks
 * at what is wanted and what is there, and takes the next steps.
 *
 *     waiting for address ─▶ running ─▶ over (Succeeded or Failed; records and logs stay)
 *             └──── deleted or object gone ────▶ stopping ─▶ removed ─▶ forgotten
 *
 * Stops run beside the worker, so that a shorter grace or a deletion is heeded while one is under
 * way; everything else happens in `#sync`.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Cancel, Log } from "../../../ha/runtime/types.ts";
import type {
  Container,
  Pod,
  PodStatus,
  PodStatusReport,
  Probe,
  Service,
} from "../../../proto/gen/core.ts";
import { Backoff, type EventRecorder, type LoopClock } from "../../client/mod.ts";
import { isSidecar, parseTime } from "../../kinds/mod.ts";
import { kubeletLimits } from "../limits.ts";
import {
  ContainerConfigError,
  type ContainerRuntime,
  type Container as RuntimeContainer,
} from "../runtime/types.ts";
import { RestartBackoff } from "./backoff.ts";
import type { ConfigSource, PodFacts } from "./environment.ts";
import { runHook } from "./hooks.ts";
import { type Plan, planPod } from "./plan.ts";
import { PodProbes, type ProbeKind, type ProbeRunner } from "./probes.ts";
import { containerConfig } from "./start.ts";
import { generateStatus, isTerminal, rejectedStatus, runsOf, type Waiting } from "./status.ts";
import { hasRefreshableVolumes, prepareVolumes } from "./volumes.ts";

export interface WorkerContext {
  readonly clock: LoopClock;
  readonly log: Log;
  readonly runtime: ContainerRuntime;
  readonly probeRunner: ProbeRunner;
  readonly events: Pick<EventRecorder, "event">;
  readonly config: ConfigSource;
  readonly services: () => readonly Service[];
  readonly nodeName: string;
  readonly hostIP: string;
  readonly nodeCpuMillis: number;
  readonly nodeMemoryBytes: number;
  /** Directory of the pods' volumes. */
  readonly podsDir: string;
  /** Undefined: the node has no range yet, or it is used up; the worker is woken later. */
  readonly address: (uid: string) => string | undefined;
  readonly report: (report: PodStatusReport) => void;
  /** Nothing is left of the pod here. */
  readonly forgotten: (uid: string) => void;
}

interface Stop {
  deadline: number;
  readonly abortHook: AbortController;
}

export class PodWorker {
  readonly uid: string;
  #pod: Pod;
  #vanished = false;
  #acknowledged = false;
  #closed = false;
  #rejection: { reason: string; message: string } | undefined;
  #failure: { reason: string; message: string } | undefined;
  #status: PodStatus | undefined;
  #lastReport = "";
  #removedReported = false;
  #volumes: ReadonlyMap<string, string> | undefined;
  #volumesAt = 0;
  #dirty = false;
  #active = false;
  #timer: Cancel | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  readonly #context: WorkerContext;
  readonly #log: Log;
  readonly #probes: PodProbes;
  readonly #backoff = new RestartBackoff();
  readonly #stops = new Map<string, Stop>();
  readonly #problems = new Map<string, Waiting & { readonly retryAt: number }>();
  readonly #retries = new Map<string, Backoff>();

  constructor(context: WorkerContext, pod: Pod) {
    this.#context = context;
    this.#pod = pod;
    this.uid = pod.metadata?.uid ?? "";
    this.#status = pod.status;
    this.#log = context.log.child({
      pod: `${pod.metadata?.namespace}/${pod.metadata?.name}`,
      uid: this.uid,
    });
    this.#probes = new PodProbes(context.clock, context.probeRunner, {
      changed: () => this.wake(),
      unhealthy: (kind, container, message) => this.#unhealthy(kind, container, message),
      failed: (kind, id, probe, message) => this.#probeFailed(kind, id, probe, message),
    });
  }

  get pod(): Pod {
    return this.#pod;
  }

  /** Counts against the node's resources. */
  get active(): boolean {
    return !isTerminal(this.#status) && this.#rejection === undefined;
  }

  /** Whether the apiserver has been told that nothing is left. */
  get removedReported(): boolean {
    return this.#removedReported;
  }

  update(pod: Pod): void {
    this.#pod = pod;
    this.wake();
  }

  /** The node does not take this pod. */
  reject(reason: string, message: string): void {
    this.#rejection = { reason, message };
    this.#event("Warning", reason, message);
    this.wake();
  }

  /** The object is gone from the API. */
  vanish(): void {
    this.#vanished = true;
    this.wake();
  }

  /** The apiserver knows that the containers are gone. */
  acknowledge(): void {
    this.#acknowledged = true;
    this.wake();
  }

  /** Lets go; containers run on. */
  close(): void {
    this.#closed = true;
    this.#timer?.();
    this.#probes.close();
    for (const stop of this.#stops.values()) stop.abortHook.abort();
  }

  wake(): void {
    this.#dirty = true;
    if (!this.#active && !this.#closed) void this.#loop();
  }

  async #loop(): Promise<void> {
    this.#active = true;
    while (this.#dirty && !this.#closed) {
      this.#dirty = false;
      try {
        await this.#sync();
        this.#retries.delete("");
      } catch (error) {
        this.#log.error("a pod could not be brought to its wanted state", { error });
        this.#wakeAfter(this.#retryMillis(""));
      }
    }
    this.#active = false;
  }

  #wakeAfter(millis: number): void {
    const at = this.#context.clock.monotonicMillis() + millis;
    if (at >= this.#timerAt) return;
    this.#timer?.();
    this.#timerAt = at;
    this.#timer = this.#context.clock.after(Math.min(millis, 2 ** 31 - 1), () => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.wake();
    });
  }

  #retryMillis(name: string): number {
    let backoff = this.#retries.get(name);
    if (backoff === undefined) {
      const { configRetryFirstMillis, configRetryCeilingMillis } = kubeletLimits;
      backoff = new Backoff(configRetryFirstMillis, configRetryCeilingMillis);
      this.#retries.set(name, backoff);
    }
    return backoff.next();
  }

  async #sync(): Promise<void> {
    if (this.#vanished || this.#pod.metadata?.deletionTimestamp !== undefined) {
      return this.#terminate();
    }
    if (this.#rejection !== undefined) {
      const { reason, message } = this.#rejection;
      return this.#send(rejectedStatus(this.#pod, reason, message, this.#now()));
    }
    if (isTerminal(this.#status)) return this.#wrapUp();
    if (this.#checkDeadline()) {
      const going = this.#stopAll(this.#graceMillis());
      if (going) return this.#publish(undefined);
      this.#publish({ over: true });
      return this.#wrapUp();
    }
    const podIP = await this.#ensureSandbox();
    if (podIP === undefined) return this.#publish(undefined);
    if (!(await this.#ensureVolumes(podIP))) return this.#publish(undefined);
    const plan = this.#plan();
    for (const run of plan.stop) this.#beginStop(run, this.#graceMillis());
    for (const step of plan.start) {
      if (this.#closed || this.#pod.metadata?.deletionTimestamp !== undefined) break;
      await this.#start(podIP, step.container, step.attempt, step.restart);
    }
    const next = plan.start.length > 0 ? this.#plan() : plan;
    this.#followProbes(podIP);
    this.#publish(next);
    if (next.againMillis !== undefined) this.#wakeAfter(next.againMillis);
    if (next.over) await this.#wrapUp();
    // Starting one container may allow the next, e.g. the main ones after a sidecar.
    else if (next.start.some(({ container }) => !this.#problems.has(container.name ?? ""))) {
      this.#dirty = true;
    }
  }

  #now(): number {
    return this.#context.clock.wallMillis();
  }

  #runs(): readonly RuntimeContainer[] {
    return this.#context.runtime.containers(this.uid);
  }

  #graceMillis(): number {
    return (this.#pod.spec?.terminationGracePeriodSeconds ?? 30) * 1000;
  }

  #plan(): Plan {
    return planPod({
      pod: this.#pod,
      containers: this.#runs(),
      started: (id, container) => this.#probes.started(id, container),
      backoffRemaining: (name, finishedAt) =>
        this.#backoff.remaining(name, finishedAt, this.#now()),
      backoffCurrent: (name) => this.#backoff.current(name),
      stopping: (id) => this.#stops.has(id),
    });
  }

  /** True: the pod has run for longer than it may. */
  #checkDeadline(): boolean {
    const seconds = this.#pod.spec?.activeDeadlineSeconds;
    const startedAt = parseTime(this.#status?.startTime);
    if (this.#failure !== undefined) return true;
    if (seconds === undefined || startedAt === undefined) return false;
    const left = startedAt + seconds * 1000 - this.#now();
    if (left > 0) {
      this.#wakeAfter(left);
      return false;
    }
    const message = "Pod was active on the node longer than the specified deadline";
    this.#failure = { reason: "DeadlineExceeded", message };
    this.#event("Normal", "DeadlineExceeded", message);
    return true;
  }

  #sandbox() {
    return this.#context.runtime.sandboxes().find((one) => one.uid === this.uid);
  }

  async #ensureSandbox(): Promise<string | undefined> {
    const known = this.#sandbox();
    if (known?.state === "ready") return known.address;
    const { metadata, spec } = this.#pod;
    const hostNetwork = spec?.hostNetwork ?? false;
    const address = hostNetwork ? this.#context.hostIP : this.#context.address(this.uid);
    if (address === undefined) return undefined;
    const made = await this.#context.runtime.runSandbox({
      uid: this.uid,
      namespace: metadata?.namespace ?? "",
      name: metadata?.name ?? "",
      hostname: spec?.hostname ?? metadata?.name ?? "",
      address,
      hostNetwork,
    });
    return made.address;
  }

  #facts(podIP: string): PodFacts {
    const { hostIP, nodeName, nodeCpuMillis, nodeMemoryBytes } = this.#context;
    return { pod: this.#pod, podIP, hostIP, nodeName, nodeCpuMillis, nodeMemoryBytes };
  }

  async #ensureVolumes(podIP: string): Promise<boolean> {
    const now = this.#context.clock.monotonicMillis();
    const refreshable = hasRefreshableVolumes(this.#pod);
    const fresh = !refreshable || now - this.#volumesAt < kubeletLimits.volumeRefreshMillis;
    if (this.#volumes !== undefined && fresh) return true;
    try {
      const dir = join(this.#context.podsDir, this.uid, "volumes");
      this.#volumes = await prepareVolumes(this.#facts(podIP), dir, this.#context.config);
      this.#volumesAt = now;
      this.#retries.delete("volumes");
    } catch (error) {
      const { message } = error as Error;
      this.#event("Warning", "FailedMount", `MountVolume.SetUp failed: ${message}`);
      this.#wakeAfter(this.#retryMillis("volumes"));
      // What was there before goes on being there.
      if (this.#volumes === undefined) return false;
    }
    if (refreshable) this.#wakeAfter(kubeletLimits.volumeRefreshMillis);
    return true;
  }

  async #start(
    podIP: string,
    container: Container,
    attempt: number,
    restart: boolean,
  ): Promise<void> {
    const { runtime, clock } = this.#context;
    const name = container.name ?? "";
    const problem = this.#problems.get(name);
    if (problem !== undefined && clock.monotonicMillis() < problem.retryAt) {
      return this.#wakeAfter(problem.retryAt - clock.monotonicMillis());
    }
    let id: string;
    try {
      const { config, services } = this.#context;
      const volumes = this.#volumes ?? new Map<string, string>();
      const facts = this.#facts(podIP);
      const wanted = await containerConfig(facts, container, attempt, volumes, services(), config);
      await this.#prune(name, attempt);
      id = await runtime.createContainer(wanted);
    } catch (error) {
      const { message } = error as Error;
      const retryMillis = this.#retryMillis(name);
      const reason =
        error instanceof ContainerConfigError
          ? "CreateContainerConfigError"
          : "CreateContainerError";
      const retryAt = clock.monotonicMillis() + retryMillis;
      this.#problems.set(name, { reason, message, retryAt });
      this.#event("Warning", "Failed", `Error: ${message}`);
      return this.#wakeAfter(retryMillis);
    }
    this.#problems.delete(name);
    this.#retries.delete(name);
    if (restart) this.#backoff.next(name, this.#now());
    await runtime.startContainer(id);
    const run = this.#runs().find((one) => one.id === id);
    if (run?.reason === "StartError") {
      this.#event("Warning", "Failed", `Error: failed to start container ${name}: ${run.message}`);
      return;
    }
    this.#event("Normal", "Started", `Started container ${name}`);
    const hook = container.lifecycle?.postStart;
    if (hook !== undefined) await this.#postStart(hook, podIP, container, id);
  }

  async #postStart(
    hook: NonNullable<NonNullable<Container["lifecycle"]>["postStart"]>,
    podIP: string,
    container: Container,
    id: string,
  ): Promise<void> {
    const { runtime, clock } = this.#context;
    const target = { pod: this.#pod, podIP, container, id };
    const signal = new AbortController().signal;
    const limit = kubeletLimits.hookMillisMax;
    const failure = await runHook(hook, target, runtime, clock, limit, signal);
    if (failure === undefined) return;
    this.#event("Warning", "FailedPostStartHook", `PostStartHook failed: ${failure}`);
    const run = this.#runs().find((one) => one.id === id);
    if (run !== undefined) this.#beginStop(run, this.#graceMillis());
  }

  /** Forgets all runs of a container but the last that ended. */
  async #prune(name: string, nextAttempt: number): Promise<void> {
    for (const run of this.#runs()) {
      if (run.name !== name || run.state === "running") continue;
      const keep =
        run.state === "exited" && run.attempt >= nextAttempt - kubeletLimits.deadContainersPerName;
      if (!keep) await this.#context.runtime.removeContainer(run.id);
    }
  }

  #followProbes(podIP: string): void {
    const { containers = [], initContainers = [] } = this.#pod.spec ?? {};
    const running = [...initContainers.filter(isSidecar), ...containers].flatMap((container) => {
      const { latest } = runsOf(this.#runs(), container.name ?? "");
      return latest?.state === "running" ? [{ container, run: latest }] : [];
    });
    this.#probes.follow(this.#pod, podIP, running);
  }

  #unhealthy(kind: ProbeKind, container: Container, message: string): void {
    const word = kind.replace("Probe", "");
    const text = `${word[0]?.toUpperCase()}${word.slice(1)} probe failed: ${message}`;
    this.#event("Warning", "Unhealthy", `${container.name}: ${text}`);
  }

  #probeFailed(kind: ProbeKind, id: string, probe: Probe, message: string): void {
    const run = this.#runs().find((one) => one.id === id);
    if (run === undefined || this.#closed) return;
    const word = kind.replace("Probe", "");
    this.#log.info("a probe failed for good; the container is stopped", { kind, message, id });
    this.#event(
      "Normal",
      "Killing",
      `Container ${run.name} failed ${word} probe, will be restarted`,
    );
    const own = probe.terminationGracePeriodSeconds;
    this.#beginStop(run, own === undefined ? this.#graceMillis() : own * 1000);
    this.wake();
  }

  /** Begins to stop, or hastens a stop under way. Never throws; wakes the worker at the end. */
  #beginStop(run: RuntimeContainer, graceMillis: number): void {
    const { clock, runtime } = this.#context;
    if (run.state === "exited") return;
    const deadline = clock.monotonicMillis() + graceMillis;
    const known = this.#stops.get(run.id);
    if (known !== undefined) {
      if (deadline >= known.deadline) return;
      known.deadline = deadline;
      known.abortHook.abort();
      void runtime.stopContainer(run.id, graceMillis);
      return;
    }
    const stop: Stop = { deadline, abortHook: new AbortController() };
    this.#stops.set(run.id, stop);
    const work = async () => {
      await this.#preStop(run, stop, graceMillis);
      if (this.#closed) return;
      const left = stop.deadline - clock.monotonicMillis();
      const floor = Math.min(graceMillis, kubeletLimits.graceAfterHookMillis);
      await runtime.stopContainer(
        run.id,
        stop.abortHook.signal.aborted ? Math.max(0, left) : Math.max(left, floor),
      );
    };
    work()
      .catch((error: unknown) => this.#log.error("a container could not be stopped", { error }))
      .finally(() => {
        this.#stops.delete(run.id);
        this.wake();
      });
  }

  async #preStop(run: RuntimeContainer, stop: Stop, graceMillis: number): Promise<void> {
    const { containers = [], initContainers = [] } = this.#pod.spec ?? {};
    const container = [...containers, ...initContainers].find((one) => one.name === run.name);
    const hook = container?.lifecycle?.preStop;
    if (hook === undefined || container === undefined || graceMillis <= 0) return;
    if (run.state !== "running") return;
    const podIP = this.#sandbox()?.address ?? this.#context.hostIP;
    const target = { pod: this.#pod, podIP, container, id: run.id };
    const { runtime, clock } = this.#context;
    const { signal } = stop.abortHook;
    const failure = await runHook(hook, target, runtime, clock, graceMillis, signal);
    if (failure !== undefined) {
      this.#event("Warning", "FailedPreStopHook", `PreStopHook failed: ${failure}`);
    }
  }

  /** Main containers together, then sidecars, last first. True: something still runs. */
  #stopAll(graceMillis: number): boolean {
    const runs = this.#runs().filter((run) => run.state !== "exited");
    if (runs.length === 0) return this.#stops.size > 0;
    const sidecars = (this.#pod.spec?.initContainers ?? []).filter(isSidecar).reverse();
    const names = new Set(sidecars.map((container) => container.name));
    const mains = runs.filter((run) => !names.has(run.name));
    const last = sidecars.flatMap(({ name }) => runs.filter((run) => run.name === name));
    const now = mains.length > 0 ? mains : last.slice(0, 1);
    for (const run of graceMillis <= 0 ? runs : now) {
      if (!this.#stops.has(run.id)) {
        this.#event("Normal", "Killing", `Stopping container ${run.name}`);
      }
      this.#beginStop(run, graceMillis);
    }
    return true;
  }

  /** What the pod held while it ran: processes, address, volumes. Records and logs stay. */
  async #wrapUp(): Promise<void> {
    this.#probes.close();
    if (this.#stopAll(this.#graceMillis())) return;
    await this.#release();
    if (this.#status !== undefined) this.#send(this.#status);
  }

  async #release(): Promise<void> {
    await this.#context.runtime.stopSandbox(this.uid);
    await rm(join(this.#context.podsDir, this.uid), { recursive: true, force: true });
    this.#volumes = undefined;
  }

  async #terminate(): Promise<void> {
    this.#probes.close();
    const asked = this.#pod.metadata?.deletionGracePeriodSeconds;
    const grace = asked === undefined ? this.#graceMillis() : asked * 1000;
    const vanishedGrace = Math.min(grace, kubeletLimits.orphanGraceMillis);
    if (this.#stopAll(this.#vanished ? vanishedGrace : grace)) {
      if (!this.#vanished) this.#publish(undefined);
      return;
    }
    await this.#release();
    if (this.#vanished || this.#acknowledged) {
      await this.#context.runtime.removeSandbox(this.uid);
      this.close();
      this.#context.forgotten(this.uid);
      return;
    }
    if (this.#rejection === undefined) this.#publish({ over: true, removed: true });
    else this.#send(this.#status ?? {}, true);
  }

  #publish(
    state: (Partial<Plan> & { readonly over: boolean; readonly removed?: boolean }) | undefined,
  ): void {
    const waiting = new Map<string, Waiting>(state?.waiting ?? []);
    for (const [name, { reason, message }] of this.#problems)
      waiting.set(name, { reason, message });
    const sandbox = this.#sandbox();
    const ready = sandbox?.state === "ready";
    const status = generateStatus({
      pod: this.#pod,
      runtimeName: this.#context.runtime.name,
      containers: this.#runs(),
      waiting,
      ready: (id, container) =>
        this.#pod.metadata?.deletionTimestamp === undefined && this.#probes.ready(id, container),
      started: (id, container) => this.#probes.started(id, container),
      sandboxReady: ready,
      podIP: ready ? sandbox.address : undefined,
      hostIP: this.#context.hostIP,
      now: this.#now(),
      previous: this.#status,
      failure: this.#failure,
      over: state?.over ?? false,
    });
    this.#send(status, state?.removed ?? false);
  }

  #send(status: PodStatus, removed = false): void {
    this.#status = status;
    const text = JSON.stringify([status, removed]);
    if (text === this.#lastReport) return;
    this.#lastReport = text;
    this.#removedReported = removed;
    const { namespace = "", name = "" } = this.#pod.metadata ?? {};
    const report: PodStatusReport = { namespace, name, uid: this.uid, status };
    this.#context.report(removed ? { ...report, removed: true } : report);
  }

  #event(type: "Normal" | "Warning", reason: string, message: string): void {
    const about = { ...this.#pod, apiVersion: "v1", kind: "Pod" };
    this.#context.events.event(about, type, reason, message);
  }
}
