/** A target under load: its threads, the objects it needs, its rounds, and the clearing away. */
import { Worker } from "node:worker_threads";
import { CallError, LoadClient } from "./client/mod.ts";
import type {
  Pace,
  RoundResult,
  ThreadCommand,
  ThreadReport,
  ThreadSetup,
  Tick,
} from "./engine/messages.ts";
import { filledName, signName } from "./engine/names.ts";
import { SentTimes } from "./engine/sent-times.ts";
import type { Operation, Place } from "./operations.ts";
import type { Settings } from "./settings.ts";
import { protocols } from "./targets/mod.ts";
import type { TargetAddress } from "./targets/target.ts";

const connectMillisMax = 10_000;
const fillersMax = 32;
/** How long a new namespace may be unfit for objects: its service account is on the way. */
const settleMillisMax = 15_000;
const settlePauseMillis = 100;
const watchMillisMax = 30_000;
/** Threads are given so long for their last calls, beyond the calls' own deadline. */
const graceMillis = 10_000;

export class TargetRun {
  readonly to: TargetAddress;
  readonly #settings: Settings;
  readonly #place: Place;
  readonly #client: LoadClient;
  readonly #threads: Thread[] = [];
  readonly #stopped = new AbortController();
  /** There may be something of this run at the target. */
  #made = false;

  constructor(to: TargetAddress, settings: Settings, run: string) {
    this.to = to;
    this.#settings = settings;
    this.#place = { namespace: `load-${run}`, prefix: `load-${run}-x` };
    const { addresses, tls } = to;
    const { deadlineMillis } = settings;
    const protocol = protocols[to.protocol].wire;
    this.#client = new LoadClient({ addresses, tls, protocol, deadlineMillis });
  }

