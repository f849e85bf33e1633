import { assert } from "../assert.ts";
import type { Cancel, Clock, Log, MemberId, Peer, Runtime } from "../types.ts";
import { EventQueue, type Incarnation, type WorldEvent } from "./event-queue.ts";
import { defaultNetworkOptions, type NetworkOptions } from "./network-options.ts";
import { hashText, SeededRandom } from "./seeded-random.ts";
import { type ClockError, SimulatedClock } from "./simulated-clock.ts";
import {
  DiskContent,
  type DiskOptions,
  defaultDiskOptions,
  SimulatedDisk,
} from "./simulated-disk.ts";
import { collectingLog, LogCollector } from "./simulated-log.ts";
import { Endpoint, Fabric } from "./simulated-network.ts";

export interface WorldOptions {
  readonly network?: Partial<NetworkOptions>;
  readonly disk?: Partial<DiskOptions>;
  /** Clocks run fast or slow by up to so many parts per million. Default 200. */
  readonly clockDriftPpmMax?: number;
  /** Wall clocks are off by up to so much. Default 500. */
  readonly wallSkewMillisMax?: number;
  /** Lines kept per member. Default 200. */
  readonly logLines?: number;
}

export interface SimulatedRuntime extends Runtime {
  readonly clock: SimulatedClock;
  readonly disk: SimulatedDisk;
  readonly network: Endpoint;
}

interface Place {
  readonly id: MemberId;
  readonly name: string;
  readonly identity: string;
  readonly content: DiskContent;
  readonly clockError: ClockError;
  readonly collector: LogCollector;
  lives: number;
  incarnation: Incarnation | undefined;
  endpoint: Endpoint | undefined;
}

/** So many events in one instant mean that something schedules itself without end. */
const eventsPerInstantMax = 1_000_000;
/** Events armed per turn of Node's loop; microtasks run between any two of them. */
const eventsPerTurn = 64;

/**
 * A deterministic world of whole members: one queue of events, one seed.
 *
 * Everything above a {@link Runtime} runs in the event that called it, together with the microtasks
 * it leaves behind; nothing else runs meanwhile. So the same seed, and the same calls, give the
 * same events: {@link digest} tells.
 */
export class World {
  readonly seed: string;
  readonly random: SeededRandom;
  /** The clock of the test itself: it neither drifts nor pauses nor crashes. */
  readonly clock: Clock;
  readonly network: Fabric;
  readonly #queue = new EventQueue();
  readonly #places = new Map<MemberId, Place>();
  readonly #options: WorldOptions;
  #nowMicros = 0;
  #sequence = 0;
  #eventsThisInstant = 0;
  #delivered = 0;
  #digestLow = 0x811c9dc5;
  #digestHigh = 0x01000193;
  #running = false;

