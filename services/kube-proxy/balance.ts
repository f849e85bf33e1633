/** Chooses endpoints for connections: round robin, or the client's own with affinity. */
import { BlockList, isIPv6 } from "node:net";
import type { NodeOfAddress } from "./addresses.ts";
import type { AffinityTable } from "./affinity.ts";
import { type Target, targetKey } from "./endpoints.ts";
import { proxyLimits } from "./limits.ts";
import type { Rule } from "./rules.ts";

export interface BalanceContext {
  readonly affinity: AffinityTable;
  readonly nodeOfAddress: NodeOfAddress;
}

export class Balance {
  #rule: Rule;
  #next: number;
  #allowed: BlockList | undefined;
  /** Of the rule's targets, made when it is first asked for. */
  #keys: ReadonlySet<string> | undefined;
  readonly #context: BalanceContext;

  /** `start` spreads proxies of several nodes over the endpoints. */
  constructor(rule: Rule, start: number, context: BalanceContext) {
    this.#rule = rule;
    this.#next = start;
    this.#context = context;
    this.#allowed = allowedBy(rule);
  }

  update(rule: Rule): void {
    this.#rule = rule;
    this.#allowed = allowedBy(rule);
    this.#keys = undefined;
  }

  has(target: Target): boolean {
    this.#keys ??= new Set(this.#rule.targets.map(targetKey));
    return this.#keys.has(targetKey(target));
  }

  /** Whether the client's node decides and its address does not tell it. */
  wantsOrigin(client: string): boolean {
    return this.#rule.perClientNode && this.#context.nodeOfAddress(client) === undefined;
  }

  /**
   * Endpoints in the order to try them; none: the client's node has no endpoint of its own, or the
   * client may not connect.
   */
  order(client: string, now: number): readonly Target[] {
    if (this.#allowed?.check(client, isIPv6(client) ? "ipv6" : "ipv4") === false) return [];
    const { affinityKey, affinitySeconds } = this.#rule;
    const targets = this.#reachable(client);
    if (affinitySeconds === undefined) {
      const first = this.#next++;
      const count = Math.min(targets.length, proxyLimits.attemptsMax);
      return Array.from({ length: count }, (_, i) => targets[(first + i) % targets.length]).filter(
        (target) => target !== undefined,
      );
    }
    const byKey = new Map(targets.map((target) => [targetKey(target), target]));
    return this.#context.affinity
      .order(affinityKey, client, [...byKey.keys()], now, affinitySeconds)
      .slice(0, proxyLimits.attemptsMax)
      .flatMap((key) => byKey.get(key) ?? []);
  }

  /** The client has reached this endpoint. */
  chosen(client: string, target: Target, now: number): void {
    const { affinityKey, affinitySeconds } = this.#rule;
    if (affinitySeconds === undefined) return;
    this.#context.affinity.chosen(affinityKey, client, targetKey(target), now, affinitySeconds);
  }

  #reachable(client: string): readonly Target[] {
    const { targets, perClientNode } = this.#rule;
    if (!perClientNode) return targets;
    const node = this.#context.nodeOfAddress(client);
    return node === undefined ? targets : targets.filter((target) => target.node === node);
  }
}

/** Undefined: everyone is. */
function allowedBy({ sourceRanges }: Rule): BlockList | undefined {
  if (sourceRanges === undefined) return undefined;
  const list = new BlockList();
  for (const range of sourceRanges) {
    const [base = "", bits = ""] = range.split("/");
    list.addSubnet(base, Number(bits), isIPv6(base) ? "ipv6" : "ipv4");
  }
  return list;
}
