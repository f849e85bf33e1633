/**
 * What unary calls and streams have in common: a deadline, a place with a master or in the queue,
 * and exactly one end.
 */
import type { Expiring } from "../rpc/engine/deadline-wheel.ts";
import { assert } from "../runtime/assert.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { ActiveCall, CallContext } from "./call-context.ts";
import type { QueuedCall } from "./call-queue.ts";
import { CallTrace } from "./call-trace.ts";
import type {
  Failure,
  IncomingCall,
  IncomingHandlers,
  OutgoingCall,
  OutgoingHandlers,
} from "./calls.ts";
import { type Choice, type Load, type Master, upstreamOf } from "./master.ts";
import { describeFailure } from "./replies.ts";
import type { ReplyFields } from "./reply-fields.ts";
import { formatTimeout, parseTimeout } from "./timeout.ts";

/** A piece of a body: `bytes[start..end)`. */
export interface Piece {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

export function bytesOf({ bytes, start, end }: Piece): Buffer {
  return bytes.subarray(start, end);
}

/** A request as far as it has come in. */
export interface RequestSoFar {
  readonly pieces: readonly Piece[];
  readonly ended: boolean;
}

export const nothingYet: RequestSoFar = { pieces: [], ended: false };

/** A call that may last longer (25 days) has no deadline. */
const longestMillis = 2_147_483_647;

export abstract class BalancedCall
  implements ActiveCall, Expiring, IncomingHandlers, OutgoingHandlers, QueuedCall
{
  place = -1;
  expiresAt = Number.POSITIVE_INFINITY;
  previous: Expiring | undefined = undefined;
  next: Expiring | undefined = undefined;
  protected readonly call: IncomingCall;
  protected readonly context: CallContext;
  /** The master of the present or the last attempt. */
  master: Master | undefined;
  protected attempts = 0;
  protected finished = false;
  readonly #load: Load;
  /** On the clock of `performance.now()`. */
  #deadline = Number.POSITIVE_INFINITY;
  #patienceMillis = Number.POSITIVE_INFINITY;
  #waits = false;
  #occupied: Master | undefined;
  /** Undefined: the call is not traced here. */
  #trace: CallTrace | undefined;

  constructor(call: IncomingCall, context: CallContext, load: Load, trace?: CallTrace) {
    this.call = call;
    this.context = context;
    this.#load = load;
    this.#trace = trace;
    const { tracer } = context;
    if (tracer !== undefined) this.#trace ??= CallTrace.of(tracer, call.head);
    context.active.add(this);
  }

  abstract data(bytes: Buffer, start: number, end: number, last: boolean): void;
  abstract drain(): void;
  abstract replyHeaders(fields: ReplyFields): void;
  abstract replyData(bytes: Buffer, start: number, end: number): void;
  abstract replyEnd(trailers: ReplyFields): void;
  abstract requestDrain(): void;
  abstract failed(failure: Failure): void;
  abstract suspected(master: Master): void;
  /** Opens an outgoing call on `this.master`. */
  protected abstract dispatch(master: Master): void;
  /** Lets go of the outgoing call and of all timers. */
  protected abstract release(): void;

  /** False: the call has been answered already. */
  protected readDeadline(): boolean {
    const { timeout, timeoutMillis } = this.call.head;
    if (timeoutMillis !== undefined) this.#deadline = this.call.arrivedAt + timeoutMillis;
    if (timeout === undefined) return true;
    try {
      const millis = parseTimeout(timeout);
      if (millis <= longestMillis) this.#deadline = this.call.arrivedAt + millis;
      return true;
    } catch (error) {
      const { code, message } = StatusError.from(error);
      this.refuse(code, message);
      return false;
    }
  }

  /** From now on the call ends at its deadline, or earlier after `millis`. */
  protected expireWithin(millis: number): void {
    const { deadlines } = this.context;
    if (this.previous !== undefined) deadlines.remove(this);
    this.#patienceMillis = millis;
    let left = millis;
    if (this.#deadline < Number.POSITIVE_INFINITY) {
      left = Math.min(left, this.#deadline - performance.now());
    }
    if (left === Number.POSITIVE_INFINITY) return;
    this.expiresAt = Date.now() + left;
    deadlines.add(this);
  }

  expire(): void {
    const patience = this.#patienceMillis;
    const impatient = patience < this.#deadline - this.call.arrivedAt;
    const text = impatient
      ? `the request was not complete after ${patience} ms`
      : "the deadline of the call has passed";
    this.refuse(Code.deadlineExceeded, text);
  }

  /** Sends the call to a master now, or as soon as one takes calls. */
  protected placeCall(): void {
    if (this.tryAgain()) return;
    if (this.call.head.route.method.anyMaster) {
      this.refuse(Code.unavailable, "no master is connected and answers");
      return;
    }
    this.#waits = true;
    this.context.counters.waits++;
    if (!this.context.queue.enter(this)) {
      this.refuse(Code.unavailable, "no master is ready, and too many calls wait for one");
    }
  }

  tryAgain(): boolean {
    if (this.finished) return true;
    const choice = this.#choose();
    if (choice === "none") return false;
    if (choice === "full") {
      this.refuse(Code.resourceExhausted, "every master has as many calls as it takes");
      return true;
    }
    this.attempts++;
    if (this.attempts > 1) this.context.counters.retries++;
    this.#occupy(choice);
    this.#trace?.attempt(choice.name, this.attempts);
    this.dispatch(choice);
    return true;
  }

  /** What the present attempt tells its master of the trace that it belongs to. */
  protected get traceparent(): string | undefined {
    if (this.context.tracer === undefined) return this.call.head.traceparent;
    return this.#trace?.traceparent ?? this.call.head.traceparent ?? this.context.tracer.untraced;
  }

  gaveUp(): void {
    const noneReady = this.context.fleet.healthy.length === 0;
    const why = noneReady ? "no master is ready" : "no master leads";
    this.refuse(Code.unavailable, `${why}; waited ${this.context.limits.waitMillis} ms`);
  }

  shutDown(message: string): void {
    this.refuse(Code.unavailable, message);
  }

  cancelled(): void {
    if (!this.#settle("the client has gone")) return;
    this.context.counters.cancellations++;
  }

  /** Ends the call towards its client. */
  protected finish(trailers: ReplyFields): void {
    this.#trace?.answered(trailers);
    if (this.#settle()) this.call.finish(trailers);
  }

  /**
   * Ends here without a word to the client: another object goes on with the call, and with its
   * trace.
   */
  protected handOver(): CallTrace | undefined {
    const trace = this.#trace;
    this.#trace = undefined;
    this.#settle();
    return trace;
  }

  protected refuse(code: Code, message: string): void {
    if (this.finished) return;
    this.context.counters.refusals++;
    this.fail(code, message);
  }

  /** Ends the call towards its client with an error of the balancer's own. */
  protected fail(code: Code, message: string): void {
    if (this.#settle(message)) this.call.fail(code, message);
  }

  /** Ends the call because of what became of its last attempt. */
  protected failFor(failure: Failure, master: Master): void {
    const { code, message } = describeFailure(failure, master.name);
    this.fail(code, message);
  }

  /** The last attempt came to no answer. */
  protected noteFailure(failure: Failure, master: Master): void {
    this.#trace?.attemptFailed(failure);
    this.context.fleet.outliers.failed(master, failure);
  }

  /** The attempt is given up, for its master may be stopped. */
  protected noteSuspicion(): void {
    this.#trace?.attemptSuspected();
    this.context.counters.suspicions++;
  }

  /** What a master that is not ready says of itself is no fault. */
  protected noteAnswer(end: ReplyFields): void {
    this.#trace?.attemptAnswered(end);
    if (this.call.head.route.method.anyMaster || this.master === undefined) return;
    this.context.fleet.outliers.answered(this.master, end);
  }

  /** `fields`: those of this attempt alone, encoded. */
  protected open(master: Master, fields: Uint8Array): OutgoingCall {
    const { route } = this.call.head;
    const upstream = upstreamOf(master, route.link);
    assert(upstream !== undefined, `${master.name} was chosen for a protocol it does not serve`);
    return upstream.open(route, fields, this);
  }

  /** The attempt is over: its master is free of it. */
  protected leaveMaster(): void {
    if (this.#occupied === undefined) return;
    this.#trace?.attemptOver();
    this.#occupied[this.#load]--;
    this.#occupied = undefined;
  }

  /** The time that is left, as the `grpc-timeout` for a master. */
  protected get timeout(): string | undefined {
    const { timeout, timeoutMillis } = this.call.head;
    if (this.#deadline === Number.POSITIVE_INFINITY || timeoutMillis !== undefined) return timeout;
    return formatTimeout(this.#deadline - performance.now());
  }

  #choose(): Choice {
    const { fleet } = this.context;
    const { link, method } = this.call.head.route;
    if (method.forLeader) return fleet.chooseForWrite(this.master, link);
    if (method.anyMaster) return fleet.chooseAny(this.#load, this.master, link);
    return fleet.choose(this.#load, this.master, link);
  }

  #occupy(master: Master): void {
    master.attempts++;
    master[this.#load]++;
    this.master = master;
    this.#occupied = master;
  }

  /** `error`: why the call failed, as far as the balancer itself says so. */
  #settle(error?: string): boolean {
    if (this.finished) return false;
    this.finished = true;
    this.context.deadlines.remove(this);
    if (this.#waits) this.context.queue.leave(this);
    this.context.active.delete(this);
    this.release();
    this.leaveMaster();
    this.#trace?.end(error);
    return true;
  }
}
