/** Many hollow nodes in one process, over one watch of pods and a few connections. */

import { isIPv6 } from "node:net";
import { StatusError } from "../../../ha/runtime/status-error.ts";
import type { Clock, Log } from "../../../ha/runtime/types.ts";
import type { Node, Pod } from "../../../proto/gen/core.ts";
import { Backoff, InformerFactory, jittered, sleep, type TriremeClient } from "../../client/mod.ts";
import type { NodeIPs } from "../node/node-ips.ts";
import type { NodeOptions } from "../node/node-status.ts";
import { registerNode } from "../node/registration.ts";
import { HollowNode } from "./node.ts";
import type { Stages } from "./stages.ts";

export interface FleetOptions {
  /** The nodes' streams are dealt out to these; the first one serves the rest. */
  readonly clients: readonly [TriremeClient, ...TriremeClient[]];
  readonly clock: Clock;
  readonly log: Log;
  /** Uniform in 0..1. */
  readonly random: () => number;
  readonly count: number;
  /** Names are this and a number. */
  readonly namePrefix: string;
  /** What they have in common. */
  readonly node: Omit<NodeOptions, "nodeName">;
  readonly stages: Stages;
  /** Over how many zones they are dealt out; 0: they are in none. */
  readonly zones: number;
}

const zoneLabel = "topology.kubernetes.io/zone";

export const fleetLimits = {
  /** The ranges of addresses of pods are those of 10.128.0.0/9 and fd00:a80::/48. */
  nodes: 20_000,
  nodesPerConnection: 1_000,
  registrationsAtOnce: 64,
  retryFirstMillis: 200,
  retryCeilingMillis: 10_000,
} as const;

export class HollowFleet {
  readonly #options: FleetOptions;
  readonly #nodes = new Map<string, HollowNode>();
  readonly #informers: InformerFactory;
  readonly #stop = new AbortController();
  readonly #tasks = new Set<Promise<void>>();
  #registered = 0;

  constructor(options: FleetOptions) {
    const { clients, clock, log, count } = options;
    this.#options = options;
    this.#informers = new InformerFactory({ client: clients[0], log, clock });
    for (let index = 0; index < count; index++) {
      const node = this.#makeNode(index);
      this.#nodes.set(node.name, node);
    }
  }

  get registered(): number {
    return this.#registered;
  }

  /** Nodes that the apiserver hears. */
  get connected(): number {
    let count = 0;
    for (const { connected } of this.#nodes.values()) if (connected) count++;
    return count;
  }

  /** Registers every node, and starts it at once; resolves when all are. */
  async start(): Promise<void> {
    const { signal } = this.#stop;
    const pods = this.#informers.informer("Pod", { fieldSelector: "spec.nodeName!=" });
    this.#informers.start(signal);
    await pods.whenSynced(signal);
    if (signal.aborted) return;
    pods.addHandlers({
      added: (pod) => this.#seen(pod),
      updated: (previous, pod) => {
        if (previous.metadata?.uid !== pod.metadata?.uid) this.#gone(previous);
        this.#seen(pod);
      },
      deleted: (pod) => this.#gone(pod),
    });
    for (const pod of pods.lister.list()) this.#seen(pod);
    const waiting = this.#nodes.values();
    const worker = async () => {
      for (const node of waiting) {
        if (signal.aborted) return;
        await this.#begin(node, signal);
      }
    };
    await Promise.all(Array.from({ length: fleetLimits.registrationsAtOnce }, worker));
  }

  /** Ends all streams; the nodes' objects stay. Idempotent. */
  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#tasks);
    await this.#informers.ended();
  }

  async #begin(node: HollowNode, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    const { retryFirstMillis, retryCeilingMillis } = fleetLimits;
    const backoff = new Backoff(retryFirstMillis, retryCeilingMillis);
    while (!signal.aborted) {
      try {
        await node.register();
        break;
      } catch (error) {
        const { message } = StatusError.from(error);
        log.warn("could not register a node; trying again", { node: node.name, error: message });
        await sleep(clock, jittered(backoff.next()), signal);
      }
    }
    if (signal.aborted) return;
    this.#registered++;
    const task = node.run(signal).finally(() => this.#tasks.delete(task));
    this.#tasks.add(task);
    // The next node begins when this one's first status has been written.
    await Promise.race([node.heard, task]);
  }

  #seen(pod: Pod): void {
    this.#nodes.get(pod.spec?.nodeName ?? "")?.podSeen(pod);
  }

  #gone(pod: Pod): void {
    this.#nodes.get(pod.spec?.nodeName ?? "")?.podGone(pod.metadata?.uid ?? "");
  }

  #makeNode(index: number): HollowNode {
    const { clients, clock, log, random, stages, zones, namePrefix } = this.#options;
    const [first] = clients;
    const client = clients[index % clients.length] ?? first;
    const common = this.#options.node;
    const zone = zones > 0 && { [zoneLabel]: `zone-${index % zones}` };
    const labels = { ...zone, ...common.labels };
    const node = { ...common, labels, nodeName: `${namePrefix}${index}` };
    return new HollowNode({
      ...{ clock, log, random, stages, node, podCIDRs: podRanges(index, node) },
      open: (signal) => client.heartbeat({ signal }),
      register: async (wanted: Node) => {
        await registerNode(client.nodes, wanted, log);
      },
    });
  }
}

/** One of each family that the node's addresses have. */
function podRanges(
  index: number,
  { nodeIP, secondNodeIP }: NodeIPs,
): readonly [string, ...string[]] {
  const first = podRange(index, isIPv6(nodeIP));
  return secondNodeIP === undefined ? [first] : [first, podRange(index, isIPv6(secondNodeIP))];
}

/** A 256th part of 10.128.0.0/9's 128 parts each, or a part of fd00:a80::/48. */
function podRange(index: number, six: boolean): string {
  if (six) return `fd00:a80:0:${index.toString(16)}::/64`;
  return `10.${128 + (index >> 8)}.${index & 255}.0/24`;
}
