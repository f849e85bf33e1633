/** The node agent: informers in, pod workers and the heartbeat stream out. */
import { join } from "node:path";
import { StatusError } from "../../ha/runtime/status-error.ts";
import type { Cancel, Clock, Log } from "../../ha/runtime/types.ts";
import type { Node, NodeStatus, Pod, PodStatusResult } from "../../proto/gen/core.ts";
import type { NodeStats } from "../../proto/gen/kubelet.ts";
import {
  Backoff,
  createEventRecorder,
  type EventRecorder,
  InformerFactory,
  jittered,
  sleep,
  type TriremeClient,
} from "../client/mod.ts";
import { resourceAmounts } from "../kinds/facts.ts";
import type { ResourceAmounts } from "../kinds/mod.ts";
import type { CsiVolumes } from "./csi/volumes.ts";
import { EvictionManager } from "./eviction/manager.ts";
import { isCritical } from "./eviction/ranking.ts";
import {
  type EvictionSettings,
  evictionDefaults,
  type Measurements,
} from "./eviction/thresholds.ts";
import { useOf } from "./eviction/use.ts";
import { ImageGc, type ImageGcSettings, imageGcDefaults } from "./images.ts";
import { kubeletLimits } from "./limits.ts";
import { admit, refuseResize } from "./node/admission.ts";
import { measureMachine, NodeHealth, roomOf } from "./node/health.ts";
import { Heartbeat } from "./node/heartbeat.ts";
import { NodeLease } from "./node/lease.ts";
import { NodeEvents } from "./node/node-events.ts";
import { NodeRanges } from "./node/node-ranges.ts";
import {
  type NodeOptions,
  nodeAllocatable,
  nodeObject,
  nodeResources,
  nodeStatus,
} from "./node/node-status.ts";
import { type Answers, answersHere } from "./node/pod-ranges.ts";
import { registerNode } from "./node/registration.ts";
import { endInOrder, type ShutdownGroup } from "./node/shutdown.ts";
import { createUsageSampler, type UsageSampler } from "./node/usage.ts";
import { askForToken, configSource } from "./pod/api-source.ts";
import type { ClusterDns } from "./pod/network-files.ts";
import { probeRunner } from "./pod/probe-actions.ts";
import { PodWorker, type WorkerContext } from "./pod/worker.ts";
import type { PodSource } from "./requests.ts";
import type { ContainerRuntime } from "./runtime/types.ts";
import { ManifestWatch } from "./static/manifest-watch.ts";
import { isMirror, StaticPods } from "./static/static-pods.ts";
import { StaticRuns } from "./static/static-runs.ts";

export interface KubeletOptions {
  readonly client: TriremeClient;
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  readonly node: NodeOptions;
  readonly dataDir: string;
  readonly heartbeatMillis?: number | undefined;
  /** When the node is under pressure; absent: upstream's defaults. */
  readonly eviction?: EvictionSettings | undefined;
  /** Absent: the cluster has no DNS service, and pods use the node's. */
  readonly dns?: ClusterDns | undefined;
  /** What the machine has left; absent: measured. */
  readonly machine?: (() => Promise<Measurements>) | undefined;
  /** Whether an address is of use to pods on the machine's network; absent: it is tried. */
  readonly answers?: Answers | undefined;
  /** Kernel parameters beyond the safe ones that pods may set; may end with *. */
  readonly allowedUnsafeSysctls?: readonly string[] | undefined;
  /** Volumes of CSI drivers; absent: the node has none. */
  readonly csi?: CsiVolumes | undefined;
  /** When images are removed; absent: upstream's defaults. */
  readonly imageGc?: ImageGcSettings | undefined;
  /** Manifests of static pods: a file, or a directory of them; absent: the node has none. */
  readonly manifests?: { readonly path: string; readonly checkMillis: number } | undefined;
}

