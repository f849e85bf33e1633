/** One seeded run: faults for safety, then health and the demand for progress. */
import type { LimitOverrides } from "../../ha/member/mod.ts";
import { type NetworkOptions, SeededRandom } from "../../ha/runtime/simulated/mod.ts";
import { Violation } from "../../services/drill/checker/violation.ts";
import { assertWatchGuarantees } from "../../services/drill/checker/watch-checks.ts";
import { BankClient } from "./bank.ts";
import type { Caller } from "./caller.ts";
import { Cluster } from "./cluster.ts";
import { Compactor } from "./compactor.ts";
import { assertCountersStep, CounterClient } from "./counters.ts";
import { everyFault, type FaultName, torment } from "./faults.ts";
import { assertFenced, FencedClient } from "./fencing.ts";
import type { RecordedOperation } from "./history.ts";
import { assertPastTrue, HistoryReader } from "./history-reader.ts";
import {
  assertExactlyOnce,
  assertLinearizable,
  assertNoLostWrite,
  assertReadsNeverGoBack,
  assertReadsTrue,
  assertStrictlySerializable,
  Timeline,
} from "./kv-checks.ts";
import { assertLeasesLastLong, LeaseClient, leasedKeysLeft } from "./leases.ts";
import { Operator } from "./operator.ts";
import { RegisterClient } from "./registers.ts";
import { observe } from "./truth.ts";
import { SimulatedWatcher } from "./watcher.ts";

export interface RunOptions {
  readonly seed: number | string;
  /** World time under faults. */
  readonly millis?: number;
  readonly members?: number;
  /** Members are exchanged during the run. */
  readonly churn?: boolean;
  readonly faults?: readonly FaultName[];
  readonly limits?: LimitOverrides;
  readonly network?: Partial<NetworkOptions>;
  /** The members alone compare their states. */
  readonly blind?: boolean;
}

export interface RunResult {
  readonly digest: string;
  readonly members: number;
  readonly operations: number;
  readonly answered: number;
  readonly elections: number;
  readonly events: number;
  readonly faults: readonly string[];
}

export const defaultMillis = 8_000;
/**
 * The members compare their states several times in every run, and read nearly all of their logs
 * back from the disk.
 */
const simLimits: LimitOverrides = {
  corruptCheckMillis: 700,
  logBytesHeld: 512,
  logReleaseStep: 3,
};

/** Short logs and queues, so that snapshots and catching up are everyday events. */
const shortLimits: LimitOverrides = {
  logEntriesKept: 40,
  logEntriesKeptMin: 20,
  logEntriesSlack: 40,
  snapshotChunkBytes: 2_048,
};
const shortWatchLimits = {
  maxWatchers: 100,
  maxQueuedEvents: 16,
  maxQueuedBytes: 64 * 1024,
  maxHeldBytes: 256 * 1024,
  catchUpPageRecords: 8,
};

/** Throws a Violation, or whatever broke a member. */
export async function runSeed(options: RunOptions): Promise<RunResult> {
  const run = new Run(options);
  try {
    return await run.result();
  } catch (error) {
    if (error instanceof Error) error.message += `\n${run.story()}`;
    throw error;
  } finally {
    observe(undefined);
  }
}

class Run {
  readonly #options: RunOptions;
  readonly #cluster: Cluster;
  readonly #history: RecordedOperation[] = [];
  readonly #callers: Caller[] = [];
  readonly #leases: LeaseClient[] = [];
  readonly #watchers: SimulatedWatcher[] = [];
  readonly #faults: string[] = [];
  readonly #historyReader: HistoryReader;
  readonly #churn: boolean;

