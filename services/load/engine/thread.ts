/** A thread that makes calls: begun by the main thread with a {@link ThreadSetup}. */
import { parentPort, workerData } from "node:worker_threads";
import { LoadClient, type RequestTemplate } from "../client/mod.ts";
import type { Naming } from "../operations.ts";
import { profiles } from "../profiles.ts";
import { protocols } from "../targets/mod.ts";
import { encodeHistogram, newHistogram } from "./histogram.ts";
import type { ThreadCommand, ThreadReport, ThreadSetup } from "./messages.ts";
import { filledName, firstName } from "./names.ts";
import { type NextCall, Round } from "./round.ts";
import { SentTimes } from "./sent-times.ts";
import { Watchers } from "./watchers.ts";

const tickMillis = 250;
const connectMillisMax = 10_000;

class LoadThread {
  readonly #setup: ThreadSetup;
  readonly #report: (report: ThreadReport) => void;
  readonly #client: LoadClient;
  readonly #watchers: Watchers | undefined;
  readonly #sent: SentTimes;
  readonly #steps: readonly { readonly template: RequestTemplate; readonly naming: Naming }[];
  /** Which step comes next, for as many calls as the weights add up to. */
  readonly #order: readonly number[];
  readonly #chain: boolean;
  readonly #lastNames: number[] = [];
  readonly #turns: number[] = [];
  #names: number;
  #filledTurn: number;
  #round: Round | undefined;

  constructor(setup: ThreadSetup, report: (report: ThreadReport) => void) {
    const { to, place, connections, deadlineMillis, index } = setup;
    const profile = profiles[setup.profile];
    if (profile === undefined) throw new Error(`there is no profile "${setup.profile}"`);
    const protocol = protocols[to.protocol];
    this.#setup = setup;
    this.#report = report;
    this.#sent = new SentTimes(setup.sentTimes);
    const { addresses, tls } = to;
    const reach = { addresses, tls, protocol: protocol.wire, deadlineMillis };
    this.#client = new LoadClient({ ...reach, connections });
    this.#steps = profile.mix.map(({ operation }) => {
      return { template: protocol.template(to, place, operation), naming: operation.naming };
    });
    this.#order = shuffled(profile.mix.flatMap(({ weight }, i) => Array(weight).fill(i)));
    this.#chain = profile.chain === true;
    this.#names = firstName(index);
    this.#filledTurn = index;
    if (profile.watchers !== undefined && setup.watchers > 0) {
      const client = new LoadClient(reach);
      const template = protocol.watch(to, place, profile.watchers.kind);
      this.#watchers = new Watchers(client, template, place.prefix, this.#sent);
    }
  }

  async start(): Promise<void> {
    await this.#client.connected(connectMillisMax);
    this.#report({ type: "connected" });
    await this.#watchers?.open(this.#setup.watchers);
    this.#report({ type: "watching" });
  }

  async command(command: ThreadCommand): Promise<void> {
    switch (command.type) {
      case "round":
        return await this.#run(command);
      case "stop":
        return this.#round?.stop();
      case "close":
        this.#watchers?.close();
        this.#client.close();
        parentPort?.close();
    }
  }

  async #run({ pace, millis }: Extract<ThreadCommand, { type: "round" }>): Promise<void> {
    const watchers = this.#watchers;
    if (watchers !== undefined) watchers.latency = newHistogram();
    const round = new Round({
      ...{ client: this.#client, pace, millis, slowMillis: this.#setup.slowMillis },
      next: (client) => this.#next(client),
      sending: (name) => this.#sent.set(name),
    });
    this.#round = round;
    let seen = watchers?.events ?? 0;
    const tick = () => {
      const events = watchers?.events ?? 0;
      this.#report({ type: "tick", ...round.takeTick(), events: events - seen });
      seen = events;
    };
    const timer = setInterval(tick, tickMillis);
    const result = await round.run();
    clearInterval(timer);
    tick();
    this.#round = undefined;
    const failures = { ...result.failures };
    for (const [code, example] of watchers?.ended ?? []) {
      failures[`watch ${code}`] = { count: 1, example };
    }
    watchers?.ended.clear();
    const events = encodeHistogram(watchers?.latency ?? newHistogram());
    this.#report({ type: "round", ...result, failures, events });
  }

  #next(client: number): NextCall {
    const turn = this.#turns[client] ?? client;
    this.#turns[client] = turn + 1;
    // The clients of a chain begin with its first step.
    const chained = (this.#chain ? turn - client : 0) % this.#steps.length;
    const step = this.#steps[this.#chain ? chained : (this.#order[turn % this.#order.length] ?? 0)];
    if (step === undefined) throw new Error("a profile without operations");
    return { template: step.template, name: this.#name(step.naming, client) };
  }

  #name(naming: Naming, client: number): number {
    if (naming === "made") return this.#lastNames[client] ?? 0;
    if (naming === "filled")
      return filledName(this.#filledTurn++ % Math.max(1, this.#setup.filled));
    const name = this.#names++;
    this.#lastNames[client] = name;
    return name;
  }
}

/** In an order that mixes them well and is always the same. */
function shuffled(items: number[]): number[] {
  let seed = 1;
  for (let i = items.length - 1; i > 0; i--) {
    seed = (seed * 48_271) % 2_147_483_647;
    const j = seed % (i + 1);
    [items[i], items[j]] = [items[j] ?? 0, items[i] ?? 0];
  }
  return items;
}

if (parentPort !== null) {
  const port = parentPort;
  const report = (message: ThreadReport) => port.postMessage(message);
  const fail = (error: unknown) => {
    report({ type: "failed", message: (error as Error).message });
    port.close();
  };
  const thread = new LoadThread(workerData as ThreadSetup, report);
  port.on("message", (command: ThreadCommand) => {
    thread.command(command).catch(fail);
  });
  thread.start().catch(fail);
}
