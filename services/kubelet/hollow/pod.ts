/**
 * A pod whose containers are nothing but times: what runs, ends and starts again follows the plan
 * and the status of real pods (plan.ts, status.ts); how long each takes, the stage file.
 *
 *     waiting ──startDelay──▶ running ──runTime──▶ ended ──▶ over, or again after the backoff
 *                                └──deleted──▶ leaving ──stopDelay──▶ reported as removed
 */
import type { Cancel } from "../../../ha/runtime/types.ts";
import type { Container, Pod, PodStatus, PodStatusReport } from "../../../proto/gen/core.ts";
import type { LoopClock } from "../../client/mod.ts";
import { equalJson, isSidecar, parseTime, podRequests } from "../../kinds/facts.ts";
import type { ResourceAmounts } from "../../kinds/mod.ts";
import { RestartBackoff } from "../pod/backoff.ts";
import { type Plan, planPod } from "../pod/plan.ts";
import type { HostIPs, PodIPs } from "../pod/pod-ips.ts";
import { generateStatus, isTerminal } from "../pod/status.ts";
import type { Container as Run } from "../runtime/types.ts";
import type { DelayRange, Stage, Stages } from "./stages.ts";

export interface HollowPodContext extends HostIPs {
  readonly clock: LoopClock;
  /** Uniform in 0..1. */
  readonly random: () => number;
  readonly stages: Stages;
  readonly report: (report: PodStatusReport) => void;
}

export const hollowRuntime = "hollow";

/** Runs that are kept of one container, for its last state. */
const runsKept = 2;

type Failure = { readonly reason: string; readonly message: string };

export class HollowPod {
  readonly #context: HollowPodContext;
  readonly #stage: Stage;
  readonly #podIPs: PodIPs;
  readonly #backoff = new RestartBackoff();
  readonly #timers = new Set<Cancel>();
  /** Containers that are on their way up. */
  readonly #starting = new Set<string>();
  #pod: Pod;
  #requests: ResourceAmounts | undefined;
  #runs: Run[] = [];
  #status: PodStatus | undefined;
  #failure: Failure | undefined;
  #reported = "";
  #leaving = false;
  #again: Cancel | undefined;

  constructor(context: HollowPodContext, pod: Pod, podIPs: PodIPs) {
    this.#context = context;
    this.#pod = pod;
    this.#podIPs = podIPs;
    const { namespace = "", labels = {} } = pod.metadata ?? {};
    this.#stage = context.stages.of({ namespace, labels });
    this.#status = pod.status?.containerStatuses === undefined ? undefined : pod.status;
    this.#adopt(pod.status);
    this.#watchDeadline();
    this.#sync();
  }

  /** Takes part in what the node uses. */
  get running(): boolean {
    return this.#runs.some(({ state }) => state === "running");
  }

  /** Computed once for each change of the spec: heartbeats ask for it over and over. */
  get requests(): ResourceAmounts {
    this.#requests ??= podRequests(this.#pod);
    return this.#requests;
  }

