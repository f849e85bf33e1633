/** The mode in which this process relays connections itself: it needs no rights, and no set-up. */
import { isIPv4 } from "node:net";
import { networkInterfaces } from "node:os";
import type { Place } from "./endpoints.ts";
import type { Mode } from "./mode.ts";
import { Peers, type PeersOptions } from "./peers.ts";
import { type ProxyOptions, ServiceProxy } from "./proxy.ts";
import type { Route } from "./routes.ts";
import { desiredRules } from "./rules.ts";

export interface UserspaceOptions {
  readonly peers: PeersOptions;
  readonly proxy: ProxyOptions;
  /** Of the node in the other family. */
  readonly secondNodeIP?: string | undefined;
}

export class UserspaceMode implements Mode {
  readonly #peers: Peers;
  readonly #proxy: ServiceProxy;
  readonly #nodeIP: string;
  readonly #options: UserspaceOptions;

  constructor(options: UserspaceOptions) {
    this.#options = options;
    this.#peers = new Peers(options.peers);
    this.#proxy = new ServiceProxy(options.proxy);
    this.#nodeIP = options.peers.nodeIP;
  }

  get nodesAtAddress(): ReadonlySet<string> {
    return this.#peers.nodes(this.#nodeIP);
  }

  get standingIn(): boolean {
    return this.#peers.standingIn;
  }

  tellAffinity(entry: Parameters<Peers["tell"]>[0]): void {
    this.#peers.tell(entry);
  }

  async start(): Promise<void> {
    const { log, port } = this.#options.peers;
    await this.#peers.start().catch((error: unknown) => {
      log.warn("other proxies of this machine are not seen", { port, error });
    });
  }

  async apply(routes: readonly Route[], zoneOf: (node: string) => string | undefined) {
    const nodesHere = this.#peers.nodes();
    const rules = desiredRules(routes, {
      nodeIP: this.#nodeIP,
      secondNodeIP: this.#options.secondNodeIP,
      nodesHere,
      nodesAtAddress: this.nodesAtAddress,
      place: sharedPlace([...nodesHere], zoneOf),
      isOwn: isOwnAddress,
    });
    await this.#proxy.apply(rules);
    await this.#proxy.setStandingIn(this.#peers.standingIn);
  }

  async close(): Promise<void> {
    this.#peers.close();
    this.#proxy.close();
  }
}

/** The nodes of a machine share its proxies; where they differ, none of them is preferred. */
function sharedPlace(
  nodes: readonly string[],
  zoneOf: (node: string) => string | undefined,
): Place {
  const [first, ...more] = nodes;
  const zones = new Set(nodes.map(zoneOf));
  const [zone] = zones;
  return { node: more.length === 0 ? first : undefined, zone: zones.size === 1 ? zone : undefined };
}

function isOwnAddress(address: string): boolean {
  if (isIPv4(address) && address.startsWith("127.")) return true;
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return all.some((one) => one.address === address);
}
