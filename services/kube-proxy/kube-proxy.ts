/** Joins the informers to the proxy: any change recomputes all rules, at most once a turn. */
import { processMetrics } from "../../ha/runtime/metrics.ts";
import type { Clock, Log } from "../../ha/runtime/types.ts";
import type { Node, Service } from "../../proto/gen/core.ts";
import type { EndpointSlice } from "../../proto/gen/discovery.ts";
import {
  createEventRecorder,
  type EventRecorder,
  InformerFactory,
  keyOf,
  type TriremeClient,
} from "../client/mod.ts";
import { ClusterDns } from "../dns/mod.ts";
import { type NodeOfAddress, nodeOfAddress, podRangesOf } from "./addresses.ts";
import { AffinityTable } from "./affinity.ts";
import { families as allFamilies, type Family } from "./family.ts";
import { desiredHealthChecks, HealthCheckServers } from "./health-checks.ts";
import type { Mode } from "./mode.ts";
import { runProgram } from "./nftables/mod.ts";
import { NftablesMode } from "./nftables/mode.ts";
import { PolicyEnforcer } from "./policies/mod.ts";
import { RouteMemory } from "./routes.ts";
import { UserspaceMode } from "./userspace.ts";

export interface KubeProxyOptions {
  readonly client: TriremeClient;
  readonly nodeName: string;
  readonly mode: "userspace" | "nftables";
  /** That nftables can do; for this mode. */
  readonly families?: readonly Family[];
  /** Ranges of the cluster's pods, for nftables; a family without one: unknown. */
  readonly clusterRanges?: readonly string[];
  /** Address of NodePorts. */
  readonly nodeIP: string;
  /** That of the other family; absent: there is none. */
  readonly secondNodeIP?: string | undefined;
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
  readonly #mode: Mode;
  readonly #routes = new RouteMemory();
  readonly #healthChecks: HealthCheckServers;
  readonly #dns: ClusterDns | undefined;
  /** Where the kernel does the work, it can also refuse it. */
  readonly #policies: PolicyEnforcer | undefined;
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
    const { mode } = options;
    const { families = allFamilies } = options;
    const enforcing = {
      informers: this.#informers,
      nodeName,
      families,
      run: runProgram,
      clock,
      log,
    };
    this.#policies = mode === "nftables" ? new PolicyEnforcer(enforcing) : undefined;
    this.#mode = mode === "nftables" ? this.#nftables() : this.#userspace();
  }

  #nftables(): Mode {
    const { clock, log, nodeName, nodeIP, secondNodeIP, dns } = this.#options;
    const { families = allFamilies, clusterRanges = [] } = this.#options;
    return new NftablesMode({
      run: runProgram,
      ...{ clock, log, nodeName, families, clusterRanges },
      nodePortAddresses: secondNodeIP === undefined ? [nodeIP] : [nodeIP, secondNodeIP],
      ownAddresses: dns === undefined || dns.address === "" ? [] : [dns.address],
    });
  }

  #userspace(): Mode {
    const { clock, log, nodeName, nodeIP, random, ...options } = this.#options;
    const affinity = new AffinityTable((entry) => mode.tellAffinity(entry));
    const mode = new UserspaceMode({
      secondNodeIP: options.secondNodeIP,
      peers: {
        ...{ nodeName, nodeIP, clock, log },
        port: options.peerPort,
        instance: options.instance,
        changed: () => this.#changed(),
        learned: (entry) => affinity.learn(entry, clock.monotonicMillis()),
        known: () => affinity.entries(),
      },
      proxy: {
        ...{ clock, log, random },
        context: { affinity, nodeOfAddress: (address) => this.#nodeOf(address) },
        bindFailed: (rule, message) => {
          const service = this.#services().lister.get(rule.service, rule.namespace);
          if (service === undefined) return;
          const about = { ...service, apiVersion: "v1", kind: "Service" };
          const text = `kube-proxy on ${nodeName} cannot listen on ${rule.key}: ${message}`;
          this.#events.event(about, "Warning", "FailedToBind", text);
        },
      },
    });
    return mode;
  }

  /** Resolves once services and endpoints are known; never, while there is no API. */
  async start(): Promise<void> {
    const { signal } = this.#stop;
    const services = this.#services();
    const slices = this.#slices();
    slices.addIndex(serviceIndex, (slice) => [serviceOf(slice)]);
    const nodes = this.#informers.informer("Node");
    this.#informers.start(signal);
    await this.#mode.start();
    await Promise.all([services, slices, nodes].map((each) => each.whenSynced(signal)));
    if (signal.aborted) return;
    this.#synced = true;
    // Before both are known, nothing is listened on: half the truth would refuse connections.
    const changed = () => this.#changed();
    services.addHandlers({ added: changed, updated: changed, deleted: changed });
    slices.addHandlers({ added: changed, updated: changed, deleted: changed });
    const readdressed = () => {
      this.#nodeOf = nodeOfAddress(nodes.lister.list());
      this.#changed();
    };
    nodes.addHandlers({
      added: readdressed,
      updated(previous, node) {
        if (addressing(previous) !== addressing(node)) readdressed();
      },
      deleted: readdressed,
    });
    this.#changed();
    await Promise.all([this.#dns?.start(signal), this.#policies?.start(signal)]);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#dns?.close();
    await this.#policies?.close();
    await this.#applying;
    await this.#mode.close();
    this.#healthChecks.close();
    await this.#events.flush();
    await this.#informers.ended();
  }

  #services() {
    return this.#informers.informer("Service");
  }

  #slices() {
    return this.#informers.informer("EndpointSlice");
  }

  #slicesOf(service: Service): readonly EndpointSlice[] {
    return this.#slices().lister.byIndex(serviceIndex, keyOf(service));
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
    const routes = services.flatMap((service) =>
      this.#routes.routes(keyOf(service), service, this.#slicesOf(service)),
    );
    this.#routes.keep(new Set(services.map(keyOf)));
    const nodes = this.#informers.informer("Node").lister;
    try {
      await this.#mode.apply(routes, (node) => nodes.get(node)?.metadata?.labels?.[zoneLabel]);
      await this.#dns?.setStandingIn(this.#mode.standingIn);
      const slicesOf = (service: Service) => this.#slicesOf(service);
      const checks = desiredHealthChecks(services, slicesOf, this.#mode.nodesAtAddress);
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

const zoneLabel = "topology.kubernetes.io/zone";
const serviceIndex = "service of the slice";

function serviceOf({ metadata }: EndpointSlice): string {
  return `${metadata?.namespace}/${metadata?.labels?.["kubernetes.io/service-name"] ?? ""}`;
}

/** The fields of a node from which an address's node and the node's zone follow. */
function addressing({ metadata, spec, status }: Node): string {
  return JSON.stringify([podRangesOf(spec), status?.addresses, metadata?.labels?.[zoneLabel]]);
}
