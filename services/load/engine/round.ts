/** One round of calls of one thread, at a closed or an open pace. */
import { Call, type LoadClient, okCode, type RequestTemplate } from "../client/mod.ts";
import { encodeHistogram, type Histogram, newHistogram, record } from "./histogram.ts";
import type { Pace, RoundResult, Tick } from "./messages.ts";

/** The next call of a client. */
export interface NextCall {
  readonly template: RequestTemplate;
  readonly name: number;
}

export interface RoundOptions {
  readonly client: LoadClient;
  readonly pace: Pace;
  readonly millis: number;
  readonly slowMillis: number;
  /** `client`: from 0. */
  readonly next: (client: number) => NextCall;
  /** Is told the name before each call is sent. */
  readonly sending: (name: number) => void;
}

/**
 * Timers of this process are late by up to this; a call that is sent within it counts from then, so
 * that the timer's lateness is not taken for the server's.
 */
const timerMillis = 2;
/** A call that fails at once is not followed by the next one at once. */
const pauseMillis = 10;
const tickLatenciesMax = 8_192;

export class Round {
  readonly #options: RoundOptions;
  readonly #began = performance.now();
  readonly #until: number;
  readonly #latency: Histogram = newHistogram();
  readonly #service: Histogram = newHistogram();
  readonly #failures = new Map<string, { count: number; example: string }>();
  readonly #free: Call[] = [];
  readonly #tickLatencies = new Float32Array(tickLatenciesMax);
  #tick = { ok: 0, slow: 0, failed: 0, latencies: 0 };
  #active = 0;
  #calls = 0;
  /** Open pace: calls that have been taken from the schedule. */
  #scheduled = 0;
  #unsent = 0;
  #stamp = 0;
  #lastEnd = 0;
  #stopped = false;
  #finish: () => void = () => {};

  constructor(options: RoundOptions) {
    this.#options = options;
    this.#until = this.#began + options.millis;
  }

  async run(): Promise<Omit<RoundResult, "events">> {
    const before = process.threadCpuUsage();
    const done = new Promise<void>((resolve) => {
      this.#finish = resolve;
    });
    const { pace } = this.#options;
    const count = pace.kind === "closed" ? pace.clients : pace.atOnceMax;
    for (let client = 0; client < count; client++) {
      const call = new Call((ended) => this.#ended(ended));
      call.tag = client;
      this.#free.push(call);
    }
    if (pace.kind === "closed") for (const call of this.#free.splice(0)) this.#send(call, now());
    else this.#pump(pace.perSecond);
    await done;
    const { user, system } = process.threadCpuUsage(before);
    return {
      millis: Math.max(this.#lastEnd, Math.min(now(), this.#until)) - this.#began,
      calls: this.#calls,
      failures: Object.fromEntries(this.#failures),
      unsent: this.#unsent,
      cpuMicros: user + system,
      latency: encodeHistogram(this.#latency),
      service: encodeHistogram(this.#service),
    };
  }

  /** No call is begun any more; those under way end by themselves. */
  stop(): void {
    this.#stopped = true;
    this.#settle();
  }

  takeTick(): Omit<Tick, "events"> {
    const { ok, slow, failed, latencies } = this.#tick;
    this.#tick = { ok: 0, slow: 0, failed: 0, latencies: 0 };
    return { ok, slow, failed, latencies: this.#tickLatencies.slice(0, latencies) };
  }

  get #over(): boolean {
    return this.#stopped || now() >= this.#until;
  }

  #send(call: Call, dueAt: number): void {
    const { client, next, sending } = this.#options;
    const { template, name } = next(call.tag);
    call.dueAt = dueAt;
    this.#active++;
    sending(name);
    client.send(template, call, name, this.#stamp++);
  }

  #ended(call: Call): void {
    this.#active--;
    const at = now();
    this.#lastEnd = at;
    this.#count(call, at);
    const { pace } = this.#options;
    if (call.code !== okCode && at - call.sentAt < 1) {
      setTimeout(() => this.#next(call, pace), pauseMillis);
    } else this.#next(call, pace);
  }

  #next(call: Call, pace: Pace): void {
    if (this.#over) this.#settle();
    else if (pace.kind === "closed") this.#send(call, now());
    else {
      this.#free.push(call);
      this.#sendDue(pace.perSecond);
    }
  }

  #count(call: Call, at: number): void {
    this.#calls++;
    const latency = at - call.dueAt;
    record(this.#latency, latency);
    record(this.#service, at - call.sentAt);
    const tick = this.#tick;
    if (tick.latencies < tickLatenciesMax) this.#tickLatencies[tick.latencies++] = latency;
    if (call.code === okCode) {
      if (latency > this.#options.slowMillis) tick.slow++;
      else tick.ok++;
      return;
    }
    tick.failed++;
    const known = this.#failures.get(call.code);
    if (known === undefined) this.#failures.set(call.code, { count: 1, example: call.message });
    else known.count++;
  }

  #pump(perSecond: number): void {
    if (this.#over) {
      this.#settle();
      return;
    }
    this.#sendDue(perSecond);
    setTimeout(() => this.#pump(perSecond), 1);
  }

  #sendDue(perSecond: number): void {
    const at = now();
    for (;;) {
      const due = this.#began + (this.#scheduled * 1_000) / perSecond;
      if (due > at || due >= this.#until) return;
      const call = this.#free.pop();
      if (call === undefined) return;
      this.#scheduled++;
      this.#send(call, at - due <= timerMillis ? at : due);
    }
  }

  /** When nothing is under way after the end, the round is over. */
  #settle(): void {
    if (!this.#over || this.#active > 0) return;
    const { pace } = this.#options;
    if (pace.kind === "open") this.#countUnsent(pace.perSecond);
    this.#finish();
  }

  /** They have waited for at least so long: without them, the slowest would be left out. */
  #countUnsent(perSecond: number): void {
    const end = Math.min(now(), this.#until);
    for (;;) {
      const due = this.#began + (this.#scheduled * 1_000) / perSecond;
      if (due >= end - timerMillis) return;
      this.#scheduled++;
      this.#unsent++;
      record(this.#latency, end - due);
    }
  }
}

function now(): number {
  return performance.now();
}
