/**
 * One seeded run of a whole control plane: three members, an apiserver with its watch cache on each,
 * two schedulers and two controller-managers above them, kubelets and a user. Members and components
 * suffer faults; then everything is healed, and the cluster must become what was asked for.
 */
import { SeededRandom } from "../../../ha/runtime/simulated/mod.ts";
import type { Log } from "../../../ha/runtime/types.ts";
import { Violation } from "../../../services/drill/checker/violation.ts";
import { settle } from "../../client/fake-clock.ts";
import { admin } from "../../client/in-process.ts";
import { quietLog } from "../../client/quiet-log.ts";
import { between, randomChoice } from "../chance.ts";
import { Cluster } from "../cluster.ts";
import { type FaultName, torment } from "../faults.ts";
import { observe } from "../truth.ts";
import {
  assertNoDoubleBind,
  assertNoLostPod,
  assertNoRelist,
  preemptionsIn,
  unsettled,
} from "./checks.ts";
import {
  type Component,
  controllerManager,
  type Started,
  scheduler,
  startComponent,
} from "./components.ts";
import { type Evidence, newEvidence } from "./evidence.ts";
import { Masters } from "./masters.ts";
import { SimulatedProcess } from "./process.ts";
import { SimulatedTransport, type Weather } from "./transport.ts";
import { Kubelets, User } from "./workload.ts";

export interface ControlPlaneOptions {
  readonly seed: number | string;
  /** World time under faults. */
  readonly millis?: number;
  readonly faults?: readonly FaultName[];
}

export interface ControlPlaneResult {
  readonly digest: string;
  readonly revision: number;
  readonly calls: number;
  readonly repeats: number;
  readonly bindings: number;
  readonly batches: number;
  readonly preemptions: number;
  readonly pods: number;
  readonly leaderships: number;
  readonly elections: number;
  readonly faults: readonly string[];
}

export const controlPlaneMillis = 10_000;

/** What stops or cuts off members; damaged disks are the matter of the store's own mode. */
const memberFaults: readonly FaultName[] = [
  "crash",
  "crashLeader",
  "crashLeader",
  "crashAll",
  "restart",
  "partition",
  "bridge",
  "oneWay",
  "pause",
  "cut",
  "badLinks",
  "slowDisk",
  "wallJump",
];

/** Throws a Violation, or whatever broke a member or a component. */
export async function runControlPlane(options: ControlPlaneOptions): Promise<ControlPlaneResult> {
  const { random } = Math;
  // Backoffs in services/client draw from it; within a run it is seeded like everything else.
  const seeded = new SeededRandom(String(options.seed)).stream("Math.random");
  Math.random = () => seeded.below(2 ** 30) / 2 ** 30;
  const run = new Run(options);
  try {
    return await run.result();
  } catch (error) {
    if (error instanceof Error) error.message += `\n${run.story()}`;
    throw error;
  } finally {
    run.end();
    // What the end has set going draws its last random numbers before the next run begins.
    await settle();
    observe(undefined);
    Math.random = random;
  }
}

class Run {
  readonly #options: ControlPlaneOptions;
  readonly #cluster: Cluster;
  readonly #masters: Masters;
  readonly #evidence: Evidence = newEvidence();
  readonly #weather: Weather = { trouble: true };
  readonly #faults: string[] = [];
  readonly #components: Started[] = [];
  readonly #kubelets: Kubelets;
  readonly #user: User;
  readonly #processes: SimulatedProcess[] = [];
  #lives = 0;

