/** The node agent: informers in, pod workers and the heartbeat stream out. */
import { join } from "node:path";
import { StatusError } from "../../ha/runtime/status-error.ts";
import type { Clock, Log } from "../../ha/runtime/types.ts";
import type { Node, NodeStatus, Pod, PodStatusResult } from "../../proto/gen/core.ts";
import type { NodeStats } from "../../proto/gen/kubelet.ts";
import {
  Backoff,
  createEventRecorder,
  type EventRecorder,
  InformerFactory,
  isNotFound,
  jittered,
  sleep,
  type TriremeClient,
} from "../client/mod.ts";
import { resourceAmounts } from "../kinds/mod.ts";
import { kubeletLimits } from "./limits.ts";
import { AddressPool } from "./node/addresses.ts";
import { admit } from "./node/admission.ts";
import {
  evictionHardDefault,
  measureMachine,
  NodeHealth,
  parseThresholds,
  type Thresholds,
} from "./node/health.ts";
import { Heartbeat } from "./node/heartbeat.ts";
import { NodeLease } from "./node/lease.ts";
import {
  type NodeOptions,
  nodeAllocatable,
  nodeObject,
  nodeResources,
  nodeStatus,
} from "./node/node-status.ts";
import { registerNode } from "./node/registration.ts";
import { createUsageSampler, type UsageSampler } from "./node/usage.ts";
import type { AccountToken, AccountTokenRequest } from "./pod/account-tokens.ts";
import type { ConfigSource } from "./pod/environment.ts";
import type { ClusterDns } from "./pod/network-files.ts";
import { probeRunner } from "./pod/probe-actions.ts";
import { PodWorker, type WorkerContext } from "./pod/worker.ts";
import type { PodSource } from "./requests.ts";
import type { ContainerRuntime } from "./runtime/types.ts";

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
  readonly thresholds?: Thresholds | undefined;
  /** Absent: the cluster has no DNS service, and pods use the node's. */
  readonly dns?: ClusterDns | undefined;
}

const configReadMillis = 10_000;

