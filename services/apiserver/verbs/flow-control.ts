import { assert } from "../../../ha/runtime/assert.ts";
import { MetricsRegistry } from "../../../ha/runtime/metrics.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Clock } from "../../../ha/runtime/types.ts";
import type {
  PriorityLevelConfiguration,
  PriorityLevelConfigurationSpec,
} from "../../../proto/gen/flowcontrol.ts";
import { tooManyRequests } from "../errors.ts";
import { limits } from "../limits.ts";
import type { RequestInfo } from "../request-info.ts";
import { flowDefaults } from "./flow-defaults.ts";
import { FlowMetrics } from "./flow-metrics.ts";
import {
  compileSchemas,
  completed,
  type FlowConfiguration,
  type MatchedSchema,
} from "./priority-levels.ts";

export interface FlowControlOptions {
  /** Requests under way at once, over all levels (upstream `--max-requests-inflight`). */
  readonly seats: number;
  /** Requests of one flow that may wait for a seat; beyond it they are refused. */
  readonly queueLength: number;
  /** How long a request waits at most. */
  readonly queueMillis: number;
  /** Counts who is served and who is refused. */
  readonly metrics?: MetricsRegistry | undefined;
  /** Times the wait. */
  readonly clock: Pick<Clock, "after">;
}

interface Waiter {
  readonly seats: number;
  readonly admit: () => void;
}

/** The signal says that the caller has left. It is asked for only when the caller must wait. */
interface Caller {
  readonly signal: AbortSignal | undefined;
  flow?: Flow | undefined;
}

const apiserverName = "system:kube-apiserver";
const free = () => {};

class Level {
  readonly name: string;
  uid = "";
  exempt = false;
  /** Seats that the level always gets. */
  nominal = 0;
  /** Seats that no other level may use. */
  reserved = 0;
  /** Seats that it may have at most, others' included. */
  most = Number.POSITIVE_INFINITY;
  /**
   * Seats that no list of many objects may use: requests that are quickly done need not wait until
   * such a list has been sent.
   */
  narrow = 0;
  /** Seats that one request takes at most. */
  widest = 1;
  /** Requests of one flow that may wait. */
  queueLength = 0;
  /** Requests that have seats; seats in use, and those that requests with a single seat use. */
  requests = 0;
  executing = 0;
  executingNarrow = 0;
  waiting = 0;
  waitingNarrow = 0;
  /** Flows with waiting requests, the one whose turn is next first. */
  readonly flows = new Map<string, Waiter[]>();

  constructor(name: string) {
    this.name = name;
  }

  /** `seats`: of the apiserver; `shares`: of all levels together. */
  configure(
    { metadata, spec = {} }: PriorityLevelConfiguration,
    { seats, shares, queueLength }: Bounds,
  ): void {
    this.uid = metadata?.uid ?? "";
    this.exempt = spec.type === "Exempt";
    const { lendablePercent = 0, borrowingLimitPercent, limitResponse } = spec.limited ?? {};
    this.nominal = this.exempt ? 0 : Math.max(1, Math.floor((seats * sharesOf(spec)) / shares));
    this.reserved = Math.ceil(this.nominal * (1 - lendablePercent / 100));
    this.narrow = Math.ceil(this.nominal * narrowShare);
    this.widest = Math.max(1, Math.ceil(this.nominal * widestShare));
    this.most =
      borrowingLimitPercent === undefined
        ? Number.POSITIVE_INFINITY
        : this.nominal + Math.floor((this.nominal * borrowingLimitPercent) / 100);
    const { handSize = 0, queueLengthLimit = 0 } = limitResponse?.queuing ?? {};
    // A flow's requests wait in the queues that it has in its hand (upstream's shuffle sharding).
    this.queueLength = Math.min(queueLength, handSize * queueLengthLimit);
  }

  /** The level is gone: requests that are under way or wait still end here. */
  retire(): void {
    this.nominal = 1;
    this.reserved = 0;
  }
}

const narrowShare = 0.2;
/** As upstream, a request takes no more of its level's seats, whatever its work. */
const widestShare = 0.15;

