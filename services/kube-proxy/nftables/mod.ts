/**
 * Keeps the kernel's table of a family in step with the routes: the differences alone, one
 * transaction each.
 */
import { StatusError } from "../../../ha/runtime/status-error.ts";
import type { Cancel, Log } from "../../../ha/runtime/types.ts";
import { Backoff, type LoopClock } from "../../client/mod.ts";
import type { Family } from "../family.ts";
import { proxyLimits } from "../limits.ts";
import type { Route } from "../routes.ts";
import { type ChainScope, type Flow, type RouteRules, rulesOfRoute } from "./chains.ts";
import { conntrackArguments, flowKey, type StaleFlow, staleFlows } from "./flows.ts";
import { LiveTable } from "./live-table.ts";
import { nft, type RunProgram } from "./programs.ts";
import { type Difference, difference, removal, type TableState, wholeTable } from "./table.ts";

export { nftObstacle, runProgram } from "./programs.ts";

export interface NftablesOptions {
  readonly family: Family;
  readonly run: RunProgram;
  readonly clock: LoopClock;
  readonly log: Log;
  /** Where node ports are opened; of the family. */
  readonly nodePortAddresses: readonly string[];
}

export class NftablesProxy {
  readonly #options: NftablesOptions;
  readonly #backoff = new Backoff(
    proxyLimits.bindRetryFirstMillis,
    proxyLimits.bindRetryCeilingMillis,
  );
  /** Of each route, for as long as it and the scope stay the same. */
  #known = new Map<Route, RouteRules>();
  #scope = "";
  /** What the kernel has; undefined: unknown, the whole table is to be loaded. */
  #table: LiveTable | undefined;
  #flows: ReadonlyMap<string, Flow> = new Map();
  #left: Difference["left"] = { chains: [], sets: [] };
  #retry: Cancel = () => undefined;
  #tidy: Cancel = () => undefined;
  #work: Promise<void> = Promise.resolve();
  #closed = false;
  #withoutConntrack = false;
  #transactions = 0;

  constructor(options: NftablesOptions) {
    this.#options = options;
  }

  /** Transactions that the kernel has taken. */
  get transactions(): number {
    return this.#transactions;
  }

  /** Routes of the family. Resolves when the kernel has the rules, or has refused them; they are then tried again. */
  apply(routes: readonly Route[], scope: ChainScope): Promise<void> {
    this.#work = this.#work.then(() => this.#apply(routes, scope));
    return this.#work;
  }

  /** The rules stay: services must work on while the proxy is replaced. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#retry();
    this.#tidy();
    await this.#work;
  }

  async #apply(routes: readonly Route[], scope: ChainScope): Promise<void> {
    if (this.#closed) return;
    this.#retry();
    const before = this.#known;
    const rules = this.#rulesOf(routes, scope);
    try {
      await this.#load(before, this.#known);
      this.#backoff.reset();
    } catch (error) {
      // What the kernel has is unknown now; and perhaps another program has taken the table away.
      this.#table = undefined;
      const { message } = StatusError.from(error);
      const text = "the kernel did not take the rules; all are loaded again";
      this.#options.log.error(text, { message });
      const again = () => void this.apply(routes, scope);
      this.#retry = this.#options.clock.after(this.#backoff.next(), again);
      return;
    }
    const flows = new Map(rules.flatMap((one) => one.flows).map((flow) => [flowKey(flow), flow]));
    const stale = staleFlows(this.#flows, flows);
    this.#flows = flows;
    await this.#forget(stale);
  }

  #rulesOf(routes: readonly Route[], scope: ChainScope): readonly RouteRules[] {
    const text = JSON.stringify({ ...scope, nodesHere: [...scope.nodesHere].sort() });
    const known = text === this.#scope ? this.#known : new Map<Route, RouteRules>();
    this.#scope = text;
    this.#known = new Map(
      routes.map((route) => [route, known.get(route) ?? rulesOfRoute(route, scope)]),
    );
    return [...this.#known.values()];
  }

  async #load(
    before: ReadonlyMap<Route, RouteRules>,
    after: ReadonlyMap<Route, RouteRules>,
  ): Promise<void> {
    const { run, nodePortAddresses, family } = this.#options;
    const table = this.#table;
    if (table === undefined) {
      const made = new LiveTable();
      const all = byName(after);
      for (const rules of all) made.add(rules);
      await nft(run, wholeTable(made.view(all), nodePortAddresses, family));
      this.#left = { chains: [], sets: [] };
      this.#table = made;
      this.#transactions += 1;
      return;
    }
    const gone = [...before].flatMap(([route, rules]) =>
      after.get(route) === rules ? [] : [rules],
    );
    const come = [...after].flatMap(([route, rules]) =>
      before.get(route) === rules ? [] : [rules],
    );
    const touched = [...gone, ...come];
    const current = withLeft(table.view(touched), this.#left);
    for (const rules of gone) table.remove(rules);
    for (const rules of come) table.add(rules);
    const { text, left } = difference(current, table.view(touched), family);
    if (text === "") return;
    await nft(run, text);
    this.#transactions += 1;
    this.#leave(left);
  }

  #leave(left: Difference["left"]): void {
    this.#left = left;
    this.#tidy();
    if (this.#left.chains.length === 0 && this.#left.sets.length === 0) return;
    this.#tidy = this.#options.clock.after(proxyLimits.emptyChainMillis, () => {
      this.#work = this.#work.then(() => this.#removeLeft());
    });
  }

  async #removeLeft(): Promise<void> {
    const text = removal(this.#left, this.#options.family);
    if (this.#closed || text === "" || this.#table === undefined) return;
    try {
      await nft(this.#options.run, text);
      this.#transactions += 1;
    } catch (error) {
      const { message } = StatusError.from(error);
      this.#options.log.warn("empty chains could not be deleted", { message });
      this.#table = undefined;
    }
    this.#left = { chains: [], sets: [] };
  }

  async #forget(stale: readonly StaleFlow[]): Promise<void> {
    const { run, log, family } = this.#options;
    for (const flow of stale) {
      if (this.#withoutConntrack || this.#closed) return;
      const { code, stderr } = await run("conntrack", conntrackArguments(flow, family), "");
      // 1: there was nothing to delete.
      if (code === 0 || (code === 1 && /\b0 flow entries/.test(stderr))) continue;
      if (code === undefined) {
        this.#withoutConntrack = true;
        log.warn(
          "without the program conntrack, clients of UDP services may go on to endpoints that are gone",
          { message: stderr },
        );
      } else log.warn("memories of datagrams could not be deleted", { message: stderr });
    }
  }
}

/** In the order of their names, so that of two that claim an address always the same has it. */
function byName(known: ReadonlyMap<Route, RouteRules>): readonly RouteRules[] {
  const name = ({ namespace, service, portName }: Route) => `${namespace}/${service}:${portName}`;
  return [...known]
    .map(([route, rules]) => ({ name: name(route), rules }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ rules }) => rules);
}

/** The kernel still has the emptied chains and the sets that nothing uses. */
function withLeft(state: TableState, left: Difference["left"]): TableState {
  if (left.chains.length === 0 && left.sets.length === 0) return state;
  const chains = new Map(state.chains);
  for (const name of left.chains) chains.set(name, []);
  const sets = new Map(state.sets);
  for (const name of left.sets) if (!sets.has(name)) sets.set(name, "");
  return { chains, sets, elements: state.elements };
}