  constructor(seed: string | number, options: WorldOptions = {}) {
    this.seed = String(seed);
    this.#options = options;
    this.random = new SeededRandom(this.seed).stream("world");
    const now = (): number => this.#nowMicros;
    this.clock = new SimulatedClock({
      now,
      schedule: (delay, kind, run) => this.#schedule(undefined, delay, kind, run),
    });
    this.network = new Fabric(
      { now, schedule: (...event) => this.#schedule(...event) },
      new SeededRandom(this.seed).stream("network"),
      { ...defaultNetworkOptions, ...options.network },
    );
  }

  /** World time in milliseconds since its beginning. */
  get now(): number {
    return this.#nowMicros / 1_000;
  }

  /** Events delivered so far. */
  get delivered(): number {
    return this.#delivered;
  }

  /** Hash over time, kind, member and content of every event delivered so far. */
  get digest(): string {
    const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, "0");
    return hex(this.#digestHigh) + hex(this.#digestLow);
  }

  /** Starts a life of a member: its first, or the next one after a crash. Its disk is as it was. */
  createRuntime(id: MemberId, name: string, identity = `simulated-${id}`): SimulatedRuntime {
    const place = this.#places.get(id) ?? this.#found(id, name, identity);
    assert(!place.incarnation?.alive, `member ${name} is alive already`);
    const incarnation: Incarnation = { member: id, alive: true, pausedUntil: 0 };
    place.incarnation = incarnation;
    place.lives += 1;
    const streams = new SeededRandom(this.seed).stream(`member ${id} life ${place.lives}`);
    const now = (): number => this.#nowMicros;
    const host = {
      now,
      schedule: (delay: number, kind: string, run: () => void, content?: number) =>
        this.#schedule(incarnation, delay, kind, run, content),
    };
    place.endpoint = new Endpoint(id, place.identity, incarnation, this.network);
    const diskOptions = { ...defaultDiskOptions, ...this.#options.disk };
    return {
      clock: new SimulatedClock(host, place.clockError),
      random: streams.stream("member"),
      disk: new SimulatedDisk(place.content, host, streams.stream("disk"), diskOptions),
      network: place.endpoint,
      log: collectingLog(place.name, place.collector, now),
    };
  }

  /**
   * Ends the member's life at this instant: none of its events ever runs again, and its disk loses
   * a random suffix of what was not synced. With `powerLoss` its host dies too, and its peers learn
   * of it from silence only.
   */
  crash(id: MemberId, { powerLoss = false } = {}): void {
    const place = this.#place(id);
    assert(place.incarnation?.alive, `member ${place.name} is not alive`);
    place.incarnation.alive = false;
    place.content.crash();
    if (place.endpoint) this.network.crashed(place.endpoint, powerLoss);
    this.#record("crash", id, 0);
  }

  /** Crashes the member if it is alive, and gives its next life. */
  restart(id: MemberId): SimulatedRuntime {
    const place = this.#place(id);
    if (place.incarnation?.alive) this.crash(id);
    return this.createRuntime(id, place.name);
  }

  isAlive(id: MemberId): boolean {
    return this.#places.get(id)?.incarnation?.alive ?? false;
  }

  /** Stops the member for a while, as SIGSTOP does: what falls due meanwhile happens afterwards. */
  pause(id: MemberId, millis: number): void {
    const { incarnation, name } = this.#place(id);
    assert(incarnation?.alive, `member ${name} is not alive`);
    const until = this.#nowMicros + Math.round(millis * 1_000);
    incarnation.pausedUntil = Math.max(incarnation.pausedUntil, until);
    this.network.paused(id, incarnation);
  }

  /** The platter of a member's disk: for failures and corruption. */
  disk(id: MemberId): DiskContent {
    return this.#place(id).content;
  }

  /** The member as others should know it. */
  peer(id: MemberId): Peer {
    const { name, identity } = this.#place(id);
    return { id, name, addresses: [`${name}:1`], identity };
  }

  /** The last log lines of a member, oldest first. */
  logs(id: MemberId): string[] {
    return this.#place(id).collector.lines();
  }

  /** A log that goes into the collection of a member, for code around it. */
  log(id: MemberId): Log {
    const { name, collector } = this.#place(id);
    return collectingLog(name, collector, () => this.#nowMicros);
  }

  /** For the message of a failure: how to replay it, and what the members said last. */
  report(): string {
    const head = `seed ${this.seed}, ${this.#delivered} events, ${this.now} ms, ${this.digest}`;
    const members = [...this.#places.values()].map(({ name, collector, incarnation }) => {
      const state = incarnation?.alive ? "alive" : "dead";
      return `${name} (${state})\n${collector.lines().join("\n")}`;
    });
    return [head, ...members].join("\n\n");
  }

  /** Delivers one event and the microtasks it leaves. False: there was none. */
  async step(): Promise<boolean> {
    const before = this.#delivered;
    await this.#run(() => this.#delivered > before, Number.MAX_SAFE_INTEGER, false);
    return this.#delivered > before;
  }

  /** Lets world time pass. */
  async runFor(millis: number): Promise<void> {
    await this.#run(() => false, this.#nowMicros + Math.round(millis * 1_000), true);
  }

  /** Runs until the condition holds after some event; false: not within this much world time. */
  async runUntil(condition: () => boolean, withinMillis = 60_000): Promise<boolean> {
    const deadline = this.#nowMicros + Math.round(withinMillis * 1_000);
    await this.#run(condition, deadline, true);
    return condition();
  }

  /**
   * One event per `setImmediate`: Node runs all microtasks between two of them, and many of them in
   * one turn of its loop, so an event costs no system call.
   */
  #run(stop: () => boolean, deadline: number, passTime: boolean): Promise<void> {
    assert(!this.#running, "the world is running already");
    this.#running = true;
    return new Promise((resolve, reject) => {
      let armed = 0;
      let finished = false;
      const finish = (settle: () => void): void => {
        finished = true;
        this.#running = false;
        settle();
      };
      const tick = (): void => {
        armed -= 1;
        if (finished) return;
        try {
          if (stop()) {
            finish(resolve);
            return;
          }
          const event = this.#next(deadline);
          if (!event) {
            if (passTime) this.#nowMicros = deadline;
            finish(resolve);
            return;
          }
          this.#deliver(event);
        } catch (error) {
          finish(() => reject(error));
          return;
        }
        if (armed === 0) arm();
      };
      const arm = (): void => {
        for (; armed < eventsPerTurn; armed++) setImmediate(tick);
      };
      arm();
    });
  }

  #next(deadline: number): WorldEvent | undefined {
    for (;;) {
      const event = this.#queue.peek();
      if (!event || event.at > deadline) return undefined;
      this.#queue.pop();
      const { owner } = event;
      if (!event.run || owner?.alive === false) continue;
      if (owner && owner.pausedUntil > event.at) {
        // Queued again in the order in which they were due.
        event.at = owner.pausedUntil;
        event.sequence = this.#sequence++;
        this.#queue.push(event);
        continue;
      }
      return event;
    }
  }

  #deliver(event: WorldEvent): void {
    if (event.at > this.#nowMicros) this.#eventsThisInstant = 0;
    this.#eventsThisInstant += 1;
    assert(
      this.#eventsThisInstant <= eventsPerInstantMax,
      `time stands still at ${this.now} ms: "${event.kind}" schedules itself without end`,
    );
    this.#nowMicros = event.at;
    this.#delivered += 1;
    this.#record(event.kind, event.owner?.member ?? 0, event.content);
    const { run } = event;
    event.run = undefined;
    run?.();
  }

  #schedule(
    owner: Incarnation | undefined,
    delay: number,
    kind: string,
    run: () => void,
    content = 0,
  ): Cancel {
    const at = this.#nowMicros + delay;
    const event: WorldEvent = { at, sequence: this.#sequence++, kind, owner, content, run };
    this.#queue.push(event);
    return () => {
      event.run = undefined;
    };
  }

  #record(kind: string, member: number, content: number): void {
    this.#mix(this.#nowMicros | 0);
    this.#mix((this.#nowMicros / 2 ** 32) | 0);
    this.#mix(hashText(kind));
    this.#mix(member | 0);
    this.#mix((member / 2 ** 32) | 0);
    this.#mix(content);
  }

