/**
 * What to do next for a pod: desired containers against actual ones. Pure and level-based: called
 * again after every change, it never relies on what it said before.
 */
import type { Container, Pod } from "../../../proto/gen/core.ts";
import { isSidecar } from "../../kinds/facts.ts";
import type { Container as RuntimeContainer } from "../runtime/types.ts";
import { runsOf, shouldRestart, type Waiting } from "./status.ts";

export interface PlanFacts {
  readonly pod: Pod;
  readonly containers: readonly RuntimeContainer[];
  readonly started: (id: string, container: Container) => boolean;
  /** Milliseconds until this ended container may start again; 0: now. */
  readonly backoffRemaining: (name: string, finishedAt: number | undefined) => number;
  readonly backoffCurrent: (name: string) => number;
  /** Containers with a stop under way. */
  readonly stopping: (id: string) => boolean;
  /** The container runs something else than the pod asks for now. */
  readonly changed: (run: RuntimeContainer, container: Container) => boolean;
}

export interface Plan {
  /** In this order; `restart` counts against the backoff. */
  readonly start: readonly {
    readonly container: Container;
    readonly attempt: number;
    readonly restart: boolean;
  }[];
  /** Sidecars to end because the pod's work is done. */
  readonly stop: readonly RuntimeContainer[];
  /** Containers to end because the pod asks for something else now; they start again. */
  readonly replace: readonly RuntimeContainer[];
  /** Why containers wait, by name. */
  readonly waiting: ReadonlyMap<string, Waiting>;
  /** When to plan again, if nothing happens before; undefined: when something happens. */
  readonly againMillis: number | undefined;
  /** Everything has run its course: the phase is Succeeded or Failed. */
  readonly over: boolean;
}

export function planPod(facts: PlanFacts): Plan {
  const spec = facts.pod.spec ?? {};
  const inits = spec.initContainers ?? [];
  const mains = spec.containers ?? [];
  const planner = new Planner(facts);
  const begun = mains.some((one) => planner.latest(one) !== undefined);
  const mainsDone = begun && mains.every((one) => planner.finished(one, spec.restartPolicy));
  if (mainsDone) return planner.windDown(inits);
  let initialized = true;
  for (const container of inits) {
    if (isSidecar(container)) {
      const isUp = planner.keepRunning(container, "Always");
      if (!begun && !isUp) {
        initialized = false;
        break;
      }
      continue;
    }
    if (begun) continue; // init containers run once; their records may be gone by now
    const verdict = planner.initStep(container, spec.restartPolicy);
    if (verdict === "failed") return planner.windDown(inits);
    if (verdict === "wait") {
      initialized = false;
      break;
    }
  }
  if (initialized) for (const one of mains) planner.keepRunning(one, spec.restartPolicy);
  for (const one of spec.ephemeralContainers ?? []) planner.startOnce(one);
  return planner.plan(false);
}

class Planner {
  readonly #facts: PlanFacts;
  readonly #start: { container: Container; attempt: number; restart: boolean }[] = [];
  readonly #stop: RuntimeContainer[] = [];
  readonly #replace: RuntimeContainer[] = [];
  readonly #waiting = new Map<string, Waiting>();
  #again: number | undefined;

  constructor(facts: PlanFacts) {
    this.#facts = facts;
  }

  latest(container: Container): RuntimeContainer | undefined {
    return runsOf(this.#facts.containers, container.name ?? "").latest;
  }

  finished(container: Container, policy: string | undefined): boolean {
    const latest = this.latest(container);
    return (
      latest?.state === "exited" &&
      !shouldRestart(policy, latest.exitCode) &&
      !this.#facts.changed(latest, container)
    );
  }

  initStep(container: Container, policy: string | undefined): "done" | "wait" | "failed" {
    const latest = this.latest(container);
    if (latest?.state === "exited") {
      if (latest.exitCode === 0) return "done";
      if (policy === "Never") return "failed";
    }
    // An init container that failed is tried again whatever the policy, unless it is Never.
    this.keepRunning(container, "Always");
    return "wait";
  }

  /** A container for debugging runs once, whatever the others do. */
  startOnce(container: Container): void {
    const latest = this.latest(container);
    if (latest !== undefined && latest.state !== "created") return;
    this.#start.push({ container, attempt: latest?.attempt ?? 0, restart: false });
  }

  /** Starts it when it should run and does not. True: it runs and has started. */
  keepRunning(container: Container, policy: string | undefined): boolean {
    const name = container.name ?? "";
    const latest = this.latest(container);
    if (latest === undefined) {
      this.#start.push({ container, attempt: 0, restart: false });
      return false;
    }
    const changed = this.#facts.changed(latest, container);
    if (latest.state === "running") {
      if (changed) this.#replace.push(latest);
      return !changed && this.#facts.started(latest.id, container);
    }
    if (this.#facts.stopping(latest.id)) return false;
    if (latest.state === "created") {
      // Made by an instance that ended before it could start it: made anew.
      this.#start.push({ container, attempt: latest.attempt, restart: false });
      return false;
    }
    if (changed) {
      // Whatever the restart policy: this is the first run of what is wanted now.
      this.#start.push({ container, attempt: latest.attempt + 1, restart: false });
      return false;
    }
    if (!shouldRestart(policy, latest.exitCode)) return false;
    const remaining = this.#facts.backoffRemaining(name, latest.finishedAt);
    if (remaining <= 0) {
      this.#start.push({ container, attempt: latest.attempt + 1, restart: true });
      return false;
    }
    this.#again = Math.min(this.#again ?? Number.POSITIVE_INFINITY, remaining);
    const { name: pod, namespace, uid } = this.#facts.pod.metadata ?? {};
    const seconds = Math.round(this.#facts.backoffCurrent(name) / 1000);
    this.#waiting.set(name, {
      reason: "CrashLoopBackOff",
      message:
        `back-off ${formatSeconds(seconds)} restarting failed container=${name} ` +
        `pod=${pod}_${namespace}(${uid})`,
    });
    return false;
  }

  /** The work is done or cannot be done: sidecars end, last first. */
  windDown(inits: readonly Container[]): Plan {
    for (const container of inits.toReversed()) {
      const latest = this.latest(container);
      if (latest?.state === "running") {
        this.#stop.push(latest);
        break;
      }
    }
    return this.plan(this.#stop.length === 0);
  }

  plan(over: boolean): Plan {
    return {
      start: over ? [] : this.#start,
      stop: this.#stop,
      replace: this.#replace,
      waiting: this.#waiting,
      againMillis: this.#again,
      over,
    };
  }
}

/** As Go prints durations: 10s, 1m20s, 5m0s. */
function formatSeconds(seconds: number): string {
  if (seconds < 60) return `${seconds}s`;
  return `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