export class Kubelet implements PodSource {
  readonly runtime: ContainerRuntime;
  readonly #options: KubeletOptions;
  readonly #log: Log;
  readonly #informers: InformerFactory;
  readonly #events: EventRecorder;
  readonly #heartbeat: Heartbeat;
  readonly #lease: NodeLease;
  readonly #usage: UsageSampler;
  readonly #health: NodeHealth;
  readonly #workers = new Map<string, PodWorker>();
  readonly #context: WorkerContext;
  readonly #stop = new AbortController();
  readonly #tasks: Promise<void>[] = [];
  #pool: { readonly cidr: string; readonly pool: AddressPool } | undefined;
  #node: Node | undefined;
  #status: NodeStatus | undefined;

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
    const shared = node.capacityCpu !== undefined || node.capacityMemory !== undefined;
    const usage = createUsageSampler(runtime, clock, shared);
    this.#usage = usage;
    this.#health = new NodeHealth({
      runtime,
      machine: () => measureMachine(options.dataDir),
      thresholds: options.thresholds ?? parseThresholds(evictionHardDefault, "--eviction-hard"),
      now: () => clock.wallMillis(),
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
        return usage.sample();
      },
      result: (result, latest) => this.#reported(result, latest),
      register: () => this.#register(),
    });
    this.#lease = new NodeLease({
      ...{ leases: client.leases, nodeName: node.nodeName, node: () => this.#node },
      ...{ clock, log: this.#log },
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
      nodeCpuMillis: allocatable.cpuMillis,
      nodeMemoryBytes: allocatable.memoryBytes,
      dns: options.dns ?? { servers: [], domain: "cluster.local" },
      podsDir: join(options.dataDir, "pods"),
      address: (uid) => this.#pool?.pool.take(uid),
      report: (report) => this.#heartbeat.report(report),
      forgotten: (uid) => this.#forget(uid),
    };
  }

  /** Registers, then works until `close`; resolves once the node's pods are known. */
  async start(): Promise<void> {
    const { signal } = this.#stop;
    this.runtime.onEvent((event) => {
      this.#workers.get(event.podUid)?.wake();
    });
    await this.#health.measure();
    await this.#untilDone("register the node", () => this.#register());
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
    for (const pod of inOrder) this.#podChanged(pod);
    pods.addHandlers({
      added: (pod) => this.#podChanged(pod),
      updated: (previous, pod) => {
        if (previous.metadata?.uid !== pod.metadata?.uid) this.#podGone(previous);
        this.#podChanged(pod);
      },
      deleted: (pod) => this.#podGone(pod),
    });
    this.#removeOrphans(new Set(inOrder.map((pod) => pod.metadata?.uid)));
  }

  pod(namespace: string, name: string): Pod | undefined {
    return this.#podInformer().lister.get(name, namespace);
  }

  /** Every pod of the node. */
  pods(): readonly Pod[] {
    return this.#podInformer().lister.list();
  }

  stats(): NodeStats {
    return this.#usage.stats();
  }

  /**
   * Lets go of everything. The containers run on, unless the node shuts down: then they get
   * `shutdownMillis` to end, and start again with the node. Idempotent.
   */
  async close(shutdownMillis = 0): Promise<void> {
    this.#stop.abort();
    for (const worker of this.#workers.values()) worker.close();
    await this.#events.flush();
    await Promise.all(this.#tasks);
    await this.#informers.ended();
    if (shutdownMillis > 0) {
      const running = this.runtime.containers().filter(({ state }) => state === "running");
      await Promise.all(running.map(({ id }) => this.runtime.stopContainer(id, shutdownMillis)));
    }
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
    const cidr = node.spec?.podCIDR;
    if (cidr === undefined || cidr === "" || cidr === this.#pool?.cidr) return;
    try {
      this.#pool = { cidr, pool: new AddressPool(cidr) };
    } catch (error) {
      this.#log.error("the node's range is of no use", { error: (error as Error).message });
      return;
    }
    for (const sandbox of this.runtime.sandboxes()) {
      if (sandbox.state === "ready" && !sandbox.hostNetwork) {
        this.#pool.pool.hold(sandbox.uid, sandbox.address);
      }
    }
    this.#log.info("pods get addresses of this range", { podCIDR: cidr });
    for (const worker of this.#workers.values()) worker.wake();
  }

  #currentStatus(): NodeStatus {
    const previous = this.#status ?? this.#node?.status;
    const conditions = this.#health.conditions(previous);
    this.#status = nodeStatus(this.#options.node, conditions, this.runtime.images.list());
    return this.#status;
  }

  #podChanged(pod: Pod): void {
    const uid = pod.metadata?.uid ?? "";
    const known = this.#workers.get(uid);
    if (known !== undefined) {
      known.update(pod);
      // An ended pod's address serves the next one.
      if (!known.active) this.#pool?.pool.release(uid);
      return;
    }
    const worker = new PodWorker(this.#context, pod);
    const others = [...this.#workers.values()].filter((one) => one.active).map((one) => one.pod);
    this.#workers.set(uid, worker);
    const ran = this.runtime.sandboxes().some((sandbox) => sandbox.uid === uid);
    const leaving = pod.metadata?.deletionTimestamp !== undefined;
    if (!ran && !leaving && worker.active) {
      const { node } = this.#options;
      const allocatable = resourceAmounts(nodeResources(node, nodeAllocatable(node)));
      const rejection = admit(pod, others, allocatable, this.#node?.metadata?.labels ?? {});
      if (rejection !== undefined) {
        worker.reject(rejection.reason, rejection.message);
        return;
      }
    }
    worker.wake();
  }

  #podGone(pod: Pod): void {
    this.#workers.get(pod.metadata?.uid ?? "")?.vanish();
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
    this.#heartbeat.forget(uid);
    this.#pool?.pool.release(uid);
    // The node has room for one pod more, and an address that another pod may wait for.
    for (const worker of this.#workers.values()) worker.wake();
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

type ConfigClient = Pick<
  TriremeClient,
  "configMaps" | "secrets" | "persistentVolumeClaims" | "persistentVolumes"
>;

function configSource(client: ConfigClient): ConfigSource {
  const options = { timeoutMillis: configReadMillis };
  const orNothing = (error: unknown) => {
    if (isNotFound(error)) return undefined;
    throw error;
  };
  return {
    configMap: (namespace, name) =>
      client.configMaps.get(name, namespace, options).catch(orNothing),
    secret: (namespace, name) => client.secrets.get(name, namespace, options).catch(orNothing),
    claim: (namespace, name) =>
      client.persistentVolumeClaims.get(name, namespace, options).catch(orNothing),
    volume: (name) => client.persistentVolumes.get(name, undefined, options).catch(orNothing),
  };
}

/** The token ends with the pod. Throws what the API answers. */
async function askForToken(
  client: Pick<TriremeClient, "createToken">,
  request: AccountTokenRequest,
): Promise<AccountToken> {
  const { namespace, serviceAccountName, podName, podUid: uid, audience } = request;
  const account = { namespace, name: serviceAccountName };
  const spec = {
    audiences: audience === "" ? [] : [audience],
    expirationSeconds: request.expirationSeconds,
    boundObjectRef: { apiVersion: "v1", kind: "Pod", name: podName, uid },
  };
  const options = { timeoutMillis: configReadMillis };
  const { status } = await client.createToken(account, spec, options);
  const { token = "", expirationTimestamp = "" } = status ?? {};
  return { token, expiresAtMillis: Date.parse(expirationTimestamp) };
}
