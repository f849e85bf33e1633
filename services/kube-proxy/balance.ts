/** Chooses endpoints for connections: round robin, or the client's last one with affinity. */
import { proxyLimits } from "./limits.ts";
import { type Rule, type Target, targetKey } from "./rules.ts";

interface Affinity {
  readonly target: string;
  /** Monotonic milliseconds of the last connection. */
  at: number;
}

export class Balance {
  #rule: Rule;
  #next: number;
  /** In order of last use, so that the first is the one to give up. */
  readonly #clients = new Map<string, Affinity>();

  /** `start` spreads proxies of several nodes over the endpoints. */
  constructor(rule: Rule, start: number) {
    this.#rule = rule;
    this.#next = start;
  }

  update(rule: Rule): void {
    this.#rule = rule;
    if (rule.affinitySeconds === undefined) this.#clients.clear();
  }

  has(target: Target): boolean {
    const key = targetKey(target);
    return this.#rule.targets.some((one) => targetKey(one) === key);
  }

  /** Endpoints in the order to try them. */
  order(client: string, now: number): readonly Target[] {
    const { targets } = this.#rule;
    const first = this.#next++ % Math.max(1, targets.length);
    const order = [...targets.slice(first), ...targets.slice(0, first)];
    const sticky = this.#sticky(client, now);
    if (sticky === undefined) return order.slice(0, proxyLimits.attemptsMax);
    const known = order.find((target) => targetKey(target) === sticky);
    const others = order.filter((target) => target !== known);
    return (known === undefined ? others : [known, ...others]).slice(0, proxyLimits.attemptsMax);
  }

  /** The client has reached this endpoint. */
  chosen(client: string, target: Target, now: number): void {
    if (this.#rule.affinitySeconds === undefined) return;
    this.#clients.delete(client);
    this.#clients.set(client, { target: targetKey(target), at: now });
    if (this.#clients.size <= proxyLimits.affinityClientsMax) return;
    const [oldest] = this.#clients.keys();
    if (oldest !== undefined) this.#clients.delete(oldest);
  }

  #sticky(client: string, now: number): string | undefined {
    const seconds = this.#rule.affinitySeconds;
    const known = this.#clients.get(client);
    if (seconds === undefined || known === undefined) return undefined;
    if (now - known.at <= seconds * 1000) return known.target;
    this.#clients.delete(client);
    return undefined;
  }
}
