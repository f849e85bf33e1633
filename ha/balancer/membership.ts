/**
 * Which masters the cluster has, by the word of the masters: each tells the addresses of all members
 * with its status. The configured masters are only the seeds: they keep their configured addresses,
 * but one that is no member any more is left, and the others are found.
 */
import type { MemberStatus } from "../../proto/gen/cluster.ts";
import { parseAddress } from "../rpc/address.ts";
import type { Master, MasterAddress } from "./master.ts";

/** The schemes under which members tell where they serve what the balancer balances. */
export interface Faces {
  readonly grpc: "grpc" | "etcd";
  readonly rest?: "https" | undefined;
}

interface Seed extends MasterAddress {
  /** As the master at this address has named itself, once it has. */
  readonly memberName: string | undefined;
}

/** More members than this are not followed. */
const membersMax = 32;

export class Membership {
  readonly #seeds: readonly MasterAddress[];
  readonly #faces: Faces | undefined;
  /** How the masters at the seeds' addresses have named themselves, by the seeds' names. */
  readonly #seedMembers = new Map<string, string>();

  /** Without `faces` the masters are the seeds, whatever the members are. */
  constructor(seeds: readonly MasterAddress[], faces: Faces | undefined) {
    this.#seeds = seeds;
    this.#faces = faces;
  }

  /** Which of the masters have left, and which are missing among them. */
  changes(masters: readonly Master[]): {
    readonly joined: readonly MasterAddress[];
    readonly left: readonly Master[];
  } {
    const wanted = this.#wanted(masters);
    const isOne = (one: MasterAddress) => (master: Master) => sameAddress(one, addressOf(master));
    return {
      joined: wanted.filter((one) => !masters.some(isOne(one))),
      left: masters.filter((master) => !wanted.some((one) => isOne(one)(master))),
    };
  }

  #wanted(masters: readonly Master[]): readonly MasterAddress[] {
    const present = masters.map(addressOf);
    if (this.#faces === undefined) return present;
    for (const { name, memberName } of masters) {
      if (memberName !== undefined) this.#seedMembers.set(name, memberName);
    }
    const statuses = masters.map(({ status }) => status).filter((each) => each !== undefined);
    const members = membersOf(statuses);
    if (members !== undefined) {
      const seeds = this.#seeds.map((seed) => {
        return { ...seed, memberName: this.#seedMembers.get(seed.name) };
      });
      return mastersOf(members, seeds, this.#faces);
    }
    if (statuses.length > 0) return present;
    // No master says anything: one of the seeds may come back as the first.
    const missing = this.#seeds.filter(({ name }) => !masters.some((one) => one.name === name));
    return [...present, ...missing];
  }
}

/**
 * Every member's name, with its addresses; undefined when no member has told any: the members may
 * be those of a store apart from the masters. The newest word counts: a master that has applied more
 * of the log knows every change that the others know.
 */
function membersOf(
  statuses: readonly MemberStatus[],
): ReadonlyMap<string, readonly string[]> | undefined {
  let newest: MemberStatus | undefined;
  for (const status of statuses) {
    if (newest === undefined || (status.appliedIndex ?? 0) > (newest.appliedIndex ?? 0)) {
      newest = status;
    }
  }
  if (newest === undefined) return undefined;
  const { name = "", addresses = [], peers = [] } = newest;
  const all = [{ name, addresses }, ...peers].slice(0, membersMax);
  const members = new Map<string, readonly string[]>();
  for (const peer of all) if (peer.name) members.set(peer.name, peer.addresses ?? []);
  return [...members.values()].some((told) => told.length > 0) ? members : undefined;
}

/** The masters to balance over: the seeds that are members, or may be, and the other members. */
function mastersOf(
  members: ReadonlyMap<string, readonly string[]>,
  seeds: readonly Seed[],
  faces: Faces,
): MasterAddress[] {
  const taken = new Set<string>();
  const wanted: MasterAddress[] = [];
  for (const { memberName, ...seed } of seeds) {
    const own = memberName ?? (members.has(seed.name) ? seed.name : undefined);
    if (own !== undefined && (!members.has(own) || taken.has(own))) continue;
    taken.add(own ?? seed.name);
    wanted.push(seed);
  }
  for (const [name, addresses] of members) {
    if (taken.has(name) || wanted.some((one) => one.name === name)) continue;
    const address = addressAt(addresses, faces.grpc);
    if (address === undefined) continue;
    const rest = faces.rest && addressAt(addresses, faces.rest);
    wanted.push({ name, address, rest });
  }
  return wanted;
}

/** `host:port` of the first address of that scheme; what is no address is passed over. */
function addressAt(addresses: readonly string[], scheme: string): string | undefined {
  const prefix = `${scheme}://`;
  return addresses
    .filter((each) => each.startsWith(prefix))
    .map((each) => each.slice(prefix.length))
    .find(isAddress);
}

function isAddress(text: string): boolean {
  try {
    parseAddress(text);
    return true;
  } catch {
    // A member of another release may tell addresses in a form of its own.
    return false;
  }
}

function addressOf({ name, address, restAddress }: Master): MasterAddress {
  return { name, address, rest: restAddress };
}

function sameAddress(one: MasterAddress, other: MasterAddress): boolean {
  return one.name === other.name && one.address === other.address && one.rest === other.rest;
}
