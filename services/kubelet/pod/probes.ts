/**
 * Probes of running containers.
 *
 * Each probe of each run has its own loop: wait initialDelaySeconds from the container's start,
 * then run every periodSeconds; an outcome counts after successThreshold or failureThreshold equal ones
 * in a row. Liveness and readiness wait for the startup probe. A failed liveness or startup probe
 * ends its loop: the run is about to be killed.
 */
import type { Cancel } from "../../../ha/runtime/types.ts";
import type { Container, Pod, Probe } from "../../../proto/gen/core.ts";
import type { LoopClock } from "../../client/mod.ts";
import type { Container as RuntimeContainer } from "../runtime/types.ts";

export const ProbeKind = {
  startup: "startupProbe",
  liveness: "livenessProbe",
  readiness: "readinessProbe",
} as const;
export type ProbeKind = (typeof ProbeKind)[keyof typeof ProbeKind];

export interface ProbeOutcome {
  readonly ok: boolean;
  readonly message: string;
}

export interface ProbeTarget {
  readonly pod: Pod;
  readonly podIP: string;
  readonly container: Container;
  readonly id: string;
}

/** Runs one probe once; resolves within its timeout, and never throws. */
export type ProbeRunner = (
  probe: Probe,
  target: ProbeTarget,
  timeoutMillis: number,
) => Promise<ProbeOutcome>;

export interface ProbeListener {
  /** Readiness or startup changed. */
  changed(): void;
  /** Every failure, for events. */
  unhealthy(kind: ProbeKind, container: Container, message: string): void;
  /** Liveness or startup has failed for good. */
  failed(kind: ProbeKind, id: string, probe: Probe, message: string): void;
}

interface Run {
  readonly target: ProbeTarget;
  readonly startedAt: number;
  started: boolean;
  ready: boolean;
  closed: boolean;
  readonly timers: Set<Cancel>;
}

export class PodProbes {
  readonly #clock: LoopClock;
  readonly #runner: ProbeRunner;
  readonly #listener: ProbeListener;
  readonly #runs = new Map<string, Run>();

  constructor(clock: LoopClock, runner: ProbeRunner, listener: ProbeListener) {
    this.#clock = clock;
    this.#runner = runner;
    this.#listener = listener;
  }

  /** Follows what runs now: begins probes of new runs, ends those of others. */
  follow(
    pod: Pod,
    podIP: string,
    running: readonly { readonly container: Container; readonly run: RuntimeContainer }[],
  ): void {
    const ids = new Set(running.map(({ run }) => run.id));
    for (const id of [...this.#runs.keys()]) if (!ids.has(id)) this.#close(id);
    for (const { container, run } of running) {
      if (this.#runs.has(run.id)) continue;
      const entry: Run = {
        target: { pod, podIP, container, id: run.id },
        startedAt: run.startedAt ?? run.createdAt,
        started: container.startupProbe === undefined,
        ready: container.readinessProbe === undefined,
        closed: false,
        timers: new Set(),
      };
      this.#runs.set(run.id, entry);
      if (container.startupProbe !== undefined) this.#loop(entry, ProbeKind.startup);
      else this.#afterStartup(entry);
    }
  }

  started(id: string, container: Container): boolean {
    return this.#runs.get(id)?.started ?? container.startupProbe === undefined;
  }

  ready(id: string, container: Container): boolean {
    return this.#runs.get(id)?.ready ?? container.readinessProbe === undefined;
  }

  /** A pod that ends is asked nothing any more, and is not ready. */
  close(): void {
    for (const id of [...this.#runs.keys()]) this.#close(id);
  }

  #close(id: string): void {
    const run = this.#runs.get(id);
    if (run === undefined) return;
    run.closed = true;
    for (const cancel of run.timers) cancel();
    this.#runs.delete(id);
  }

  #afterStartup(run: Run): void {
    const { container } = run.target;
    if (container.livenessProbe !== undefined) this.#loop(run, ProbeKind.liveness);
    if (container.readinessProbe !== undefined) this.#loop(run, ProbeKind.readiness);
  }

  #loop(run: Run, kind: ProbeKind): void {
    const probe = run.target.container[kind] ?? {};
    const periodMillis = Math.max(1, probe.periodSeconds ?? 10) * 1000;
    const timeoutMillis = Math.max(1, probe.timeoutSeconds ?? 1) * 1000;
    const initialMillis =
      run.startedAt + (probe.initialDelaySeconds ?? 0) * 1000 - this.#clock.wallMillis();
    let streak = 0;
    let lastOk: boolean | undefined;
    const schedule = (millis: number) => {
      if (run.closed) return;
      const cancel = this.#clock.after(millis, () => {
        run.timers.delete(cancel);
        void once();
      });
      run.timers.add(cancel);
    };
    const once = async () => {
      const begun = this.#clock.monotonicMillis();
      const outcome = await this.#runner(probe, run.target, timeoutMillis);
      if (run.closed) return;
      streak = outcome.ok === lastOk ? streak + 1 : 1;
      lastOk = outcome.ok;
      if (!outcome.ok) this.#listener.unhealthy(kind, run.target.container, outcome.message);
      const needed = outcome.ok ? (probe.successThreshold ?? 1) : (probe.failureThreshold ?? 3);
      if (streak >= needed && this.#settled(run, kind, probe, outcome)) return;
      schedule(Math.max(0, periodMillis - (this.#clock.monotonicMillis() - begun)));
    };
    schedule(Math.max(0, Math.min(initialMillis, 2 ** 31 - 1)));
  }

  /** An outcome counts. True: this loop is over. */
  #settled(run: Run, kind: ProbeKind, probe: Probe, outcome: ProbeOutcome): boolean {
    if (kind === ProbeKind.readiness) {
      if (run.ready !== outcome.ok) {
        run.ready = outcome.ok;
        this.#listener.changed();
      }
      return false;
    }
    if (!outcome.ok) {
      this.#listener.failed(kind, run.target.id, probe, outcome.message);
      return true;
    }
    if (kind === ProbeKind.liveness) return false;
    run.started = true;
    this.#afterStartup(run);
    this.#listener.changed();
    return true;
  }
}
