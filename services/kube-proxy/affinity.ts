/**
 * ClientIP affinity that all proxies of a machine agree on, whichever of them the kernel gives a
 * connection: a client's first endpoint follows from a hash of both (rendezvous hashing), and each
 * proxy tells the others what it chose, so that a client stays although endpoints come.
 */
import { proxyLimits } from "./limits.ts";

/** What a client was given: gossiped between proxies. */
export interface AffinityEntry {
  /** Namespace, name and port name of the service. */
  readonly key: string;
  readonly client: string;
  readonly target: string;
  /** Counts up each time the client's affinity ran out: another choice is then made. */
  readonly generation: number;
}

interface Known {
  target: string;
  generation: number;
  /** Monotonic milliseconds of the last connection. */
  at: number;
  toldAt: number;
}

export class AffinityTable {
  /** In order of last use, so that the first is the one to give up. */
  readonly #clients = new Map<string, Known>();
  readonly #tell: (entry: AffinityEntry) => void;

  /** `tell` is called with every choice, and now and then while it is in use. */
  constructor(tell: (entry: AffinityEntry) => void = () => undefined) {
    this.#tell = tell;
  }

  get size(): number {
    return this.#clients.size;
  }

  /** Targets in the order to try them: the client's own, then the others by their hash. */
  order(
    key: string,
    client: string,
    targets: readonly string[],
    now: number,
    seconds: number,
  ): readonly string[] {
    const known = this.#clients.get(textOf(key, client));
    const isCurrent = known !== undefined && now - known.at <= seconds * 1000;
    const generation = (known?.generation ?? 0) + (known !== undefined && !isCurrent ? 1 : 0);
    const ranked = rendezvous(`${key} ${client} ${generation}`, targets);
    if (!isCurrent || !targets.includes(known.target)) return ranked;
    return [known.target, ...ranked.filter((target) => target !== known.target)];
  }

  /** The client has reached this target. */
  chosen(key: string, client: string, target: string, now: number, seconds: number): void {
    const text = textOf(key, client);
    const known = this.#clients.get(text);
    const expired = known !== undefined && now - known.at > seconds * 1000;
    const generation = (known?.generation ?? 0) + (expired ? 1 : 0);
    const isNews =
      known === undefined ||
      known.target !== target ||
      expired ||
      now - known.toldAt >= Math.min(proxyLimits.affinityTellMillis, seconds * 250);
    const toldAt = isNews ? now : (known?.toldAt ?? now);
    this.#set(text, { target, generation, at: now, toldAt });
    if (isNews) this.#tell({ key, client, target, generation });
  }

  /** Another proxy's choice; it counts from now on. */
  learn({ key, client, target, generation }: AffinityEntry, now: number): void {
    this.#set(textOf(key, client), { target, generation, at: now, toldAt: now });
  }

  /** Everything known, for a proxy that has just started. */
  *entries(): Generator<AffinityEntry> {
    for (const [text, { target, generation }] of this.#clients) {
      const [key = "", client = ""] = text.split(" ");
      yield { key, client, target, generation };
    }
  }

  #set(text: string, known: Known): void {
    this.#clients.delete(text);
    this.#clients.set(text, known);
    if (this.#clients.size <= proxyLimits.affinityClientsMax) return;
    const [oldest] = this.#clients.keys();
    if (oldest !== undefined) this.#clients.delete(oldest);
  }
}

function textOf(key: string, client: string): string {
  return `${key} ${client}`;
}

/**
 * The targets in an order that depends on the seed alone. When a target goes, only those move that
 * had it; when one comes, only those that it wins.
 */
export function rendezvous(seed: string, targets: readonly string[]): readonly string[] {
  return targets
    .map((target) => ({ target, weight: hash(`${seed} ${target}`) }))
    .sort((a, b) => b.weight - a.weight || (a.target < b.target ? -1 : 1))
    .map(({ target }) => target);
}

/** FNV-1a with MurmurHash3's finisher: neighbouring addresses get weights far apart. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  }
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}
