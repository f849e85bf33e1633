/** The whole load: targets made ready, their rounds in turn, and everything cleared away. */
import type { Pace } from "./engine/messages.ts";
import { Progress } from "./progress.ts";
import { climb } from "./ramp.ts";
import type { Mode, Settings } from "./settings.ts";
import { TargetResult, Timeline } from "./target-result.ts";
import { TargetRun } from "./target-run.ts";
import type { TargetAddress } from "./targets/target.ts";

/** An open pace has at most so many calls under way; the others wait, and their waiting counts. */
const atOnceMax = 2_000;

export interface LoadOutcome {
  readonly results: readonly TargetResult[];
  readonly timeline: Timeline;
  readonly interrupted: boolean;
  /** What could not be cleared away. */
  readonly left: readonly string[];
}

/** A target that cannot be loaded, before anything was measured. */
export class TargetError extends Error {}

export class Load {
  readonly #settings: Settings;
  readonly #runs: readonly TargetRun[];
  readonly #progress = new Progress(process.stderr);
  #interrupted = false;

  constructor(settings: Settings, targets: readonly TargetAddress[]) {
    this.#settings = settings;
    const run = Date.now().toString(36);
    this.#runs = targets.map((to, i) => new TargetRun(to, settings, `${run}${i}`));
  }

  /** What has been measured so far is told, and cleared away. */
  interrupt(): void {
    this.#interrupted = true;
    for (const run of this.#runs) run.interrupt();
  }

  async run(): Promise<LoadOutcome> {
    const results = this.#runs.map(({ to }) => new TargetResult(to.url));
    const { durationMillis } = this.#settings;
    let timeline = new Timeline(durationMillis * results.length);
    let left: (string | undefined)[] = [];
    try {
      for (const run of this.#runs) {
        this.#progress.begin(`preparing ${run.to.url}`, 10_000);
        await run.prepare().catch((error: unknown) => {
          throw new TargetError(`target ${run.to.url}: ${(error as Error).message}`);
        });
      }
      await this.#warmUp();
      timeline = new Timeline(durationMillis * results.length);
      await this.#measure(results, timeline);
    } finally {
      this.#progress.end();
      left = await Promise.all(this.#runs.map((run) => run.close()));
    }
    const said = left.filter((text) => text !== undefined);
    return { results, timeline, interrupted: this.#interrupted, left: said };
  }

  async #warmUp(): Promise<void> {
    const { warmupMillis, mode } = this.#settings;
    if (warmupMillis === 0) return;
    for (const run of this.#runs) {
      if (this.#interrupted) return;
      this.#progress.begin(`warming up ${run.to.url}`, warmupMillis);
      await run.round(paceOf(mode), warmupMillis, (tick) => this.#progress.tick(tick));
    }
  }

  async #measure(results: readonly TargetResult[], timeline: Timeline): Promise<void> {
    const { rounds, durationMillis, mode } = this.#settings;
    const turns = mode.kind === "ramp" ? 1 : rounds;
    for (let turn = 0; turn < turns; turn++) {
      for (const [i, run] of this.#runs.entries()) {
        const result = results[i];
        if (this.#interrupted || result === undefined) return;
        const step = (pace: Pace, millis: number, into: TargetResult) =>
          this.#step(run, pace, millis, into, timeline);
        if (mode.kind === "ramp") {
          const { sloMillis } = this.#settings;
          const stopped = () => this.#interrupted;
          await climb({ result, durationMillis, sloMillis, atOnceMax, step, stopped });
        } else await step(paceOf(mode), durationMillis / rounds, result);
      }
    }
  }

  async #step(
    run: TargetRun,
    pace: Pace,
    millis: number,
    into: TargetResult,
    timeline: Timeline,
  ): Promise<void> {
    const offered = pace.kind === "open" ? ` at ${Math.round(pace.perSecond)}/s` : "";
    this.#progress.begin(`${this.#settings.profileName} ${run.to.url}${offered}`, millis);
    const results = await run.round(pace, millis, (tick) => {
      into.events += tick.events;
      this.#progress.tick(tick);
      timeline.add(run.to.url, tick);
    });
    into.add(results);
  }
}

function paceOf(mode: Mode): Pace {
  if (mode.kind === "rate") return { kind: "open", perSecond: mode.perSecond, atOnceMax };
  return { kind: "closed", clients: mode.kind === "clients" ? mode.clients : 32 };
}