  /** Everything up to the first round. Throws an Error that says what the target refuses. */
  async prepare(): Promise<void> {
    const { profile } = this.#settings;
    const protocol = protocols[this.to.protocol];
    for (const { operation } of profile.mix) {
      if (protocol.kinds.includes(operation.kind)) continue;
      throw new Error(`it has no ${operation.kind}; this profile is for grpc and https targets`);
    }
    await this.#client.connected(connectMillisMax);
    this.#made = true;
    for (const template of protocol.before(this.to, this.#place)) await this.#client.ask(template);
    await this.#fill();
    await this.#tryOperations();
    await this.#startThreads();
  }

  async round(pace: Pace, millis: number, tick: (tick: Tick) => void): Promise<RoundResult[]> {
    const threads = this.#threads;
    const share = (thread: number): Pace => {
      if (pace.kind === "closed") {
        return { kind: "closed", clients: part(pace.clients, threads.length, thread) };
      }
      const atOnceMax = part(pace.atOnceMax, threads.length, thread);
      return { kind: "open", perSecond: pace.perSecond / threads.length, atOnceMax };
    };
    const within = millis + this.#settings.deadlineMillis + graceMillis;
    return await Promise.all(
      threads.map((thread, i) => thread.round(share(i), millis, tick, within)),
    );
  }

  /** The round under way ends early; the threads stay. */
  interrupt(): void {
    this.#stopped.abort();
    for (const thread of this.#threads) thread.send({ type: "stop" });
  }

  /** Removes what the load has made; answers what could not be. */
  async close(): Promise<string | undefined> {
    for (const thread of this.#threads) thread.send({ type: "close" });
    const { after } = protocols[this.to.protocol];
    try {
      for (const template of this.#made ? after(this.to, this.#place) : []) {
        await this.#client.ask(template);
      }
      return undefined;
    } catch (error) {
      const { namespace } = this.#place;
      return `${this.to.url}: ${namespace} is left there: ${(error as Error).message}`;
    } finally {
      this.#client.close();
      await Promise.all(this.#threads.map((thread) => thread.gone));
    }
  }

  #template(operation: Operation) {
    return protocols[this.to.protocol].template(this.to, this.#place, operation);
  }

  async #fill(): Promise<void> {
    const { profile, objects } = this.#settings;
    if (profile.fill === undefined) return;
    const { kind } = profile.fill;
    const template = this.#template({ verb: "create", kind, naming: "filled" });
    await this.#settled(() => this.#client.ask(template, filledName(0)));
    let next = 1;
    const filler = async () => {
      while (next < objects && !this.#stopped.signal.aborted) {
        await this.#client.ask(template, filledName(next++));
      }
    };
    await Promise.all(Array.from({ length: fillersMax }, filler));
  }

  /** Each operation once, so that a target without it is refused before the load begins. */
  async #tryOperations(): Promise<void> {
    for (const { operation } of this.#settings.profile.mix) {
      const name = operation.naming === "filled" ? filledName(0) : signName(0);
      await this.#settled(() => this.#client.ask(this.#template(operation), name));
    }
  }

  /** A namespace that was made a moment ago may refuse pods until its service account is there. */
  async #settled(ask: () => Promise<unknown>): Promise<void> {
    const until = performance.now() + settleMillisMax;
    for (;;) {
      try {
        await ask();
        return;
      } catch (error) {
        const early = error instanceof CallError && /service ?account/i.test(error.message);
        if (!early || performance.now() > until) throw error;
        await new Promise((resolve) => setTimeout(resolve, settlePauseMillis));
      }
    }
  }

  async #startThreads(): Promise<void> {
    const { profileName, threads, connections, watchers, deadlineMillis } = this.#settings;
    const { slowMillis, objects } = this.#settings;
    const sentTimes = SentTimes.memory();
    for (let index = 0; index < threads; index++) {
      this.#threads.push(
        new Thread({
          ...{ to: this.to, profile: profileName, place: this.#place, index, sentTimes },
          connections: Math.max(1, part(connections, threads, index)),
          watchers: part(watchers, threads, index),
          ...{ filled: objects, deadlineMillis, slowMillis },
        }),
      );
    }
    await Promise.all(this.#threads.map((thread) => thread.connected));
    await this.#awaitWatchers();
  }

  /** Makes objects until every watcher has seen one. */
  async #awaitWatchers(): Promise<void> {
    const { profile, watchers } = this.#settings;
    const watching = Promise.all(this.#threads.map((thread) => thread.watching));
    if (profile.watchers === undefined || watchers === 0) {
      await watching;
      return;
    }
    const { kind } = profile.watchers;
    const template = this.#template({ verb: "create", kind, naming: "new" });
    let all = false;
    const seen = watching.then(() => {
      all = true;
    });
    const until = performance.now() + watchMillisMax;
    for (let i = 1; !all; i++) {
      if (performance.now() > until) throw new Error("its watches show nothing");
      await this.#client.ask(template, signName(i));
      await Promise.race([seen, new Promise((resolve) => setTimeout(resolve, settlePauseMillis))]);
    }
  }
}

/** The share of one of several, of a whole that need not be divisible. */
function part(whole: number, parts: number, index: number): number {
  return Math.floor(whole / parts) + (index < whole % parts ? 1 : 0);
}

class Thread {
  readonly connected: Promise<void>;
  readonly watching: Promise<void>;
  readonly gone: Promise<void>;
  readonly #worker: Worker;
  #reported: (report: ThreadReport) => void = () => {};
  #failed: (error: Error) => void = () => {};

  constructor(setup: ThreadSetup) {
    this.#worker = new Worker(new URL("engine/thread.ts", import.meta.url), { workerData: setup });
    const connected = Promise.withResolvers<void>();
    const watching = Promise.withResolvers<void>();
    this.connected = connected.promise;
    this.watching = watching.promise;
    this.gone = new Promise((resolve) => this.#worker.once("exit", () => resolve()));
    const fail = (error: Error) => {
      connected.reject(error);
      watching.reject(error);
      this.#failed(error);
    };
    // A caller that waits for the later step hears there of a failure of the earlier one.
    this.watching.catch(() => {});
    this.#worker.on("error", fail);
    this.#worker.on("message", (report: ThreadReport) => {
      if (report.type === "connected") connected.resolve();
      else if (report.type === "watching") watching.resolve();
      else if (report.type === "failed") fail(new Error(report.message));
      else this.#reported(report);
    });
  }

  send(command: ThreadCommand): void {
    this.#worker.postMessage(command);
  }

  round(
    pace: Pace,
    millis: number,
    tick: (tick: Tick) => void,
    withinMillis: number,
  ): Promise<RoundResult> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`a thread has not ended its round within ${withinMillis} ms`));
      }, withinMillis);
      this.#failed = (error) => {
        clearTimeout(timer);
        reject(error);
      };
      this.#reported = (report) => {
        if (report.type === "tick") tick(report);
        if (report.type !== "round") return;
        clearTimeout(timer);
        resolve(report);
      };
      this.send({ type: "round", pace, millis });
    });
  }
}
