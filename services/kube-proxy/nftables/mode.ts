/** The mode in which the kernel proxies services; the node has a network of its own. */
import { execFile } from "node:child_process";
import type { Log } from "../../../ha/runtime/types.ts";
import { type Family, isOf, isRangeOf } from "../family.ts";
import type { Mode } from "../mode.ts";
import type { Route } from "../routes.ts";
import { type NftablesOptions, NftablesProxy } from "./mod.ts";

export interface NftablesModeOptions extends Omit<NftablesOptions, "family"> {
  readonly nodeName: string;
  /** Those that the kernel can do. */
  readonly families: readonly Family[];
  /** Ranges of the cluster's pods, at most one of a family. */
  readonly clusterRanges: readonly string[];
  /** Addresses that the node itself is to have, such as that of DNS. */
  readonly ownAddresses: readonly string[];
}

export class NftablesMode implements Mode {
  readonly standingIn = false;
  readonly nodesAtAddress: ReadonlySet<string>;
  readonly #options: NftablesModeOptions;
  readonly #proxies: ReadonlyMap<Family, NftablesProxy>;

  constructor(options: NftablesModeOptions) {
    this.#options = options;
    const proxyOf = (family: Family) => {
      const nodePortAddresses = options.nodePortAddresses.filter((one) => isOf(family, one));
      return new NftablesProxy({ ...options, family, nodePortAddresses });
    };
    this.#proxies = new Map(options.families.map((family) => [family, proxyOf(family)]));
    this.nodesAtAddress = new Set([options.nodeName]);
  }

  async start(): Promise<void> {
    const { ownAddresses, log } = this.#options;
    for (const address of ownAddresses) await addAddress(address, log);
  }

  async apply(routes: readonly Route[], zoneOf: (node: string) => string | undefined) {
    const { nodeName, clusterRanges, ownAddresses } = this.#options;
    // What the node serves itself has no endpoints, but must not be refused.
    const others = routes.filter(({ clusterIP }) => !ownAddresses.includes(clusterIP));
    const scope = {
      place: { node: nodeName, zone: zoneOf(nodeName) },
      nodesHere: this.nodesAtAddress,
    };
    const work = [...this.#proxies].map(([family, proxy]) => {
      const clusterRange = clusterRanges.find((range) => isRangeOf(family, range));
      const own = others.filter((route) => route.family === family);
      return proxy.apply(own, { ...scope, clusterRange });
    });
    await Promise.all(work);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#proxies.values()].map((proxy) => proxy.close()));
  }
}

/** On the loopback device, so that pods of this node reach it and no other machine does. */
function addAddress(address: string, log: Log): Promise<void> {
  // The loopback network needs no set-up.
  if (address.startsWith("127.")) return Promise.resolve();
  return new Promise((resolve) => {
    const args = [
      "address",
      "replace",
      `${address}/${isOf("IPv6", address) ? 128 : 32}`,
      "dev",
      "lo",
    ];
    execFile("ip", args, { timeout: 10_000 }, (error) => {
      if (error) log.warn("the node cannot have an address", { address, error });
      resolve();
    });
  });
}