interface Bounds {
  readonly seats: number;
  readonly shares: number;
  readonly queueLength: number;
}

function sharesOf({ type, limited }: PriorityLevelConfigurationSpec): number {
  return type === "Limited" ? (limited?.nominalConcurrencyShares ?? 30) : 0;
}

/** What a request belongs to, as its answer tells. */
export interface Flow {
  readonly schemaUid: string;
  readonly levelUid: string;
}

/**
 * Shares the apiserver among priority levels, and each level among its flows (API Priority and
 * Fairness). A level's own seats are always its own; seats that others leave idle may be borrowed as
 * far as those lend them. A request without a seat waits in its flow's queue, flows take turns; it
 * is refused when the queue is full or its time is up, and told when to come back.
 */
export class FlowControl {
  readonly #options: FlowControlOptions;
  readonly #metrics: FlowMetrics;
  #levels: readonly Level[] = [];
  #byName = new Map<string, Level>();
  #schemas: ReturnType<typeof compileSchemas> = [];
  #executing = 0;

  constructor(options: FlowControlOptions) {
    this.#options = options;
    this.#metrics = new FlowMetrics(options.metrics ?? new MetricsRegistry(), () => this.#levels);
    this.configure(flowDefaults);
  }

  /** From now on; what waits stays where it is. */
  configure(given: FlowConfiguration): void {
    const { schemas, levels } = completed(given);
    const { seats, queueLength } = this.#options;
    const shares = Math.max(
      1,
      levels.reduce((sum, { spec = {} }) => sum + sharesOf(spec), 0),
    );
    const byName = new Map<string, Level>();
    for (const level of levels) {
      const name = level.metadata?.name ?? "";
      const one = this.#byName.get(name) ?? new Level(name);
      one.configure(level, { seats, shares, queueLength });
      byName.set(name, one);
    }
    const gone = this.#levels.filter((level) => !byName.has(level.name));
    for (const level of gone) level.retire();
    const busy = gone.filter(({ executing, waiting }) => executing + waiting > 0);
    this.#levels = [...byName.values(), ...busy];
    this.#byName = byName;
    // As upstream, a schema whose level is missing matches nothing.
    this.#schemas = compileSchemas(schemas).filter(({ level }) => byName.has(level));
    this.#dispatch();
  }

  /**
   * Waits for a seat, or for as many as `seats` says; the answer gives them back. Throws
   * TooManyRequests.
   */
  enter(
    request: RequestInfo,
    caller: Caller,
    seats?: () => number,
  ): (() => void) | Promise<() => void> {
    // The apiserver's own requests are never held back.
    if (request.user.name === apiserverName) return free;
    const { schema, level } = this.classify(request, caller);
    if (level.exempt) return free;
    const width = seats === undefined ? 1 : Math.max(1, Math.min(seats(), level.widest));
    const isNext = level.waiting === 0 || (passesLists(level, width) && level.waitingNarrow === 0);
    if (isNext && this.#hasSeat(level, width)) {
      this.#metrics.dispatched(schema.name, level.name, 0);
      return this.#seat(level, width);
    }
    return this.#wait({ level, schema, request, width }, caller.signal);
  }

  /** Notes with the caller what the request belongs to; that is all for a watch, which has no seat. */
  classify(request: RequestInfo, caller: Caller): ReturnType<FlowControl["matched"]> {
    const found = this.matched(request);
    caller.flow = { schemaUid: found.schema.uid, levelUid: found.level.uid };
    return found;
  }

  /** The first schema that matches, and its level. */
  matched(request: RequestInfo): {
    readonly schema: MatchedSchema;
    readonly level: Level;
  } {
    const schema = this.#schemas.find((each) => each.matches(request)) ?? this.#last();
    const level = this.#byName.get(schema.level);
    assert(level !== undefined, "every schema that is asked has a level");
    return { schema, level };
  }