  constructor(options: RunOptions) {
    this.#options = options;
    const chance = this.#chance("shape");
    // Mostly three, sometimes five, now and then one alone.
    const dice = chance.below(10);
    const members = options.members ?? (dice === 0 ? 1 : dice < 3 ? 5 : 3);
    const short = chance.below(2) === 0;
    this.#churn = options.churn ?? (members === 3 && !options.faults && chance.below(3) === 0);
    const limits = { ...simLimits, ...(options.limits ?? (short ? shortLimits : {})) };
    this.#cluster = new Cluster(options.seed, {
      members,
      world: { logLines: 60, ...(options.network && { network: options.network }) },
      member: { limits, watchLimits: shortWatchLimits },
      blind: options.blind,
      stable: !this.#churn,
    });
    this.#historyReader = new HistoryReader("historian", this.#cluster, this.#chance("historian"));
  }

  async result(): Promise<RunResult> {
    const cluster = this.#cluster;
    cluster.startAll();
    this.#people();
    await this.#storm();
    this.#heal();
    for (const caller of this.#callers) caller.stopped = true;
    const idle = () => this.#callers.every((caller) => caller.idle);
    await this.#until(idle, 40_000, "the clients to end");
    await this.#progress();
    this.#judge();
    await this.#settle();
    this.#judgeWatchers();
    const answered = this.#history.filter((op) => op.revision !== undefined);
    return {
      digest: cluster.world.digest,
      members: cluster.seats.length,
      operations: this.#history.length,
      answered: answered.length,
      elections: cluster.elections,
      events: cluster.world.delivered,
      faults: this.#faults,
    };
  }

  story(): string {
    return [...this.#faults, this.#cluster.world.report()].join("\n");
  }

  #chance(name: string): SeededRandom {
    return new SeededRandom(String(this.#options.seed)).stream(name);
  }

  #people(): void {
    const cluster = this.#cluster;
    const history = this.#history;
    const chance = (name: string) => this.#chance(name);
    for (const name of ["r0", "r1", "r2", "r3"]) {
      this.#callers.push(new RegisterClient(name, cluster, chance(name), history));
    }
    for (const name of ["b0", "b1"]) {
      this.#callers.push(new BankClient(name, cluster, chance(name), history));
    }
    for (const name of ["n0", "n1"]) {
      this.#callers.push(new CounterClient(name, cluster, chance(name), history));
    }
    for (const name of ["f0", "f1"]) {
      this.#callers.push(new FencedClient(name, cluster, chance(name)));
    }
    for (const name of ["l0", "l1", "l2"]) {
      this.#leases.push(new LeaseClient(name, cluster, chance(name)));
    }
    this.#callers.push(...this.#leases, new Compactor("compactor", cluster, chance("compactor")));
    this.#callers.push(this.#historyReader);
    if (this.#churn) this.#callers.push(new Operator("operator", cluster, chance("operator")));
    this.#watchers.push(
      new SimulatedWatcher("watcher of all", cluster, chance("w0"), {}),
      new SimulatedWatcher("watcher of the bank", cluster, chance("w1"), {
        prefix: "/bank/",
        progress: true,
      }),
      new SimulatedWatcher("slow watcher", cluster, chance("w2"), { slowMillis: 120 }),
    );
    for (const caller of [...this.#callers, ...this.#watchers]) {
      caller.run().catch((error: unknown) => this.#broken(error));
    }
  }

  async #storm(): Promise<void> {
    const { world } = this.#cluster;
    let stop = false;
    let running = 2;
    const mix = this.#options.faults ?? everyFault;
    for (const name of ["faults", "more faults"]) {
      torment(this.#cluster, this.#chance(name), mix, () => stop, this.#faults).then(
        () => {
          running--;
        },
        (error: unknown) => this.#broken(error),
      );
    }
    const millis = this.#options.millis ?? defaultMillis;
    const end = world.now + millis;
    await this.#until(() => world.now >= end, millis + 10_000, "the faults to run");
    stop = true;
    await this.#until(() => running === 0, 10_000, "the last fault to end");
  }

  #heal(): void {
    this.#cluster.world.network.heal();
    for (const seat of this.#cluster.seats) this.#cluster.revive(seat);
  }

  /** A healthy cluster elects a leader, answers, and becomes equal everywhere. */
  async #progress(): Promise<void> {
    const cluster = this.#cluster;
    await this.#until(() => cluster.leader !== undefined, 20_000, "a leader");
    cluster.retireStrangers();
    const client = new RegisterClient("progress", cluster, this.#chance("progress"), this.#history);
    client.run().catch((error: unknown) => this.#broken(error));
    const written = () =>
      this.#history.some((op) => op.client === "progress" && op.written && op.revision);
    await this.#until(written, 20_000, "a write after everything was healed");
    client.stopped = true;
    await this.#until(() => client.idle, 20_000, "the last client to end");
    await this.#until(
      () => leasedKeysLeft(cluster.truth.events).size === 0,
      15_000,
      "abandoned leases to end",
    );
    await this.#until(() => cluster.converged, 20_000, "all members to apply the same index");
  }

  async #settle(): Promise<void> {
    const last = this.#cluster.truth.revision;
    const lastOf = (watcher: SimulatedWatcher) =>
      this.#cluster.truth.events.findLast((event) => watcher.concerns(event))?.revision ?? 0;
    const owed = this.#watchers.map((watcher) => Math.min(last, lastOf(watcher)));
    const complete = () => this.#watchers.every((watcher, i) => watcher.next > (owed[i] ?? 0));
    await this.#until(complete, 20_000, "the watchers to catch up");
    for (const watcher of this.#watchers) watcher.stopped = true;
  }

  #judge(): void {
    const { events } = this.#cluster.truth;
    const timeline = new Timeline(events);
    const history = this.#history;
    this.#cluster.assertEqualStates();
    assertNoLostWrite(history, timeline);
    assertExactlyOnce(events);
    assertReadsTrue(history, timeline);
    assertStrictlySerializable(history);
    assertReadsNeverGoBack(history);
    assertLinearizable(history);
    assertCountersStep(events);
    assertFenced(events);
    const leases = this.#leases.flatMap(({ records }) => records);
    assertLeasesLastLong(leases, events);
    assertPastTrue(this.#historyReader, events);
    this.#judgeWatchers();
  }

  #judgeWatchers(): void {
    const { events } = this.#cluster.truth;
    for (const watcher of this.#watchers) {
      const concerning = events.filter((event) => watcher.concerns(event));
      assertWatchGuarantees(watcher, concerning);
    }
  }

  #broken(error: unknown): void {
    this.#cluster.failure ??= error;
  }

  async #until(condition: () => boolean, withinMillis: number, what: string): Promise<void> {
    const cluster = this.#cluster;
    const done = await cluster.world.runUntil(() => cluster.broken || condition(), withinMillis);
    cluster.check();
    if (!done) throw new Violation(`progress: waited ${withinMillis} ms for ${what}`);
  }
}
