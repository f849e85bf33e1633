/**
 * One pod on this node. Level-based and serialised: whatever happens wakes the worker, which looks
 * at what is wanted and what is there, and takes the next steps.
 *
 *     waiting for address ─▶ running ─▶ over (Succeeded or Failed; records and logs stay)
 *             └──── deleted or object gone ────▶ stopping ─▶ removed ─▶ forgotten
 *
 * Stops run beside the worker (stops.ts); everything else happens in `#sync`.
 */
import { join } from "node:path";
import type { Log } from "../../../ha/runtime/types.ts";
import type { Container, Pod, Probe } from "../../../proto/gen/core.ts";
import { isSidecar, parseTime } from "../../kinds/facts.ts";
import { HostPorts } from "../host-ports/host-ports.ts";
import { kubeletLimits } from "../limits.ts";
import type { PodSandbox, Container as RuntimeContainer } from "../runtime/types.ts";
import { RestartBackoff } from "./backoff.ts";
import { fieldPathOf, graceMillisOf, type WorkerContext, type WorkerView } from "./context.ts";
import type { PodFacts } from "./environment.ts";
import { unfulfilled } from "./fields.ts";
import { WorkLoop } from "./loop.ts";
import { podHostname } from "./network-files.ts";
import { type Plan, planPod } from "./plan.ts";
import { type PodIPs, podIPsOf } from "./pod-ips.ts";
import { PodVolumes } from "./pod-volumes.ts";
import { PodProbes, type ProbeKind } from "./probes.ts";
import { StatusReporter } from "./reporter.ts";
import { PodResize } from "./resize.ts";
import { hasPredecessor, sandboxConfig } from "./sandbox.ts";
import { specHashOf } from "./start.ts";
import { ContainerStarter } from "./starter.ts";
import { isTerminal, rejectedStatus, runsOf } from "./status.ts";
import { ContainerStops } from "./stops.ts";
import { TerminationMessages } from "./termination-message.ts";

export type { WorkerContext } from "./context.ts";

/** The kubelet ends the pod. */
interface Failure {
  readonly reason: string;
  readonly message: string;
  /** Absent: the pod's own grace. */
  readonly graceMillis?: number | undefined;
  /** The pod goes for the node's sake, which a condition tells its owner. */
  readonly disrupts?: boolean | undefined;
}

export class PodWorker {
  readonly uid: string;
  /** As the API has it. */
  #desired: Pod;
  /** With the resources that it has been allocated. */
  #pod: Pod;
  #vanished = false;
  #acknowledged = false;
  #warned = false;
  #rejection: { reason: string; message: string } | undefined;
  #failure: Failure | undefined;
  #shutdown: { readonly graceMillis: number; readonly done: () => void } | undefined;
  readonly #context: WorkerContext;
  readonly #log: Log;
  readonly #loop: WorkLoop;
  readonly #reporter: StatusReporter;
  readonly #probes: PodProbes;
  readonly #stops: ContainerStops;
  readonly #starter: ContainerStarter;
  readonly #volumes: PodVolumes;
  readonly #hostPorts: HostPorts;
  readonly #resize: PodResize;
  readonly #messages: TerminationMessages;
  readonly #backoff = new RestartBackoff();
  /** The last run of each container whose pause before the next has been told. */
  readonly #pausesTold = new Map<string, number>();
  /** Containers that were ended because the pod asks for something else now. */
  readonly #replaced = new Set<string>();