  update(pod: Pod): void {
    if (!equalJson(this.#pod.spec, pod.spec)) this.#requests = undefined;
    this.#pod = pod;
    // Most changes are the echo of what was reported.
    if (pod.metadata?.deletionTimestamp !== undefined && !this.#leaving) this.#sync();
  }

  close(): void {
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
    this.#again?.();
  }

  /** Goes on from what an earlier process has reported. */
  #adopt(status: PodStatus | undefined): void {
    const { initContainerStatuses = [], containerStatuses = [] } = status ?? {};
    for (const { name = "", state, restartCount } of [
      ...initContainerStatuses,
      ...containerStatuses,
    ]) {
      const attempt = restartCount ?? 0;
      const startedAt = parseTime(state?.running?.startedAt ?? state?.terminated?.startedAt);
      if (startedAt === undefined) continue;
      const run = this.#newRun(this.#containerNamed(name) ?? { name }, attempt, startedAt);
      this.#runs.push(run);
      const { terminated } = state ?? {};
      if (terminated === undefined) this.#endLater(run, startedAt);
      else {
        const finishedAt = parseTime(terminated.finishedAt) ?? startedAt;
        this.#end(run.id, terminated.exitCode ?? 0, finishedAt);
      }
    }
  }

  #sync(): void {
    this.#again?.();
    this.#again = undefined;
    if (this.#pod.metadata?.deletionTimestamp !== undefined) this.#leave();
    else if (!isTerminal(this.#status)) this.#proceed();
  }

  #proceed(): void {
    let plan = this.#plan();
    // What takes no time lets the next thing happen in the same turn.
    for (let round = 0; round < roundsMax && this.#step(plan); round++) plan = this.#plan();
    if (this.#failure !== undefined) {
      this.#publish({ waiting: new Map(), over: true });
      return;
    }
    if (plan.againMillis !== undefined) {
      this.#again = this.#context.clock.after(plan.againMillis, () => this.#sync());
    }
    const nothingYet = this.#runs.length === 0 && !plan.over;
    if (!nothingYet) this.#publish(plan);
  }

  #plan(): Plan {
    const now = this.#context.clock.wallMillis();
    return planPod({
      pod: this.#pod,
      containers: this.#runs,
      started: () => true,
      backoffRemaining: (name, finishedAt) => this.#backoff.remaining(name, finishedAt, now),
      backoffCurrent: (name) => this.#backoff.current(name),
      stopping: () => false,
      changed: () => false,
    });
  }

  /** True: something runs, or has ended, that did not before. */
  #step({ start, stop }: Plan): boolean {
    let begun = stop.length > 0;
    for (const { id } of stop) this.#end(id, 0);
    for (const { container, attempt, restart } of start) {
      const name = container.name ?? "";
      if (this.#starting.has(name)) continue;
      if (restart) this.#backoff.next(name, this.#context.clock.wallMillis());
      const wait = this.#delay(this.#stage.startDelay);
      if (wait === 0) {
        this.#run(container, attempt);
        begun = true;
        continue;
      }
      this.#starting.add(name);
      this.#after(wait, () => {
        this.#starting.delete(name);
        if (this.#leaving || this.#failure) return;
        this.#run(container, attempt);
        this.#sync();
      });
    }
    return begun;
  }

  #run(container: Container, attempt: number): void {
    const now = this.#context.clock.wallMillis();
    const run = this.#newRun(container, attempt, now);
    const others = this.#runs.filter(({ name }) => name !== run.name);
    const own = this.#runs.filter(({ name }) => name === run.name);
    this.#runs = [...others, ...own.slice(1 - runsKept), run];
    if (this.#isInit(container)) this.#end(run.id, 0);
    else this.#endLater(run, now);
  }

  #newRun({ name = "", image = "" }: Container, attempt: number, at: number): Run {
    const podUid = this.#pod.metadata?.uid ?? "";
    return {
      ...{ id: `${podUid}-${name}-${attempt}`, podUid, name, attempt, image, imageId: image },
      ...{ specHash: "", state: "running", createdAt: at, startedAt: at },
    };
  }

  /** Ends the run when its time is over; a sidecar ends with its pod. */
  #endLater(run: Run, startedAt: number): void {
    const { runTime, failureShare, exitCode, failureExitCode } = this.#stage;
    const container = this.#containerNamed(run.name);
    if (runTime === undefined || (container !== undefined && isSidecar(container))) return;
    const code = this.#context.random() < failureShare ? failureExitCode : exitCode;
    const ran = this.#context.clock.wallMillis() - startedAt;
    this.#after(Math.max(0, this.#delay(runTime) - ran), () => {
      if (this.#leaving || this.#failure) return;
      this.#end(run.id, code);
      this.#sync();
    });
  }

  #end(id: string, exitCode: number, finishedAt = this.#context.clock.wallMillis()): void {
    this.#runs = this.#runs.map((run) => {
      if (run.id !== id || run.state === "exited") return run;
      const reason = exitCode === 0 ? "Completed" : "Error";
      return { ...run, state: "exited", finishedAt, exitCode, reason };
    });
  }

  #watchDeadline(): void {
    const seconds = this.#pod.spec?.activeDeadlineSeconds;
    if (seconds === undefined || isTerminal(this.#status)) return;
    const now = this.#context.clock.wallMillis();
    const started = parseTime(this.#status?.startTime) ?? now;
    this.#after(Math.max(0, started + seconds * 1_000 - now), () => {
      if (this.#leaving || isTerminal(this.#status)) return;
      const message = "Pod was active on the node longer than the specified deadline";
      this.#failure = { reason: "DeadlineExceeded", message };
      for (const { id } of this.#runs) this.#end(id, killed);
      this.#sync();
    });
  }

  #leave(): void {
    if (this.#leaving) return;
    this.#leaving = true;
    const grace = (this.#pod.metadata?.deletionGracePeriodSeconds ?? 0) * 1_000;
    const wanted = this.#delay(this.#stage.stopDelay);
    const gone = () => {
      for (const { id } of this.#runs) this.#end(id, wanted > grace ? killed : 0);
      this.#publish({ waiting: new Map(), over: true }, true);
    };
    const wait = this.running ? Math.min(grace, wanted) : 0;
    if (wait === 0) gone();
    else this.#after(wait, gone);
  }

  #publish({ waiting, over }: Pick<Plan, "waiting" | "over">, removed = false): void {
    const leaving = this.#leaving;
    const status = generateStatus({
      pod: this.#pod,
      runtimeName: hollowRuntime,
      containers: this.#runs,
      waiting,
      ready: () => !leaving,
      started: () => true,
      sandboxReady: !over,
      podIPs: this.#podIPs,
      hostIPs: this.#context,
      now: this.#context.clock.wallMillis(),
      previous: this.#status,
      failure: this.#failure,
      over,
      message: () => undefined,
    });
    this.#status = status;
    const text = JSON.stringify([status, removed]);
    if (text === this.#reported) return;
    this.#reported = text;
    const { namespace = "", name = "", uid = "" } = this.#pod.metadata ?? {};
    this.#context.report({ namespace, name, uid, status, ...(removed && { removed }) });
  }

  #containerNamed(name: string): Container | undefined {
    const { initContainers = [], containers = [] } = this.#pod.spec ?? {};
    return [...initContainers, ...containers].find((each) => each.name === name);
  }

  #isInit(container: Container): boolean {
    const { initContainers = [] } = this.#pod.spec ?? {};
    return initContainers.includes(container) && !isSidecar(container);
  }

  #delay({ least, most }: DelayRange): number {
    return least + this.#context.random() * (most - least);
  }

  #after(millis: number, act: () => void): void {
    const cancel = this.#context.clock.after(millis, () => {
      this.#timers.delete(cancel);
      act();
    });
    this.#timers.add(cancel);
  }
}

/** Steps of a pod in one turn: a pod may have many init containers. */
const roundsMax = 100;

/** Exit code of what signal 9 has ended. */
const killed = 137;
