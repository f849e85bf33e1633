/** The mode in which the kernel proxies services; the node has a network of its own. */
import { execFile } from "node:child_process";
import type { Log } from "../../../ha/runtime/types.ts";
import type { Mode } from "../mode.ts";
import type { Route } from "../routes.ts";
import { type NftablesOptions, NftablesProxy } from "./mod.ts";

export interface NftablesModeOptions extends NftablesOptions {
  readonly nodeName: string;
  readonly clusterRange: string | undefined;
  /** Addresses that the node itself is to have, such as that of DNS. */
  readonly ownAddresses: readonly string[];
}

export class NftablesMode implements Mode {
  readonly standingIn = false;
  readonly nodesAtAddress: ReadonlySet<string>;
  readonly #options: NftablesModeOptions;
  readonly #proxy: NftablesProxy;

  constructor(options: NftablesModeOptions) {
    this.#options = options;
    this.#proxy = new NftablesProxy(options);
    this.nodesAtAddress = new Set([options.nodeName]);
  }

  async start(): Promise<void> {
    const { ownAddresses, log } = this.#options;
    for (const address of ownAddresses) await addAddress(address, log);
  }

  apply(routes: readonly Route[], zoneOf: (node: string) => string | undefined): Promise<void> {
    const { nodeName, clusterRange, ownAddresses } = this.#options;
    // What the node serves itself has no endpoints, but must not be refused.
    const others = routes.filter(({ clusterIP }) => !ownAddresses.includes(clusterIP));
    return this.#proxy.apply(others, {
      place: { node: nodeName, zone: zoneOf(nodeName) },
      nodesHere: this.nodesAtAddress,
      clusterRange,
    });
  }

  close(): Promise<void> {
    return this.#proxy.close();
  }
}

/** On the loopback device, so that pods of this node reach it and no other machine does. */
function addAddress(address: string, log: Log): Promise<void> {
  // The loopback network needs no set-up.
  if (address.startsWith("127.")) return Promise.resolve();
  return new Promise((resolve) => {
    const args = ["address", "replace", `${address}/32`, "dev", "lo"];
    execFile("ip", args, { timeout: 10_000 }, (error) => {
      if (error) log.warn("the node cannot have an address", { address, error });
      resolve();
    });
  });
}
