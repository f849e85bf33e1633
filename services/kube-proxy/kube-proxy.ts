/** Joins the informers to the proxy: any change recomputes all rules, at most once a turn. */
import { processMetrics } from "../../ha/runtime/metrics.ts";
import type { Clock, Log } from "../../ha/runtime/types.ts";
import type { Node } from "../../proto/gen/core.ts";
import {
  createEventRecorder,
  type EventRecorder,
  InformerFactory,
  type TriremeClient,
} from "../client/mod.ts";
import { ClusterDns } from "../dns/mod.ts";
import { type NodeOfAddress, nodeOfAddress } from "./addresses.ts";
import { AffinityTable } from "./affinity.ts";
import { desiredHealthChecks, HealthCheckServers } from "./health-checks.ts";
import { Peers } from "./peers.ts";
import { ServiceProxy } from "./proxy.ts";
import { desiredRules, type RuleScope } from "./rules.ts";

export interface KubeProxyOptions {
  readonly client: TriremeClient;
  readonly nodeName: string;
  /** Address of NodePorts. */
  readonly nodeIP: string;
  /** The UDP port by which the proxies of this machine know of each other. */
  readonly peerPort: number;
  /** Unique to this run. */
  readonly instance: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  /** The cluster's DNS, which this process serves as well; an empty address: it does not. */
  readonly dns?: {
    readonly address: string;
    readonly domain: string;
    readonly upstreamFile: string | undefined;
  };
}

export class KubeProxy {
  readonly #options: KubeProxyOptions;
  readonly #informers: InformerFactory;
  readonly #events: EventRecorder;
  readonly #proxy: ServiceProxy;
  readonly #healthChecks: HealthCheckServers;
  readonly #peers: Peers;
  readonly #affinity: AffinityTable;
  readonly #dns: ClusterDns | undefined;
  #nodeOf: NodeOfAddress = () => undefined;
  readonly #stop = new AbortController();
  /** The first state of the cluster has been read. */
  get synced(): boolean {
    return this.#synced;
  }

  /** Why DNS is not served; undefined: it is. */
  get dnsObstacle(): string | undefined {
    return this.#dns?.obstacle;
  }

  #pending = false;
  #synced = false;
  #applying: Promise<void> = Promise.resolve();

  constructor(options: KubeProxyOptions) {
    const { client, clock, log, nodeName } = options;
    this.#options = options;
    this.#informers = new InformerFactory({ client, log, clock });
    this.#events = createEventRecorder({
      events: client.events,
      component: "kube-proxy",
      host: nodeName,
      clock,
      log,
    });
    this.#dns = dnsOf(options, this.#informers);
    this.#healthChecks = new HealthCheckServers(options.nodeIP, log);
    this.#affinity = new AffinityTable((entry) => this.#peers.tell(entry));
    this.#peers = new Peers({
      nodeName,
      nodeIP: options.nodeIP,
      port: options.peerPort,
      instance: options.instance,
      clock,
      log,
      changed: () => this.#changed(),
      learned: (entry) => this.#affinity.learn(entry, clock.monotonicMillis()),
      known: () => this.#affinity.entries(),
    });
    this.#proxy = new ServiceProxy({
      clock,
      log,
      context: { affinity: this.#affinity, nodeOfAddress: (address) => this.#nodeOf(address) },
      random: options.random,
      bindFailed: (rule, message) => {
        const service = this.#services().lister.get(rule.service, rule.namespace);
        if (service === undefined) return;
        const about = { ...service, apiVersion: "v1", kind: "Service" };
        const text = `kube-proxy on ${nodeName} cannot listen on ${rule.key}: ${message}`;
        this.#events.event(about, "Warning", "FailedToBind", text);
      },
    });
  }

  /** Resolves once services and endpoints are known; never, while there is no API. */
  async start(): Promise<void> {
    const { signal } = this.#stop;
    const services = this.#services();
    const endpoints = this.#endpoints();
    const nodes = this.#informers.informer("Node");
    this.#informers.start(signal);
    await this.#peers.start().catch((error: unknown) => {
      const { log, peerPort: port } = this.#options;
      log.warn("other proxies of this machine are not seen", { port, error });
    });
    await Promise.all([services, endpoints, nodes].map((each) => each.whenSynced(signal)));
    if (signal.aborted) return;
    this.#synced = true;
    // Before both are known, nothing is listened on: half the truth would refuse connections.
    const changed = () => this.#changed();
    services.addHandlers({ added: changed, updated: changed, deleted: changed });
    endpoints.addHandlers({ added: changed, updated: changed, deleted: changed });
    const readdressed = () => {
      this.#nodeOf = nodeOfAddress(nodes.lister.list());
    };
    nodes.addHandlers({
      added: readdressed,
      updated(previous, node) {
        if (addressing(previous) !== addressing(node)) readdressed();
      },
      deleted: readdressed,
    });
    this.#changed();
    await this.#dns?.start(signal);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#peers.close();
    this.#dns?.close();
    await this.#applying;
    this.#proxy.close();
    this.#healthChecks.close();
    await this.#events.flush();
    await this.#informers.ended();
  }

  #services() {
    return this.#informers.informer("Service");
  }

  #endpoints() {
    return this.#informers.informer("Endpoints");
  }

  #changed(): void {
    if (this.#pending || !this.#synced) return;
    this.#pending = true;
    this.#options.clock.soon(() => {
      this.#pending = false;
      this.#applying = this.#applying.then(() => this.#apply());
    });
  }

  async #apply(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const services = this.#services().lister.list();
    const endpoints = this.#endpoints().lister.list();
    const { nodeIP } = this.#options;
    const scope: RuleScope = {
      nodeIP,
      nodesHere: this.#peers.nodes(),
      nodesAtAddress: this.#peers.nodes(nodeIP),
    };
    try {
      await this.#proxy.apply(desiredRules(services, endpoints, scope));
      await this.#proxy.setStandingIn(this.#peers.standingIn);
      await this.#dns?.setStandingIn(this.#peers.standingIn);
      const checks = desiredHealthChecks(services, endpoints, scope.nodesAtAddress);
      await this.#healthChecks.apply(checks);
    } catch (error) {
      this.#options.log.error("the rules could not be applied", { error });
    }
  }
}

function dnsOf(
  { dns, clock, log }: KubeProxyOptions,
  informers: InformerFactory,
): ClusterDns | undefined {
  if (dns === undefined || dns.address === "") return undefined;
  return new ClusterDns({ informers, clock, log, metrics: processMetrics, port: 53, ...dns });
}

/** The fields of a node from which an address's node follows. */
function addressing({ spec, status }: Node): string {
  return JSON.stringify([spec?.podCIDR, status?.addresses]);
}
