/**
 * The node's stream to the apiserver: liveness, status, usage and pod reports.
 *
 *     connecting ──open──▶ streaming ──break, or no answer in time──▶ pause of 50 ms..1 s
 *         ▲                                                             │
 *         └─────────────────────────────────────────────────────────────┘
 *
 * The first message of a stream carries everything, later ones what changed. A pod report is kept
 * and sent again on every new stream until the pod is forgotten, because only the newest one counts
 * and the apiserver may have lost it.
 */

import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Cancel, Clock, Log } from "../../../ha/runtime/types.ts";
import type {
  HeartbeatRequest,
  HeartbeatResponse,
  NodeStatus,
  NodeUsage,
  PodStatusReport,
  PodStatusResult,
} from "../../../proto/gen/core.ts";
import { Backoff, type Duplex, sleep } from "../../client/mod.ts";
import { kubeletLimits } from "../limits.ts";

export interface HeartbeatOptions {
  readonly nodeName: string;
  /** Absent: the node serves nothing. */
  readonly kubeletPort?: number | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /**
   * The longest pause between heartbeats; absent: what the apiserver asks for. The apiserver knows
   * how long it waits for a node, so a longer pause than it asks for is not kept.
   */
  readonly intervalMillis?: number | undefined;
  /** Uniform in 0..1. */
  readonly random: () => number;
  readonly open: (signal: AbortSignal) => Promise<Duplex<HeartbeatRequest, HeartbeatResponse>>;
  readonly status: () => NodeStatus;
  readonly usage: () => Promise<NodeUsage>;
  /** `latest`: it answers the newest report of the pod, not one that has been overtaken. */
  readonly result: (result: PodStatusResult, latest: boolean) => void;
  /** The apiserver knows no such node; resolves when it has been registered. */
  readonly register: () => Promise<void>;
}

