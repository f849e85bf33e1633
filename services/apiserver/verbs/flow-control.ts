import { assert } from "../../../ha/runtime/assert.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Clock } from "../../../ha/runtime/types.ts";
import { tooManyRequests } from "../errors.ts";
import { limits } from "../limits.ts";
import type { RequestInfo } from "../request-info.ts";
import { flowOf, type PriorityLevel, priorityLevelOf, priorityLevels } from "./priority-levels.ts";

export interface FlowControlOptions {
  /** Requests under way at once, over all levels (upstream `--max-requests-inflight`). */
  readonly seats: number;
  /** Requests of one flow that may wait for a seat; beyond it they are refused. */
  readonly queueLength: number;
  /** How long a request waits at most. */
  readonly queueMillis: number;
  /** Times the wait. */
  readonly clock: Pick<Clock, "after">;
}

interface Waiter {
  readonly admit: () => void;
}

/** The signal says that the caller has left. It is asked for only when the caller must wait. */
interface Caller {
  readonly signal: AbortSignal | undefined;
}

class Level {
  readonly priority: PriorityLevel;
  /** Seats that the level always gets. */
  readonly nominal: number;
  /** Seats that no other level may use. */
  readonly reserved: number;
  executing = 0;
  waiting = 0;
  /** Flows with waiting requests, the one whose turn is next first. */
  readonly flows = new Map<string, Waiter[]>();

  constructor(priority: PriorityLevel, nominal: number) {
    this.priority = priority;
    this.nominal = nominal;
    this.reserved = Math.ceil(nominal * (1 - priority.lendable));
  }
}

/**
 * Shares the apiserver among priority levels, and each level among its flows (API Priority and
 * Fairness). A level's own seats are always its own; seats that others leave idle may be borrowed as
 * far as those lend them. A request without a seat waits in its flow's queue, flows take turns; it
 * is refused when the queue is full or its time is up, and told when to come back.
 */
export class FlowControl {
  readonly #options: FlowControlOptions;
  readonly #levels: readonly Level[];
  readonly #byPriority = new Map<PriorityLevel, Level>();
  #executing = 0;

  constructor(options: FlowControlOptions) {
    this.#options = options;
    const all: readonly PriorityLevel[] = Object.values(priorityLevels);
    const shares = all.reduce((sum, level) => sum + level.shares, 0);
    this.#levels = all.map((level) => {
      return new Level(level, Math.max(1, Math.floor((options.seats * level.shares) / shares)));
    });
    for (const level of this.#levels) this.#byPriority.set(level.priority, level);
  }

  /** Waits for a seat; the answer gives it back. Throws TooManyRequests. */
  enter(request: RequestInfo, caller: Caller): (() => void) | Promise<() => void> {
    const priority = priorityLevelOf(request);
    if (priority === undefined) return () => {};
    const level = this.#byPriority.get(priority);
    assert(level !== undefined, "every priority level has seats");
    if (level.waiting === 0 && this.#hasSeat(level)) return this.#seat(level);
    return this.#wait(level, flowOf(request), caller.signal);
  }

  #hasSeat(level: Level): boolean {
    if (level.executing < level.nominal) return true;
    let free = this.#options.seats - this.#executing;
    for (const other of this.#levels) {
      if (other !== level) free -= Math.max(0, other.reserved - other.executing);
    }
    return free > 0;
  }

  #seat(level: Level): () => void {
    level.executing += 1;
    this.#executing += 1;
    let seated = true;
    return () => {
      if (!seated) return;
      seated = false;
      level.executing -= 1;
      this.#executing -= 1;
      this.#dispatch();
    };
  }

  #wait(level: Level, flow: string, signal: AbortSignal | undefined): Promise<() => void> {
    const queue = level.flows.get(flow) ?? [];
    const { clock, queueLength, queueMillis } = this.#options;
    if (queue.length >= queueLength) {
      throw refusal(level, `${queueLength} requests of this user are waiting already`);
    }
    level.flows.set(flow, queue);
    level.waiting += 1;
    return new Promise((resolve, reject) => {
      const settle = () => {
        cancel();
        signal?.removeEventListener("abort", leave);
        level.waiting -= 1;
      };
      const waiter: Waiter = {
        admit: () => {
          settle();
          resolve(this.#seat(level));
        },
      };
      const give = (error: StatusError) => {
        queue.splice(queue.indexOf(waiter), 1);
        if (queue.length === 0) level.flows.delete(flow);
        settle();
        reject(error);
      };
      const leave = () => give(new StatusError(Code.cancelled, "the caller has left"));
      const cancel = clock.after(queueMillis, () => {
        give(refusal(level, `no request ended for ${queueMillis} ms`));
      });
      signal?.addEventListener("abort", leave, { once: true });
      queue.push(waiter);
    });
  }

  /** Seats are given level by level, within a level flow by flow in turn. */
  #dispatch(): void {
    for (const level of this.#levels) {
      while (level.waiting > 0 && this.#hasSeat(level)) {
        const [flow, queue] = level.flows.entries().next().value ?? [];
        const waiter = queue?.shift();
        assert(flow !== undefined && waiter !== undefined, "a flow that waits has a request");
        level.flows.delete(flow);
        if (queue !== undefined && queue.length > 0) level.flows.set(flow, queue);
        waiter.admit();
      }
    }
  }
}

function refusal({ priority, nominal }: Level, why: string): StatusError {
  return tooManyRequests(
    `Too many requests, please try again later: priority level "${priority.name}" has ` +
      `${nominal} of the apiserver's seats, and ${why}`,
    limits.retryAfterSeconds,
  );
}