export class Kubelet implements PodSource {
  readonly runtime: ContainerRuntime;
  readonly #options: KubeletOptions;
  readonly #log: Log;
  readonly #informers: InformerFactory;
  readonly #events: EventRecorder;
  readonly #nodeEvents: NodeEvents;
  readonly #heartbeat: Heartbeat;
  readonly #lease: NodeLease;
  readonly #usage: UsageSampler;
  readonly #health: NodeHealth;
  readonly #images: ImageGc;
  #imageTick: Cancel | undefined;
  #imageDir: string | undefined;
  readonly #evictions: EvictionManager;
  readonly #workers = new Map<string, PodWorker>();
  readonly #static: StaticPods;
  readonly #manifests: ManifestWatch | undefined;
  readonly #staticRuns: StaticRuns;
  readonly #context: WorkerContext;
  readonly #stop = new AbortController();
  readonly #tasks: Promise<void>[] = [];
  readonly #ranges: NodeRanges;
  #node: Node | undefined;
  #status: NodeStatus | undefined;
  #shuttingDown = false;

  constructor(options: KubeletOptions) {
    const { client, runtime, clock, log, node } = options;
    this.#options = options;
    this.runtime = runtime;
    this.#log = log.child({ node: node.nodeName });
    this.#informers = new InformerFactory({ client, log: this.#log, clock });
    this.#events = createEventRecorder({
      events: client.events,
      component: "kubelet",
      host: node.nodeName,
      clock,
      log: this.#log,
    });
    this.#nodeEvents = new NodeEvents(this.#events, node.nodeName);
    const shared = node.capacityCpu !== undefined || node.capacityMemory !== undefined;
    const usage = createUsageSampler(runtime, clock, shared);
    this.#usage = usage;
    const eviction = options.eviction ?? evictionDefaults;
    const now = () => clock.wallMillis();
    const measure = async () => measureMachine(options.dataDir, await this.#findImages());
    const machine = options.machine ?? measure;
    this.#images = new ImageGc({
      ...{ settings: options.imageGc ?? imageGcDefaults, images: runtime.images, log: this.#log },
      room: async () => roomOf(await this.#findImages()),
      mounted: () => this.#mountedImages(),
      now: () => clock.monotonicMillis(),
      tell: (reason, message) => this.#nodeEvents.tell("Warning", reason, message),
    });
    this.#health = new NodeHealth({ runtime, machine, eviction, now });
    const podsDir = join(options.dataDir, "pods");
    this.#evictions = new EvictionManager({
      ...{ settings: eviction, now, log: this.#log },
      pods: () => [...this.#workers.values()],
      isStatic: (uid) => this.#static.has(uid),
      use: (starved, pods) => useOf(runtime, podsDir, starved, pods),
      reclaimDisk: () => this.#images.removeAll(),
      tell: (reason, message) => this.#nodeEvents.tell("Warning", reason, message),
    });
    this.#heartbeat = new Heartbeat({
      nodeName: node.nodeName,
      kubeletPort: node.port,
      clock,
      log: this.#log,
      intervalMillis: options.heartbeatMillis,
      random: options.random,
      open: (signal) => client.heartbeat({ signal }),
      status: () => this.#currentStatus(),
      usage: async () => {
        await this.#health.measure();
        await this.#evictions.synchronise(this.#health.due);
        return usage.sample();
      },
      result: (result, latest) => this.#reported(result, latest),
      register: () => this.#register(),
    });
    this.#lease = new NodeLease({
      ...{ leases: client.leases, nodeName: node.nodeName, node: () => this.#node },
      ...{ clock, log: this.#log },
    });
    this.#ranges = new NodeRanges({
      ...{ runtime, primary: node.nodeIP, answers: options.answers ?? answersHere, log: this.#log },
      changed: () => {
        for (const worker of this.#workers.values()) worker.wake();
      },
      signal: this.#stop.signal,
    });
    const allocatable = nodeAllocatable(node);
    this.#context = {
      clock,
      log: this.#log,
      runtime,
      probeRunner: probeRunner(runtime),
      events: this.#events,
      config: configSource(client),
      askForToken: (request) => askForToken(client, request),
      services: () => this.#informers.informer("Service").lister.list(),
      nodeName: node.nodeName,
      hostIP: node.nodeIP,
      secondHostIP: node.secondNodeIP,
      nodeCpuMillis: allocatable.cpuMillis,
      nodeMemoryBytes: allocatable.memoryBytes,
      refusesResize: (pod) =>
        refuseResize(pod, this.#others(pod.metadata?.uid ?? ""), this.#allocatable()),
      csi: options.csi,
      dns: options.dns ?? { servers: [], domain: "cluster.local" },
      podsDir,
      addresses: (uid) => this.#ranges.take(uid),
      report: (report) => {
        if (!this.#staticRuns.report(report)) this.#heartbeat.report(report);
      },
      forgotten: (uid) => this.#forget(uid),
    };
    this.#static = new StaticPods({
      ...{ pods: client.pods, clock, log: this.#log, node: () => this.#node },
      report: (report) => this.#heartbeat.report(report),
      forget: (uid) => this.#heartbeat.forget(uid),
    });
    this.#staticRuns = new StaticRuns({
      ...{ pods: this.#static, workers: this.#workers, sandboxes: () => runtime.sandboxes() },
      now: () => clock.wallMillis(),
      soon: (act) => clock.soon(act),
      begin: (pod) => this.#podChanged(pod),
    });
    this.#manifests =
      options.manifests &&
      new ManifestWatch({
        ...{ ...options.manifests, nodeName: node.nodeName, clock, log: this.#log },
        changed: (pods) => this.#staticRuns.changed(pods),
        refused: (file, problem) => {
          const text = `Can't process manifest file "${file}": ${problem}`;
          this.#nodeEvents.tell("Warning", "InvalidStaticPod", text);
        },
      });
  }

  /** Registers, then works until `close`; resolves once the node's pods are known. */
  async start(): Promise<void> {
    const { signal } = this.#stop;
    const { csi } = this.#options;
    await csi?.load(this.#context.podsDir);
    if (csi !== undefined) csi.changed = () => this.#heartbeat.statusChanged();
    this.runtime.onEvent((event) => {
      this.#workers.get(event.podUid)?.wake();
    });
    await this.#health.measure();
    // Static pods need no API: those on the node's network run before there is one.
    await this.#manifests?.start();
    await this.#untilDone("register the node", () => this.#register());
    this.#nodeEvents.tell("Normal", "Starting", "Starting kubelet.");
    const { nodeName } = this.#options.node;
    const nodes = this.#informers.informer("Node", { fieldSelector: `metadata.name=${nodeName}` });
    nodes.addHandlers({
      added: (node) => this.#nodeChanged(node),
      updated: (_, node) => this.#nodeChanged(node),
    });
    const services = this.#informers.informer("Service");
    const pods = this.#podInformer();
    this.#informers.start(signal);
    this.#tasks.push(this.#heartbeat.run(signal), this.#lease.run(signal));
    await Promise.all([
      nodes.whenSynced(signal),
      services.whenSynced(signal),
      pods.whenSynced(signal),
    ]);
    if (signal.aborted) return;
    // Pods that ran before come first: what they hold is theirs.
    const known = new Set(this.runtime.sandboxes().map((sandbox) => sandbox.uid));
    const inOrder = pods.lister.list().toSorted((a, b) => rank(a, known) - rank(b, known));
    for (const pod of inOrder) this.#objectChanged(pod);
    pods.addHandlers({
      added: (pod) => this.#objectChanged(pod),
      updated: (previous, pod) => {
        if (previous.metadata?.uid !== pod.metadata?.uid) this.#objectGone(previous);
        this.#objectChanged(pod);
      },
      deleted: (pod) => this.#objectGone(pod),
    });
    const collect = () => void this.#images.collect();
    this.#imageTick = this.#options.clock.every(kubeletLimits.imageGcMillis, collect);
    this.#static.mirrorsKnown();
    const wanted = [...inOrder, ...this.#static.all()];
    this.#removeOrphans(new Set(wanted.map((pod) => pod.metadata?.uid)));
  }

  /** A static pod itself, not its mirror. */
  pod(namespace: string, name: string): Pod | undefined {
    return this.#static.named(namespace, name) ?? this.#podInformer().lister.get(name, namespace);
  }

  /** Every pod of the node; static pods, not their mirrors. */
  pods(): readonly Pod[] {
    const objects = this.#podInformer().lister.list();
    const own = this.#static.all().map((pod) => this.#static.withStatus(pod));
    return [...objects.filter((pod) => !isMirror(pod)), ...own];
  }

  stats(): NodeStats {
    return this.#usage.stats();
  }

  /** CPU time that the node has used, in milliseconds; it only grows. */
  cpuMillisTotal(): number {
    return this.#usage.cpuMillisTotal();
  }

  /**
   * Lets go of everything. The containers run on, unless the node shuts down: then they end, group
   * by group, and start again with the node. Idempotent.
   */
  async close(shutdown: readonly ShutdownGroup[] = []): Promise<void> {
    this.#manifests?.close();
    if (shutdown.length > 0) {
      const workers = [...this.#workers.values()];
      const pods = workers.map((worker) => ({
        pod: worker.pod,
        // A step that hangs, a pull for example, does not keep the node.
        shutdown: (graceMillis: number) =>
          Promise.race([
            worker.shutdown(graceMillis),
            sleep(this.#options.clock, graceMillis + kubeletLimits.graceAfterHookMillis),
          ]),
      }));
      this.#shuttingDown = true;
      await endInOrder(pods, shutdown, this.#log);
    }
    this.#stop.abort();
    this.#imageTick?.();
    this.#static.close();
    for (const worker of this.#workers.values()) worker.close();
    await this.#events.flush();
    await Promise.all(this.#tasks);
    await this.#informers.ended();
    await this.runtime.close();
  }

  #podInformer() {
    const fieldSelector = `spec.nodeName=${this.#options.node.nodeName}`;
    return this.#informers.informer("Pod", { fieldSelector });
  }

  async #register(): Promise<void> {
    const { client, node } = this.#options;
    this.#nodeChanged(await registerNode(client.nodes, nodeObject(node), this.#log));
  }

  /** Tries for ever with a bounded pause: without it the node is of no use. */
  async #untilDone(what: string, act: () => Promise<void>): Promise<void> {
    const { signal } = this.#stop;
    const { configRetryFirstMillis, reconnectCeilingMillis } = kubeletLimits;
    const backoff = new Backoff(configRetryFirstMillis / 10, reconnectCeilingMillis * 5);
    while (!signal.aborted) {
      try {
        return await act();
      } catch (error) {
        const { message } = StatusError.from(error);
        this.#log.warn(`could not ${what}; trying again`, { error: message });
        await sleep(this.#options.clock, jittered(backoff.next()), signal);
      }
    }
  }

  #nodeChanged(node: Node): void {
    this.#node = node;
    this.#static.wake();
    this.#options.csi?.shown(node.status?.volumesInUse ?? []);
    this.#ranges.follow(node);
  }

  #currentStatus(): NodeStatus {
    const previous = this.#status ?? this.#node?.status;
    const conditions = this.#health.conditions(previous);
    this.#nodeEvents.conditions(conditions);
    const { node, csi } = this.#options;
    const volumesInUse = csi?.inUse() ?? [];
    this.#status = {
      ...nodeStatus(node, conditions, this.runtime.images.list()),
      ...(volumesInUse.length > 0 && { volumesInUse }),
    };
    return this.#status;
  }

  #podChanged(pod: Pod): void {
    const uid = pod.metadata?.uid ?? "";
    const known = this.#workers.get(uid);
    if (known !== undefined) {
      known.update(pod);
      // An ended pod's address serves the next one.
      if (!known.active) this.#ranges.release(uid);
      return;
    }
    const worker = new PodWorker(this.#context, pod);
    const others = this.#others(uid);
    this.#workers.set(uid, worker);
    const ran = this.runtime.sandbox(uid) !== undefined;
    const leaving = pod.metadata?.deletionTimestamp !== undefined;
    if (!ran && this.#shuttingDown) {
      worker.reject("NodeShutdown", "Pod was rejected as the node is shutting down.");
      return;
    }
    if (!ran && !leaving && worker.active) {
      const facts = {
        allocatable: this.#allocatable(),
        node: this.#node ?? nodeObject(this.#options.node),
        pressures: this.#health.pressures(),
        allowedUnsafeSysctls: this.#options.allowedUnsafeSysctls,
      };
      const critical = isCritical(pod, this.#static.has(uid));
      const rejection = admit(pod, others, facts, critical);
      if (rejection !== undefined) {
        worker.reject(rejection.reason, rejection.message);
        return;
      }
    }
    worker.wake();
  }

  #allocatable(): ResourceAmounts {
    const { node } = this.#options;
    return resourceAmounts(nodeResources(node, nodeAllocatable(node)));
  }

  /** While the runtime does not answer, which the node's status says, that of the pods counts. */
  async #findImages(): Promise<string> {
    this.#imageDir ??= await this.runtime.images.directory?.().catch(() => undefined);
    return this.#imageDir ?? this.#options.dataDir;
  }

  #mountedImages(): ReadonlySet<string> {
    const volumes = [...this.#workers.values()].flatMap(({ pod }) => pod.spec?.volumes ?? []);
    const references = volumes.flatMap(({ image }) => image?.reference ?? []);
    return new Set(references.flatMap((name) => this.runtime.images.status(name)?.names ?? []));
  }

  /** The other pods that the node has taken and that have not finished. */
  #others(uid: string): readonly Pod[] {
    const workers = [...this.#workers.values()];
    return workers.filter((one) => one.active && one.uid !== uid).map((one) => one.pod);
  }

  /** A pod of the API; a mirror is the image of one that runs already. */
  #objectChanged(pod: Pod): void {
    if (isMirror(pod)) this.#static.mirrorChanged(pod);
    else this.#podChanged(pod);
  }

  #objectGone(pod: Pod): void {
    if (isMirror(pod)) this.#static.mirrorGone(pod);
    else this.#workers.get(pod.metadata?.uid ?? "")?.vanish();
  }

  /**
   * Only the end of a pod is decided by an answer. That a running pod's object is gone is for the
   * informer to say: a 404 of one moment is too little to kill for.
   */
  #reported(result: PodStatusResult, latest: boolean): void {
    const { uid = "", name = "", namespace = "" } = result;
    const worker = this.#workers.get(uid);
    if (worker === undefined || !latest || !worker.removedReported) return;
    const code = result.code ?? 200;
    const current = this.pod(namespace, name);
    const replaced = code === 409 && current !== undefined && current.metadata?.uid !== uid;
    if (code < 300 || code === 404 || replaced) worker.acknowledge();
  }

  #forget(uid: string): void {
    this.#workers.delete(uid);
    this.#staticRuns.forget(uid);
    this.#heartbeat.forget(uid);
    this.#ranges.release(uid);
    // The node has room for one pod more, and an address that another pod may wait for.
    for (const worker of this.#workers.values()) worker.wake();
    this.#staticRuns.begin();
  }

  /** Ends what runs here without an object in the API. */
  #removeOrphans(wanted: ReadonlySet<string | undefined>): void {
    for (const { uid, name, namespace } of this.runtime.sandboxes()) {
      if (wanted.has(uid)) continue;
      this.#log.warn("a pod unknown to the API runs here; it is ended", { uid, name, namespace });
      const pod: Pod = { metadata: { uid, name, namespace } };
      const worker = new PodWorker(this.#context, pod);
      this.#workers.set(uid, worker);
      worker.vanish();
    }
  }
}

function rank(pod: Pod, known: ReadonlySet<string>): number {
  return known.has(pod.metadata?.uid ?? "") ? 0 : 1;
}