  constructor(options: ControlPlaneOptions) {
    this.#options = options;
    this.#cluster = new Cluster(options.seed, { members: 3, world: { logLines: 40 } });
    this.#masters = new Masters(this.#cluster);
    const people = (name: string) => {
      const process = this.#process(name);
      const { clock, over } = process;
      return { transport: this.#transport(process, admin), clock, over };
    };
    const user = people("user");
    this.#user = new User(user.transport, user.clock, this.#chance("wishes"));
    const kubelets = people("kubelets");
    this.#kubelets = new Kubelets(kubelets);
  }

  async result(): Promise<ControlPlaneResult> {
    const cluster = this.#cluster;
    cluster.startAll();
    await this.#until(
      () => cluster.leader !== undefined,
      20_000,
      () => "a leader",
    );
    for (const component of [scheduler, scheduler, controllerManager, controllerManager]) {
      this.#start(component);
    }
    this.#user.run().catch((error: unknown) => this.#broken(error));
    this.#kubelets.run().catch((error: unknown) => this.#broken(error));
    await this.#storm();
    await this.#calm();
    const { events } = cluster.truth;
    this.#countRelists();
    assertNoDoubleBind(events, this.#evidence);
    assertNoLostPod(events, this.#evidence);
    assertNoRelist(this.#evidence);
    cluster.assertEqualStates();
    const { batches, bindings, calls, created, leaderships, repeats } = this.#evidence;
    return {
      digest: cluster.world.digest,
      revision: cluster.truth.revision,
      calls,
      repeats,
      bindings: bindings.filter(({ acknowledged }) => acknowledged).length,
      batches,
      preemptions: preemptionsIn(events),
      pods: created.size,
      leaderships,
      elections: cluster.elections,
      faults: this.#faults,
    };
  }

  story(): string {
    const components = this.#components.map(({ process, leading }) => {
      return `${process.name}: ${process.alive ? "alive" : "dead"}${leading ? ", leads" : ""}`;
    });
    return [...this.#faults, ...components, this.#cluster.world.report()].join("\n");
  }

  /** Nothing of this run goes on. */
  end(): void {
    for (const process of this.#processes) process.end();
  }

  #start(component: Component): void {
    const name = `${component.user}-${++this.#lives}`;
    const process = this.#process(name);
    const chance = this.#chance(`${name} decisions`);
    const started = startComponent(
      component,
      process,
      this.#transport(process, { CN: component.user }),
      {
        log: this.#log(),
        random: () => chance.below(2 ** 30) / 2 ** 30,
        evidence: this.#evidence,
        // It ends by itself after a stall; its supervisor starts it again.
        ended: () => this.#restart(started),
      },
    );
    this.#components.push(started);
  }

  /** A process that is dead or useless is replaced by a new one. */
  #restart(started: Started): void {
    const index = this.#components.indexOf(started);
    if (index < 0) return;
    this.#components.splice(index, 1);
    this.#evidence.relists += started.informers.relists;
    started.process.kill();
    this.#cluster.world.clock.after(300, () => this.#start(started.component));
  }

  async #storm(): Promise<void> {
    const { world } = this.#cluster;
    const millis = this.#options.millis ?? controlPlaneMillis;
    const end = world.now + millis;
    let stop = false;
    let running = 2;
    const over = () => {
      running--;
    };
    const mix = this.#options.faults ?? memberFaults;
    torment(this.#cluster, this.#chance("faults"), mix, () => stop, this.#faults).then(
      over,
      (error: unknown) => this.#broken(error),
    );
    this.#tormentComponents(() => stop).then(over, (error: unknown) => this.#broken(error));
    await this.#until(
      () => world.now >= end,
      millis + 10_000,
      () => "the faults to run",
    );
    stop = true;
    await this.#until(
      () => running === 0,
      10_000,
      () => "the last fault to end",
    );
  }

  async #tormentComponents(stopped: () => boolean): Promise<void> {
    const chance = this.#chance("component faults");
    const { world } = this.#cluster;
    for (;;) {
      await new Promise<void>((resolve) => {
        world.clock.after(between(chance, 500, 2_500), resolve);
      });
      if (stopped()) return;
      const leaders = this.#components.filter(({ leading }) => leading);
      const all = chance.below(4) > 0 && leaders.length > 0 ? leaders : this.#components;
      if (all.length === 0) continue;
      const victim = randomChoice(chance, all);
      const { name } = victim.process;
      if (chance.below(2) === 0) {
        this.#faults.push(`${world.now.toFixed(0)} ms: ${name} is killed`);
        this.#restart(victim);
      } else {
        const millis = between(chance, 200, 5_000);
        this.#faults.push(`${world.now.toFixed(0)} ms: ${name} is paused for ${millis} ms`);
        victim.process.pause(millis);
      }
    }
  }

  /** Everything is healed; the wishes end, and must come true. */
  async #calm(): Promise<void> {
    const cluster = this.#cluster;
    this.#weather.trouble = false;
    cluster.world.network.heal();
    for (const seat of cluster.seats) cluster.revive(seat);
    this.#user.stopped = true;
    await this.#until(
      () => this.#user.idle,
      40_000,
      () => "the user's last wish",
    );
    let left: string[] = [];
    let judged = -1;
    const settled = () => {
      const { revision } = cluster.truth;
      if (revision !== judged) left = unsettled(cluster.truth.events);
      judged = revision;
      return left.length === 0;
    };
    await this.#until(settled, 60_000, () => `the wishes to come true: ${left.join("; ")}`);
    await this.#until(
      () => cluster.converged,
      20_000,
      () => "all members to apply the same index",
    );
  }

  #countRelists(): void {
    const factories = [this.#kubelets, ...this.#components];
    for (const { informers } of factories) this.#evidence.relists += informers.relists;
  }

  #process(name: string): SimulatedProcess {
    const process = new SimulatedProcess(name, this.#cluster.world.clock);
    this.#processes.push(process);
    return process;
  }

  #transport(process: SimulatedProcess, subject: typeof admin): SimulatedTransport {
    return new SimulatedTransport({
      masters: this.#masters,
      process,
      subject,
      chance: this.#chance(`way of ${process.name}`),
      evidence: this.#evidence,
      weather: this.#weather,
    });
  }

  #log(): Log {
    return quietLog;
  }

  #chance(name: string): SeededRandom {
    return new SeededRandom(String(this.#options.seed)).stream(name);
  }

  #broken(error: unknown): void {
    this.#cluster.failure ??= error;
  }

  async #until(condition: () => boolean, millis: number, what: () => string): Promise<void> {
    const cluster = this.#cluster;
    const done = await cluster.world.runUntil(() => cluster.broken || condition(), millis);
    cluster.check();
    if (!done) throw new Violation(`progress: waited ${millis} ms for ${what()}`);
  }
}