  /** Whom no schema matches belongs to the last one, which matches everybody. */
  #last(): MatchedSchema {
    const last = this.#schemas.find(({ name }) => name === "catch-all") ?? this.#schemas.at(-1);
    assert(last !== undefined, "there is a schema");
    return last;
  }

  #hasSeat(level: Level, width: number): boolean {
    if (passesLists(level, width)) return true;
    const kept = width === 1 ? 0 : Math.max(0, level.narrow - level.executingNarrow);
    if (level.executing + width + kept <= level.nominal) return true;
    if (level.executing + width + kept > level.most) return false;
    let free = this.#options.seats - this.#executing;
    for (const other of this.#levels) {
      if (other !== level) free -= Math.max(0, other.reserved - other.executing);
    }
    return free >= width + kept;
  }

  #seat(level: Level, width: number): () => void {
    const narrow = width === 1 ? 1 : 0;
    level.requests += 1;
    level.executing += width;
    level.executingNarrow += narrow;
    this.#executing += width;
    let seated = true;
    return () => {
      if (!seated) return;
      seated = false;
      level.requests -= 1;
      level.executing -= width;
      level.executingNarrow -= narrow;
      this.#executing -= width;
      this.#dispatch();
    };
  }

  #wait(
    { level, schema, request, width }: Entering,
    signal: AbortSignal | undefined,
  ): Promise<() => void> {
    const flow = schema.flowOf(request);
    const queue = level.flows.get(flow) ?? [];
    const { clock, queueMillis } = this.#options;
    const { queueLength } = level;
    const began = performance.now();
    if (queue.length >= queueLength) {
      this.#metrics.rejected(schema.name, level.name, "queue-full");
      throw refusal(level, `${queueLength} requests of this user are waiting already`);
    }
    const narrow = width === 1 ? 1 : 0;
    level.flows.set(flow, queue);
    level.waiting += 1;
    level.waitingNarrow += narrow;
    return new Promise((resolve, reject) => {
      const settle = () => {
        cancel();
        signal?.removeEventListener("abort", leave);
        level.waiting -= 1;
        level.waitingNarrow -= narrow;
      };
      const waiter: Waiter = {
        seats: width,
        admit: () => {
          settle();
          const seconds = (performance.now() - began) / 1_000;
          this.#metrics.dispatched(schema.name, level.name, seconds);
          resolve(this.#seat(level, width));
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
        this.#metrics.rejected(schema.name, level.name, "time-out");
        give(refusal(level, `no request ended for ${queueMillis} ms`));
      });
      signal?.addEventListener("abort", leave, { once: true });
      queue.push(waiter);
    });
  }

  /** Seats are given level by level, within a level flow by flow in turn. */
  #dispatch(): void {
    for (const level of this.#levels) while (this.#admitNext(level));
  }

  /** The next waiter of the first flow or, while that is a list without seats, a quick request. */
  #admitNext(level: Level): boolean {
    if (level.waiting === 0) return false;
    for (const [flow, queue] of level.flows) {
      const fits = this.#hasSeat(level, queue[0]?.seats ?? 1);
      const at = fits || !passesLists(level, 1) ? 0 : queue.findIndex(({ seats }) => seats === 1);
      const [waiter] = fits || at > 0 ? queue.splice(at, 1) : [];
      if (waiter !== undefined) {
        level.flows.delete(flow);
        if (queue.length > 0) level.flows.set(flow, queue);
        waiter.admit();
        return true;
      }
      if (level.waitingNarrow === 0 || !passesLists(level, 1)) return false;
    }
    return false;
  }
}

/** Whether a request may use a seat that lists leave free, and need not wait until they have theirs. */
function passesLists(level: Level, width: number): boolean {
  return width === 1 && level.executingNarrow < level.narrow;
}

interface Entering {
  readonly level: Level;
  readonly schema: MatchedSchema;
  readonly request: RequestInfo;
  readonly width: number;
}

function refusal({ name, nominal }: Level, why: string): StatusError {
  return tooManyRequests(
    `Too many requests, please try again later: priority level "${name}" has ` +
      `${nominal} of the apiserver's seats, and ${why}`,
    limits.retryAfterSeconds,
  );
}