export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #reports = new Map<string, PodStatusReport>();
  readonly #changed = new Set<string>();
  /** Message in which a pod's newest report left, on this stream. */
  readonly #sentIn = new Map<string, number>();
  #intervalMillis: number;
  #stream: Duplex<HeartbeatRequest, HeartbeatResponse> | undefined;
  #sequence = 0;
  #answered = 0;
  #lastStatus = "";
  #flushing = false;
  #tooSlowSaid = false;
  #tick: Cancel | undefined;
  #watchdog: Cancel | undefined;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#intervalMillis = options.intervalMillis ?? kubeletLimits.heartbeatMillis;
  }

  get connected(): boolean {
    return this.#stream !== undefined;
  }

  /** Sent at once, together with what else changes in this turn. */
  report(report: PodStatusReport): void {
    const uid = report.uid ?? "";
    this.#reports.set(uid, report);
    this.#changed.add(uid);
    this.#flushSoon();
  }

  forget(uid: string): void {
    this.#reports.delete(uid);
    this.#changed.delete(uid);
    this.#sentIn.delete(uid);
  }

  /** The node's status may have changed. */
  statusChanged(): void {
    this.#flushSoon();
  }

  /** Runs until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, random } = this.#options;
    const { reconnectFirstMillis, reconnectCeilingMillis } = kubeletLimits;
    const backoff = new Backoff(reconnectFirstMillis, reconnectCeilingMillis);
    while (!signal.aborted) {
      try {
        await this.#session(signal, backoff);
      } catch (error) {
        if (!signal.aborted) {
          const { message } = StatusError.from(error);
          log.warn("the heartbeat stream broke; connecting again", { error: message });
        }
      }
      if (signal.aborted) break;
      await sleep(clock, backoff.next() * (0.5 + 0.5 * random()), signal);
    }
  }

  async #session(signal: AbortSignal, backoff: Backoff): Promise<void> {
    const { clock, open } = this.#options;
    const stream = await open(signal);
    const stop = () => stream.cancel();
    signal.addEventListener("abort", stop, { once: true });
    this.#stream = stream;
    this.#sequence = 0;
    this.#answered = 0;
    this.#lastStatus = "";
    this.#sentIn.clear();
    for (const uid of this.#reports.keys()) this.#changed.add(uid);
    this.#tick = clock.every(this.#intervalMillis, () => void this.#beat());
    try {
      await this.#beat();
      for await (const response of stream.responses) {
        backoff.reset();
        this.#answered = Math.max(this.#answered, response.sequence ?? 0);
        this.#armWatchdog();
        await this.#handle(response);
      }
    } finally {
      signal.removeEventListener("abort", stop);
      this.#tick?.();
      this.#watchdog?.();
      this.#watchdog = undefined;
      this.#stream = undefined;
      stream.cancel();
    }
  }

  async #handle(response: HeartbeatResponse): Promise<void> {
    const { clock, log, result, register } = this.#options;
    for (const outcome of response.pods ?? []) {
      const code = outcome.code ?? 200;
      const uid = outcome.uid ?? "";
      const sentIn = this.#sentIn.get(uid) ?? Number.POSITIVE_INFINITY;
      result(outcome, !this.#changed.has(uid) && (response.sequence ?? 0) >= sentIn);
      if (code < 500 && code !== 429 && code !== 409) continue;
      log.warn("a pod's status was not written; it is sent again", {
        pod: `${outcome.namespace}/${outcome.name}`,
        code,
        message: outcome.message,
      });
      clock.after(kubeletLimits.reportRetryMillis, () => {
        if (!this.#reports.has(uid)) return;
        this.#changed.add(uid);
        this.#flushSoon();
      });
    }
    if (response.registered === false) {
      await register();
      this.#lastStatus = "";
      for (const uid of this.#reports.keys()) this.#changed.add(uid);
      this.#flushSoon();
    }
    this.#adoptInterval(response.intervalMillis);
  }

  #adoptInterval(asked: number | undefined): void {
    if (asked === undefined || asked <= 0) return;
    const { heartbeatMillisMin, heartbeatMillisMax } = kubeletLimits;
    const own = this.#options.intervalMillis ?? heartbeatMillisMax;
    if (own > asked && own < heartbeatMillisMax && !this.#tooSlowSaid) {
      this.#tooSlowSaid = true;
      this.#options.log.warn("the apiserver asks for heartbeats more often than configured", {
        configuredMillis: own,
        askedMillis: asked,
      });
    }
    const wanted = Math.min(own, asked);
    const millis = Math.min(heartbeatMillisMax, Math.max(heartbeatMillisMin, wanted));
    if (millis === this.#intervalMillis || this.#stream === undefined) return;
    this.#intervalMillis = millis;
    this.#tick?.();
    this.#tick = this.#options.clock.every(millis, () => void this.#beat());
  }

  /** A regular heartbeat, with usage. Never throws. */
  async #beat(): Promise<void> {
    const usage = await this.#options.usage().catch((error: unknown) => {
      this.#options.log.warn("the node's usage could not be measured", { error });
      return undefined;
    });
    this.#flush(usage, true);
  }

  #flushSoon(): void {
    if (this.#flushing || this.#stream === undefined) return;
    this.#flushing = true;
    this.#options.clock.soon(() => {
      this.#flushing = false;
      this.#flush(undefined, false);
    });
  }

  #flush(usage: NodeUsage | undefined, always: boolean): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    const status = this.#options.status();
    const text = JSON.stringify(status);
    const fresh = text !== this.#lastStatus;
    if (!fresh && this.#changed.size === 0 && !always) return;
    const first = this.#sequence === 0;
    const uids = [...this.#changed];
    this.#changed.clear();
    this.#lastStatus = text;
    for (let at = 0; at === 0 || at < uids.length; at += kubeletLimits.podReportsPerMessage) {
      const pods = uids
        .slice(at, at + kubeletLimits.podReportsPerMessage)
        .flatMap((uid) => this.#reports.get(uid) ?? []);
      const request: HeartbeatRequest = {
        nodeName: this.#options.nodeName,
        sequence: ++this.#sequence,
      };
      for (const { uid } of pods) this.#sentIn.set(uid ?? "", this.#sequence);
      if (pods.length > 0) request.pods = pods;
      if (at === 0 && fresh) request.status = status;
      if (at === 0 && usage !== undefined) request.usage = usage;
      const { kubeletPort } = this.#options;
      if (at === 0 && first && kubeletPort !== undefined) request.kubeletPort = kubeletPort;
      stream.send(request);
    }
    if (this.#watchdog === undefined) this.#armWatchdog();
  }

  /** Breaks the stream when something sent is not answered in time. */
  #armWatchdog(): void {
    this.#watchdog?.();
    this.#watchdog = undefined;
    const stream = this.#stream;
    if (stream === undefined || this.#answered >= this.#sequence) return;
    this.#watchdog = this.#options.clock.after(kubeletLimits.heartbeatAnswerMillis, () => {
      this.#options.log.warn("the apiserver does not answer heartbeats", {
        sent: this.#sequence,
        answered: this.#answered,
        code: Code.deadlineExceeded,
      });
      stream.cancel();
    });
  }
}
