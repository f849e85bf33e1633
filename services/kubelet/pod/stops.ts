/**
 * The stops of a pod's containers. A stop runs beside the worker, so that a shorter grace or a
 * deletion is heeded while one is under way.
 */
import { isSidecar } from "../../kinds/facts.ts";
import { kubeletLimits } from "../limits.ts";
import type { Container as RuntimeContainer } from "../runtime/types.ts";
import { containerNamed, type WorkerView } from "./context.ts";
import { runHook } from "./hooks.ts";

interface Stop {
  deadline: number;
  readonly abortHook: AbortController;
}

export class ContainerStops {
  readonly #view: WorkerView;
  readonly #stops = new Map<string, Stop>();

  constructor(view: WorkerView) {
    this.#view = view;
  }

  underWay(id: string): boolean {
    return this.#stops.has(id);
  }

  /** Begins to stop, or hastens a stop under way. Never throws; wakes the worker at the end. */
  begin(run: RuntimeContainer, graceMillis: number): void {
    const { context, log } = this.#view;
    const { clock, runtime } = context;
    if (run.state === "exited") return;
    const failed = (error: unknown) => log.error("a container could not be stopped", { error });
    const deadline = clock.monotonicMillis() + graceMillis;
    const known = this.#stops.get(run.id);
    if (known !== undefined) {
      if (deadline >= known.deadline) return;
      known.deadline = deadline;
      known.abortHook.abort();
      runtime.stopContainer(run.id, graceMillis).catch(failed);
      return;
    }
    const stop: Stop = { deadline, abortHook: new AbortController() };
    this.#stops.set(run.id, stop);
    const work = async () => {
      await this.#preStop(run, stop, graceMillis);
      if (this.#view.closed()) return;
      const left = stop.deadline - clock.monotonicMillis();
      const floor = Math.min(graceMillis, kubeletLimits.graceAfterHookMillis);
      await runtime.stopContainer(
        run.id,
        stop.abortHook.signal.aborted ? Math.max(0, left) : Math.max(left, floor),
      );
    };
    const retries = `stop ${run.id}`;
    const over = () => {
      this.#stops.delete(run.id);
      this.#view.wake();
    };
    work().then(
      () => {
        this.#view.retriesOver(retries);
        over();
      },
      (error: unknown) => {
        failed(error);
        const text = `error killing pod: ${(error as Error).message}`;
        this.#view.event("Warning", "FailedKillPod", text, run.name);
        // A runtime that has died is not asked again at once.
        clock.after(this.#view.retryMillis(retries), over);
      },
    );
  }

  async #preStop(run: RuntimeContainer, stop: Stop, graceMillis: number): Promise<void> {
    const pod = this.#view.pod();
    const container = containerNamed(pod, run.name);
    const hook = container?.lifecycle?.preStop;
    if (hook === undefined || container === undefined || graceMillis <= 0) return;
    if (run.state !== "running") return;
    const target = { pod, podIP: this.#view.podIP(), container, id: run.id };
    const { runtime, clock } = this.#view.context;
    const { signal } = stop.abortHook;
    const failure = await runHook(hook, target, runtime, clock, graceMillis, signal);
    if (failure !== undefined) {
      this.#view.event("Warning", "FailedPreStopHook", `PreStopHook failed: ${failure}`, run.name);
    }
  }

  /** Main containers together, then sidecars, last first. True: something still runs. */
  beginAll(graceMillis: number): boolean {
    const runs = this.#view.runs().filter((run) => run.state !== "exited");
    if (runs.length === 0) return this.#stops.size > 0;
    const sidecars = (this.#view.pod().spec?.initContainers ?? []).filter(isSidecar).reverse();
    const names = new Set(sidecars.map((container) => container.name));
    const mains = runs.filter((run) => !names.has(run.name));
    const last = sidecars.flatMap(({ name }) => runs.filter((run) => run.name === name));
    const now = mains.length > 0 ? mains : last.slice(0, 1);
    for (const run of graceMillis <= 0 ? runs : now) {
      if (!this.#stops.has(run.id)) {
        this.#view.event("Normal", "Killing", `Stopping container ${run.name}`, run.name);
      }
      this.begin(run, graceMillis);
    }
    return true;
  }

  /** Ends the hooks; the containers run on. */
  close(): void {
    for (const stop of this.#stops.values()) stop.abortHook.abort();
  }
}
