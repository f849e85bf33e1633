/** Makes the listeners match the rules; addresses that cannot be bound are tried again. */
import type { Cancel, Log } from "../../ha/runtime/types.ts";
import { Backoff, type LoopClock } from "../client/mod.ts";
import { Balance, type BalanceContext } from "./balance.ts";
import { proxyLimits } from "./limits.ts";
import type { PortListener } from "./listener.ts";
import { diffRules, type Rule } from "./rules.ts";
import { type ConnectionBudget, TcpListener } from "./tcp.ts";
import { UdpListener } from "./udp.ts";

export interface ProxyOptions {
  readonly clock: LoopClock;
  readonly log: Log;
  /** Uniform in 0..1; where the round robin begins. */
  readonly random: () => number;
  /** What all proxies of the machine know of clients. */
  readonly context: BalanceContext;
  /** An address could not be bound; called once per failing address until it succeeds. */
  readonly bindFailed: (rule: Rule, message: string) => void;
}

interface Entry {
  rule: Rule;
  readonly balance: Balance;
  listener: PortListener | undefined;
  readonly backoff: Backoff;
  retry: Cancel | undefined;
  told: boolean;
  closed: boolean;
}

export class ServiceProxy {
  readonly #options: ProxyOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #budget: ConnectionBudget = { used: 0 };
  #standingIn = false;

  constructor(options: ProxyOptions) {
    this.#options = options;
  }

  /** Connections relayed now. */
  get connections(): number {
    return this.#budget.used;
  }

  /** Listeners that are bound. */
  get listening(): readonly string[] {
    return [...this.#entries].flatMap(([key, entry]) => (entry.listener ? [key] : []));
  }

  /** Resolves when every new listener is bound or has failed for the first time. */
  async apply(desired: ReadonlyMap<string, Rule>): Promise<void> {
    const current = new Map([...this.#entries].map(([key, entry]) => [key, entry.rule]));
    const changes = diffRules(current, desired);
    for (const key of changes.close) this.#close(key, (listener) => listener.close());
    for (const rule of changes.update) {
      const entry = this.#entries.get(rule.key);
      if (entry === undefined) continue;
      entry.rule = rule;
      entry.balance.update(rule);
      entry.listener?.refresh();
    }
    await Promise.all(changes.open.map((rule) => this.#open(rule)));
  }

  /** Listens before the proxies of the machine that are frozen, or beside all of them again. */
  async setStandingIn(standingIn: boolean): Promise<void> {
    this.#standingIn = standingIn;
    const entries = [...this.#entries.values()];
    if (standingIn) await Promise.all(entries.map((entry) => this.#standIn(entry)));
    else for (const { listener } of entries) listener?.stepBack();
  }

  /** Ends every connection. Idempotent. */
  close(): void {
    for (const key of [...this.#entries.keys()]) this.#close(key, (listener) => listener.destroy());
  }

  #close(key: string, end: (listener: PortListener) => void): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    entry.closed = true;
    entry.retry?.();
    if (entry.listener !== undefined) end(entry.listener);
    this.#entries.delete(key);
  }

  #open(rule: Rule): Promise<void> {
    const start = Math.floor(this.#options.random() * rule.targets.length);
    const { bindRetryFirstMillis, bindRetryCeilingMillis } = proxyLimits;
    const entry: Entry = {
      rule,
      balance: new Balance(rule, start, this.#options.context),
      listener: undefined,
      backoff: new Backoff(bindRetryFirstMillis, bindRetryCeilingMillis),
      retry: undefined,
      told: false,
      closed: false,
    };
    this.#entries.set(rule.key, entry);
    return this.#bind(entry);
  }

  async #bind(entry: Entry): Promise<void> {
    const { log, clock, bindFailed } = this.#options;
    const { rule, balance } = entry;
    const listener =
      rule.protocol === "TCP"
        ? new TcpListener(rule, balance, this.#budget, log)
        : new UdpListener(rule, balance, log);
    try {
      await listener.listen();
    } catch (error) {
      if (entry.closed) return;
      const message = explainBind(rule.port, error as NodeJS.ErrnoException);
      log.warn("a service address cannot be bound; it is tried again", { rule: rule.key, message });
      if (!entry.told) bindFailed(rule, message);
      entry.told = true;
      entry.retry = clock.after(entry.backoff.next(), () => void this.#bind(entry));
      return;
    }
    // The rule may have gone while the address was being bound.
    if (entry.closed) return listener.destroy();
    entry.listener = listener;
    entry.told = false;
    if (this.#standingIn) await this.#standIn(entry);
  }

  async #standIn({ listener, rule }: Entry): Promise<void> {
    try {
      await listener?.standIn();
    } catch (error) {
      const { message } = error as Error;
      this.#options.log.warn("cannot stand in for a frozen proxy", { rule: rule.key, message });
    }
  }
}

/** Why an address could not be bound, and what a person can do where the system forbids it. */
export function explainBind(port: number, { code, message }: NodeJS.ErrnoException): string {
  if (code !== "EACCES" || port >= firstOpenPort) return message;
  return (
    `${message}: ports below ${firstOpenPort} are for privileged programs on this system. Give the ` +
    "Service a higher port, run Trireme as root, or open them to all with " +
    `\`sysctl net.ipv4.ip_unprivileged_port_start=${port}\``
  );
}

/** Linux's default of net.ipv4.ip_unprivileged_port_start. */
const firstOpenPort = 1024;
