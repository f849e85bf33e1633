/** Where a pod gets its addresses from: the node's ranges, at most one of each family. */
import { once } from "node:events";
import { connect, createServer, isIPv6, type Socket } from "node:net";
import { kubeletLimits } from "../limits.ts";
import { AddressPool } from "./addresses.ts";

/** What a pod has on the network; the first is of the node's primary family. */
export interface PodAddresses {
  readonly address: string;
  /** Of the other family; absent: the pod has none. */
  readonly secondAddress?: string | undefined;
}

/** Whether a program of this machine that listens on the address is reached at it. */
export type Answers = (address: string) => Promise<boolean>;

/** Addresses are taken and given back in memory; the same pod gets the same ones until then. */
export class PodRanges {
  readonly #first: AddressPool;
  readonly #second: AddressPool | undefined;

  constructor(first: AddressPool, second?: AddressPool) {
    this.#first = first;
    this.#second = second;
  }

  /** Notes addresses in use, e.g. of a pod that runs since before. */
  hold(uid: string, { address, secondAddress }: PodAddresses): void {
    for (const one of [address, secondAddress]) {
      if (one !== undefined) this.#poolOf(one)?.hold(uid, one);
    }
  }

  /** Undefined: all of a range are in use. */
  take(uid: string): PodAddresses | undefined {
    const address = this.#first.take(uid);
    const secondAddress = this.#second?.take(uid);
    if (address === undefined) return undefined;
    if (this.#second === undefined) return { address };
    return secondAddress === undefined ? undefined : { address, secondAddress };
  }

  release(uid: string): void {
    this.#first.release(uid);
    this.#second?.release(uid);
  }

  #poolOf(address: string): AddressPool | undefined {
    const family = isIPv6(address) ? "IPv6" : "IPv4";
    return [this.#first, this.#second].find((pool) => pool?.family === family);
  }
}

export interface RangesPlan {
  readonly ranges: PodRanges;
  /** Ranges without use: nothing answers at their addresses on this machine. */
  readonly leftOut: readonly string[];
}

/**
 * Of pods that share the machine's network. A range of IPv6 is of use only on a machine that was set
 * up for it; on Linux all of 127.0.0.0/8 answers, so a lone range of IPv4 is taken as it is.
 * `primary`: the node's first address. Throws when no range is of use, and why.
 */
export async function planRanges(
  cidrs: readonly string[],
  primary: string,
  answers: Answers,
): Promise<RangesPlan> {
  const pools = cidrs.map((cidr) => new AddressPool(cidr));
  const lone = pools.length === 1 && pools[0]?.family === "IPv4";
  const verdicts = lone ? [true] : await Promise.all(pools.map(({ first }) => answers(first)));
  const served = pools.filter((_, index) => verdicts[index]);
  const used = served.length > 0 ? served : pools.filter(({ family }) => family === "IPv4");
  const primaryFamily = isIPv6(primary) ? "IPv6" : "IPv4";
  const [first, second] = used.toSorted(
    (one, other) => Number(other.family === primaryFamily) - Number(one.family === primaryFamily),
  );
  if (first === undefined) {
    throw new Error(`no program on this machine is reached at ${pools[0]?.first}`);
  }
  const leftOut = pools.filter((pool) => !used.includes(pool)).map(({ cidr }) => cidr);
  return { ranges: new PodRanges(first, second), leftOut };
}

/** Listens on the address for a moment, and connects to it. */
export const answersHere: Answers = async (address) => {
  const server = createServer((socket) => socket.destroy());
  let client: Socket | undefined;
  try {
    server.listen({ host: address, port: 0, exclusive: true });
    await once(server, "listening");
    const bound = server.address();
    if (bound === null || typeof bound !== "object") return false;
    client = connect({ host: address, port: bound.port });
    await once(client, "connect", {
      signal: AbortSignal.timeout(kubeletLimits.rangeAnswerMillisMax),
    });
    return true;
  } catch {
    return false; // the machine has no such address, or leads it elsewhere
  } finally {
    client?.on("error", () => undefined).destroy();
    server.close();
  }
};