  #mix(word: number): void {
    this.#digestLow = Math.imul(this.#digestLow ^ word, 0x85ebca6b);
    this.#digestLow ^= this.#digestLow >>> 13;
    this.#digestHigh = Math.imul((this.#digestHigh + this.#digestLow) | 0, 0xc2b2ae35) ^ word;
    this.#digestHigh ^= this.#digestHigh >>> 16;
  }

  #found(id: MemberId, name: string, identity: string): Place {
    const streams = new SeededRandom(this.seed).stream(`place ${id}`);
    const drift = this.#options.clockDriftPpmMax ?? 200;
    const skew = this.#options.wallSkewMillisMax ?? 500;
    const clock = streams.stream("clock");
    const place: Place = {
      id,
      name,
      identity,
      content: new DiskContent(name, streams.stream("disk")),
      clockError: {
        drift: clock.between(-drift, drift) / 1e6,
        wallSkewMillis: clock.between(-skew, skew),
      },
      collector: new LogCollector(this.#options.logLines ?? 200),
      lives: 0,
      incarnation: undefined,
      endpoint: undefined,
    };
    this.#places.set(id, place);
    return place;
  }

  #place(id: MemberId): Place {
    const place = this.#places.get(id);
    assert(place, `the world has no member ${id}`);
    return place;
  }
}