  constructor(context: WorkerContext, pod: Pod) {
    this.#context = context;
    this.#desired = pod;
    this.#pod = pod;
    this.uid = pod.metadata?.uid ?? "";
    this.#log = context.log.child({
      pod: `${pod.metadata?.namespace}/${pod.metadata?.name}`,
      uid: this.uid,
    });
    this.#loop = new WorkLoop(
      context.clock,
      () => this.#sync(),
      (error) => this.#log.error("a pod could not be brought to its wanted state", { error }),
    );
    this.#probes = new PodProbes(context.clock, context.probeRunner, {
      changed: () => this.wake(),
      unhealthy: (kind, container, message) => this.#unhealthy(kind, container, message),
      failed: (kind, id, probe, message) => this.#probeFailed(kind, id, probe, message),
    });
    const podDir = join(context.podsDir, this.uid);
    const view = this.#view();
    this.#reporter = new StatusReporter(view, this.uid, pod.status);
    this.#messages = new TerminationMessages(podDir, context.runtime);
    this.#volumes = new PodVolumes(view, podDir);
    this.#hostPorts = new HostPorts(view);
    this.#resize = new PodResize(view, join(podDir, "allocated.json"), pod);
    this.#pod = this.#resize.effective(pod);
    this.#stops = new ContainerStops(view);
    this.#starter = new ContainerStarter(view, this.#messages, this.#volumes, (run) =>
      this.#stops.begin(run, graceMillisOf(this.#pod)),
    );
  }

  get pod(): Pod {
    return this.#pod;
  }

  /** Counts against the node's resources, as the scheduler counts: not without an object. */
  get active(): boolean {
    if (this.#vanished || this.#rejection !== undefined) return false;
    return !isTerminal(this.#reporter.status);
  }

  /** Whether the apiserver has been told that nothing is left. */
  get removedReported(): boolean {
    return this.#reporter.removedReported;
  }

  update(pod: Pod): void {
    this.#desired = pod;
    this.#pod = this.#resize.effective(pod);
    this.wake();
  }

  /** The node does not take this pod. */
  reject(reason: string, message: string): void {
    this.#rejection = { reason, message };
    this.#event("Warning", reason, message);
    this.wake();
  }

  /** Ends the containers, which start again with the node. Resolves when they have ended. */
  shutdown(graceMillis: number): Promise<void> {
    return new Promise((resolve) => {
      this.#shutdown = { graceMillis, done: resolve };
      this.wake();
    });
  }

  /** Takes no notice of a pod that has ended, or is about to. */
  evict(message: string, graceMillis: number): void {
    if (this.#failure !== undefined || !this.active) return;
    this.#fail("Warning", { reason: "Evicted", message, graceMillis, disrupts: true });
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
    this.#loop.close();
    this.#probes.close();
    this.#stops.close();
    this.#hostPorts.close();
  }

  wake(): void {
    this.#loop.wake();
  }

  #view(): WorkerView {
    return {
      context: this.#context,
      log: this.#log,
      pod: () => this.#pod,
      podIP: () => this.#podIPs()?.podIP ?? this.#context.hostIP,
      runs: () => this.#runs(),
      closed: () => this.#loop.closed,
      wake: () => this.wake(),
      wakeAfter: (millis) => this.#loop.wakeAfter(millis),
      retryMillis: (name) => this.#loop.retryMillis(name),
      retriesOver: (name) => this.#loop.retriesOver(name),
      event: (type, reason, message, container) => this.#event(type, reason, message, container),
    };
  }

  async #sync(): Promise<void> {
    if (this.#shutdown !== undefined) {
      this.#probes.close();
      if (!this.#stops.beginAll(this.#shutdown.graceMillis)) this.#shutdown.done();
      return;
    }
    await this.#messages.collect(this.#pod, this.#runs());
    if (this.#vanished || this.#pod.metadata?.deletionTimestamp !== undefined) {
      return this.#terminate();
    }
    if (this.#rejection !== undefined) {
      const { reason, message } = this.#rejection;
      return this.#reporter.send(rejectedStatus(this.#pod, reason, message, this.#now()));
    }
    if (isTerminal(this.#reporter.status)) return this.#wrapUp();
    if ((await this.#hasFailed()) && !this.#loop.closed) {
      const own = graceMillisOf(this.#pod);
      const going = this.#stops.beginAll(Math.min(own, this.#failure?.graceMillis ?? own));
      if (going) return this.#publish(undefined);
      return this.#wrapUp();
    }
    if (this.#sandbox() === undefined && hasPredecessor(this.#pod, this.#context.runtime)) {
      this.#loop.wakeAfter(kubeletLimits.predecessorLookMillis);
      return this.#publish(undefined);
    }
    this.#warn();
    this.#resize.allocate(this.#desired);
    this.#pod = this.#resize.effective(this.#desired);
    const podIPs = await this.#ensureSandbox();
    if (podIPs === undefined) return this.#publish(undefined);
    const facts = this.#facts(podIPs);
    if (!(await this.#volumes.ensure(facts))) return this.#publish(undefined);
    await this.#steps(facts);
  }

  /** Stops and starts what the plan says. */
  async #steps(facts: PodFacts): Promise<void> {
    await this.#resize.actuate(this.#pod);
    const plan = this.#plan();
    for (const run of plan.stop) this.#stops.begin(run, graceMillisOf(this.#pod));
    for (const run of plan.replace) this.#replace(run);
    for (const step of plan.start) {
      if (this.#loop.closed || this.#pod.metadata?.deletionTimestamp !== undefined) break;
      const begun = await this.#starter.start(facts, step);
      if (begun && step.restart) this.#backoff.next(step.container.name ?? "", this.#now());
    }
    await this.#messages.collect(this.#pod, this.#runs());
    const next = plan.start.length > 0 ? this.#plan() : plan;
    this.#followProbes(facts.podIP);
    this.#hostPorts.open(facts);
    if (next.againMillis !== undefined) this.#loop.wakeAfter(next.againMillis);
    if (next.over) return this.#wrapUp();
    this.#tellPauses(next);
    this.#publish(next);
    // Starting one container may allow the next, e.g. the main ones after a sidecar.
    const problems = this.#starter.problems();
    if (next.start.some(({ container }) => !problems.has(container.name ?? ""))) this.wake();
  }

  #now(): number {
    return this.#context.clock.wallMillis();
  }

  #runs(): readonly RuntimeContainer[] {
    return this.#context.runtime.containers(this.uid);
  }

  #plan(): Plan {
    return planPod({
      pod: this.#pod,
      containers: this.#runs(),
      started: (id, container) => this.#probes.started(id, container),
      backoffRemaining: (name, finishedAt) =>
        this.#backoff.remaining(name, finishedAt, this.#now()),
      backoffCurrent: (name) => this.#backoff.current(name),
      stopping: (id) => this.#stops.underWay(id),
      changed: (run, container) =>
        (run.specHash !== specHashOf(container) || this.#resize.mustRestart(run.id)) &&
        (run.state === "running" || this.#replaced.has(run.id)),
    });
  }

  /** Once for each run that has failed and is not run again at once. */
  #tellPauses({ waiting }: Plan): void {
    for (const [name, { reason }] of waiting) {
      const attempt = runsOf(this.#runs(), name).latest?.attempt ?? 0;
      if (reason !== "CrashLoopBackOff" || this.#pausesTold.get(name) === attempt) continue;
      this.#pausesTold.set(name, attempt);
      const { name: pod, namespace, uid } = this.#pod.metadata ?? {};
      const text = `Back-off restarting failed container ${name} in pod ${pod}_${namespace}(${uid})`;
      this.#event("Warning", "BackOff", text, name);
    }
  }

  /** Ends a container whose definition has changed; the plan starts its successor. */
  #replace(run: RuntimeContainer): void {
    if (!this.#replaced.has(run.id)) {
      const text = this.#resize.mustRestart(run.id)
        ? `Container ${run.name} resize requires restart`
        : `Container ${run.name} definition changed, will be restarted`;
      this.#event("Normal", "Killing", text, run.name);
    }
    this.#replaced.add(run.id);
    this.#stops.begin(run, graceMillisOf(this.#pod));
  }

  /** Says once what the pod asks for and runs without. */
  #warn(): void {
    if (this.#warned) return;
    this.#warned = true;
    const spec = this.#pod.spec ?? {};
    for (const text of unfulfilled(spec, this.#context.runtime.features())) {
      this.#event("Warning", "FieldNotEnforced", text);
    }
  }

  /** True: the pod may not run any longer, for its time or its use of volumes. */
  async #hasFailed(): Promise<boolean> {
    if (this.#failure !== undefined) return true;
    const excess = await this.#volumes.excess();
    if (excess !== undefined) {
      const graceMillis = kubeletLimits.evictionGraceMillis;
      return this.#fail("Warning", { reason: "Evicted", message: excess, graceMillis });
    }
    const seconds = this.#pod.spec?.activeDeadlineSeconds;
    const startedAt = parseTime(this.#reporter.status?.startTime);
    if (seconds === undefined || startedAt === undefined) return false;
    const left = startedAt + seconds * 1000 - this.#now();
    if (left > 0) {
      this.#loop.wakeAfter(left);
      return false;
    }
    const message = "Pod was active on the node longer than the specified deadline";
    return this.#fail("Normal", { reason: "DeadlineExceeded", message });
  }

  #fail(type: "Normal" | "Warning", failure: Failure): true {
    this.#failure = failure;
    this.#event(type, failure.reason, failure.message);
    return true;
  }

  #sandbox(): PodSandbox | undefined {
    return this.#context.runtime.sandbox(this.uid);
  }

  #podIPs(): PodIPs | undefined {
    const sandbox = this.#sandbox();
    return sandbox && podIPsOf(sandbox, this.#context);
  }

  async #ensureSandbox(): Promise<PodIPs | undefined> {
    const known = this.#sandbox();
    if (known?.state === "ready") return podIPsOf(known, this.#context);
    const { runtime, hostIP, secondHostIP, dns } = this.#context;
    const hostNetwork = this.#pod.spec?.hostNetwork ?? false;
    const addresses = hostNetwork
      ? { address: hostIP, secondAddress: secondHostIP }
      : this.#context.addresses(this.uid);
    if (addresses === undefined) return undefined;
    try {
      const config = sandboxConfig(this.#pod, addresses, dns, (problem) => {
        this.#event("Warning", "DNSConfigForming", problem);
      });
      const made = await runtime.runSandbox(config);
      this.#loop.retriesOver("sandbox");
      return podIPsOf(made, this.#context);
    } catch (error) {
      const text = `Failed to create pod sandbox: ${(error as Error).message}`;
      this.#event("Warning", "FailedCreatePodSandBox", text);
      this.#loop.wakeAfter(this.#loop.retryMillis("sandbox"));
      return undefined;
    }
  }

  #facts(podIPs: PodIPs): PodFacts {
    const { hostIP, secondHostIP, nodeName, nodeCpuMillis, nodeMemoryBytes, dns } = this.#context;
    const hostname = podHostname(this.#pod, dns.domain);
    const node = { hostIP, secondHostIP, nodeName, nodeCpuMillis, nodeMemoryBytes };
    return { pod: this.#pod, ...podIPs, hostname, ...node };
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
    this.#event("Warning", "Unhealthy", text, container.name);
  }

  #probeFailed(kind: ProbeKind, id: string, probe: Probe, message: string): void {
    const run = this.#runs().find((one) => one.id === id);
    if (run === undefined || this.#loop.closed) return;
    const word = kind.replace("Probe", "");
    this.#log.info("a probe failed for good; the container is stopped", { kind, message, id });
    const text = `Container ${run.name} failed ${word} probe, will be restarted`;
    this.#event("Normal", "Killing", text, run.name);
    const own = probe.terminationGracePeriodSeconds;
    this.#stops.begin(run, own === undefined ? graceMillisOf(this.#pod) : own * 1000);
    this.wake();
  }

  /** Ends what the pod held while it ran: processes, address, volumes. Records and logs stay. */
  async #wrapUp(): Promise<void> {
    this.#probes.close();
    if (this.#stops.beginAll(graceMillisOf(this.#pod))) return this.#publish(undefined);
    // Without a record here nothing is known that the API does not know already.
    if (this.#runs().length > 0 || !isTerminal(this.#reporter.status))
      this.#publish({ over: true });
    this.#hostPorts.close();
    await this.#context.runtime.stopSandbox(this.uid);
    await this.#volumes.release();
  }

  async #terminate(): Promise<void> {
    this.#probes.close();
    const asked = this.#pod.metadata?.deletionGracePeriodSeconds;
    const grace = asked === undefined ? graceMillisOf(this.#pod) : asked * 1000;
    const vanishedGrace = Math.min(grace, kubeletLimits.orphanGraceMillis);
    if (this.#stops.beginAll(this.#vanished ? vanishedGrace : grace)) {
      if (!this.#vanished) this.#publish(undefined);
      return;
    }
    this.#hostPorts.close();
    await this.#context.runtime.stopSandbox(this.uid);
    await this.#volumes.release();
    if (this.#vanished || this.#acknowledged) {
      await this.#context.runtime.removeSandbox(this.uid);
      await this.#volumes.remove();
      this.close();
      this.#context.forgotten(this.uid);
      return;
    }
    if (this.#rejection === undefined) this.#publish({ over: true, removed: true });
    else this.#reporter.send(this.#reporter.status ?? {}, true);
  }

  #publish(
    state: (Partial<Plan> & { readonly over: boolean; readonly removed?: boolean }) | undefined,
  ): void {
    const leaving = this.#pod.metadata?.deletionTimestamp !== undefined;
    this.#reporter.publish({
      waiting: new Map([...(state?.waiting ?? []), ...this.#starter.problems()]),
      failure: this.#failure,
      over: state?.over ?? false,
      removed: state?.removed ?? false,
      ready: (id, container) => !leaving && this.#probes.ready(id, container),
      started: (id, container) => this.#probes.started(id, container),
      message: (run) => this.#messages.of(run),
      resources: (run) => this.#resize.resourcesOf(run),
      resize: this.#resize.state(),
    });
  }

  #event(type: "Normal" | "Warning", reason: string, message: string, container?: string): void {
    const fieldPath = container === undefined ? undefined : fieldPathOf(this.#pod, container);
    const about = { ...this.#pod, apiVersion: "v1", kind: "Pod", fieldPath };
    this.#context.events.event(about, type, reason, message);
  }
}
