/**
 * What unary calls and streams have in common: a deadline, a place with a master or in the waiting
 * room, and exactly one end.
 */
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Headers, IncomingCall, IncomingHandlers } from "./calls.ts";
import type { ActiveCall, Desk } from "./desk.ts";
import type { Choice, Load, Master } from "./fleet.ts";
import { identified } from "./identity.ts";
import type { Method } from "./methods.ts";
import { errorTrailers } from "./replies.ts";
import { formatTimeout, parseTimeout } from "./timeout.ts";
import type { Waiting } from "./waiting-room.ts";

/** A request as far as it has come in. */
export interface RequestSoFar {
  readonly chunks: readonly Buffer[];
  readonly ended: boolean;
}

export const nothingYet: RequestSoFar = { chunks: [], ended: false };

/** Timers cannot be set for longer (2^31 - 1 ms); a call that outlives it has no deadline. */
const longestMillis = 2_147_483_647;

export abstract class BalancedCall implements ActiveCall, IncomingHandlers, Waiting {
  protected readonly call: IncomingCall;
  protected readonly method: Method;
  protected readonly desk: Desk;
  /** Where the call is now, or was last. */
  protected master: Master | undefined;
  protected attempts = 0;
  protected finished = false;
  readonly #load: Load;
  #timer: NodeJS.Timeout | undefined;
  #deadline: number | undefined;
  #occupied: Master | undefined;

  constructor(call: IncomingCall, method: Method, desk: Desk, load: Load) {
    this.call = call;
    this.method = method;
    this.desk = desk;
    this.#load = load;
    desk.active.add(this);
  }

  abstract data(chunk: Buffer): void;
  abstract end(): void;
  abstract drain(): void;
  /** Opens an outgoing call on `this.master`. */
  protected abstract dispatch(master: Master): void;
  /** Lets go of the outgoing call and of all timers. */
  protected abstract release(): void;

  /** False: the call has been answered already. */
  protected readDeadline(): boolean {
    try {
      const millis = parseTimeout(this.call.headers["grpc-timeout"]);
      if (millis === undefined || millis > longestMillis) return true;
      this.#deadline = this.call.arrivedAt + millis;
      this.#timer = setTimeout(() => {
        this.refuse(Code.deadlineExceeded, "the deadline of the call has passed");
      }, this.#deadline - performance.now());
      return true;
    } catch (error) {
      const { code, message } = StatusError.from(error);
      this.refuse(code, message);
      return false;
    }
  }

  /** With a master now, or as soon as there is one. */
  protected place(): void {
    if (this.tryAgain()) return;
    this.desk.counters.waits++;
    if (!this.desk.room.enter(this)) {
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
    if (this.attempts > 1) this.desk.counters.retries++;
    this.#occupy(choice);
    this.dispatch(choice);
    return true;
  }

  gaveUp(): void {
    const nobody = this.desk.fleet.healthy.length === 0;
    const why = nobody ? "no master is ready" : "no master leads";
    this.refuse(Code.unavailable, `${why}; waited ${this.desk.limits.waitMillis} ms`);
  }

  shutDown(message: string): void {
    this.refuse(Code.unavailable, message);
  }

  cancelled(): void {
    if (!this.#settle()) return;
    this.desk.counters.cancellations++;
  }

  /** The one end of the call that its client sees. */
  protected finish(trailers: Headers): void {
    if (this.#settle()) this.call.finish(trailers);
  }

  /** Ends here without a word to the client: another object goes on with the call. */
  protected handOver(): void {
    this.#settle();
  }

  protected refuse(code: Code, message: string): void {
    if (this.finished) return;
    this.desk.counters.refusals++;
    this.finish(errorTrailers(code, message));
  }

  /** The attempt is over: its master is free of it. */
  protected leaveMaster(): void {
    if (this.#occupied === undefined) return;
    this.#occupied[this.#load]--;
    this.#occupied = undefined;
  }

  /** Of this attempt. */
  protected requestHeaders(): Record<string, string | readonly string[]> {
    const headers = { ...identified(this.call.headers, this.call.peer.certificate) };
    headers["te"] = "trailers";
    if (this.#deadline !== undefined) {
      headers["grpc-timeout"] = formatTimeout(this.#deadline - performance.now());
    }
    return headers;
  }

  #choose(): Choice {
    const { fleet } = this.desk;
    if (this.method.repeatable === "write") return fleet.chooseForWrite(this.master);
    return fleet.choose(this.#load, this.master);
  }

  #occupy(master: Master): void {
    master.attempts++;
    master[this.#load]++;
    this.master = master;
    this.#occupied = master;
  }

  #settle(): boolean {
    if (this.finished) return false;
    this.finished = true;
    clearTimeout(this.#timer);
    this.desk.room.leave(this);
    this.desk.active.delete(this);
    this.release();
    this.leaveMaster();
    return true;
  }
}
