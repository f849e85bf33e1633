/**
 * A call that the balancer forwards message by message in both directions, no faster than either
 * side reads. It is sent to another master only in two cases: the first master has certainly not
 * begun it, and the balancer still holds all that it has sent; or the first master is gone, the
 * client has got no answer, and a repetition does no harm.
 *
 * Some streams are resumed by their clients. The balancer may move such a stream to another master,
 * also when its master is lost, by ending it between two messages.
 */

import { Code } from "../runtime/status-error.ts";
import { BalancedCall, nothingYet, type Piece, type RequestSoFar } from "./balanced-call.ts";
import type { CallContext } from "./call-context.ts";
import type { Failure, IncomingCall, OutgoingCall } from "./calls.ts";
import type { Master } from "./fleet.ts";
import { MessageBoundary } from "./message-boundary.ts";
import { errorTrailers, failureTrailers, okTrailers } from "./replies.ts";
import type { ReplyFields } from "./reply-fields.ts";
import { attemptFields } from "./request-head.ts";

/** Bytes of a request that are remembered until the master has reacted to it. */
const replayBytes = 64 * 1024;

const nothing = Buffer.alloc(0);

export class StreamCall extends BalancedCall {
  #outgoing: OutgoingCall | undefined;
  /** The request so far, kept for another master; undefined once it cannot be sent again. */
  #replay: Piece[] | undefined = [];
  #replayed = 0;
  #ended = false;
  #begun = false;
  /** Between which messages of the reply the stream stands; only known of one that may be moved. */
  readonly #boundary: MessageBoundary | undefined;
  #leaving = false;

  constructor(call: IncomingCall, context: CallContext, request: RequestSoFar = nothingYet) {
    super(call, context, "streams");
    this.#replay = [...request.pieces];
    for (const { start, end } of request.pieces) this.#replayed += end - start;
    this.#ended = request.ended;
    if (call.head.route.method.resumed !== undefined) this.#boundary = new MessageBoundary();
    if (!this.readDeadline()) return;
    this.expireWithin(Number.POSITIVE_INFINITY);
    call.handle(this);
    call.pause();
    this.placeCall();
  }

  data(bytes: Buffer, start: number, end: number, last: boolean): void {
    if (last) this.#ended = true;
    if (this.#replay !== undefined && end > start) {
      this.#replay.push({ bytes, start, end });
      this.#replayed += end - start;
      // Between two masters nothing is sent; what the pause lets through is kept in any case.
      if (this.#replayed > replayBytes && this.#outgoing !== undefined) this.#replay = undefined;
    }
    const room = this.#outgoing?.write(bytes, start, end, last) ?? true;
    if (!room && !last) this.call.pause();
  }

  drain(): void {
    this.#outgoing?.resume();
  }

  replyHeaders(fields: ReplyFields): void {
    this.#begun = true;
    this.#replay = undefined;
    this.call.sendHeaders(fields);
  }

  replyData(bytes: Buffer, start: number, end: number): void {
    if (this.#leaving && this.#boundary !== undefined) {
      const stop = this.#boundary.find(bytes, start, end);
      this.call.write(bytes, start, stop);
      if (this.#boundary.reached) this.#leave();
      return;
    }
    this.#boundary?.pass(bytes, start, end);
    if (!this.call.write(bytes, start, end)) this.#outgoing?.pause();
  }

  /** The client resumes this stream by itself, and a master serves it now. */
  get movable(): boolean {
    return this.#boundary !== undefined && this.#outgoing !== undefined && !this.#leaving;
  }

  /** Ends it for its client to begin it anew, as soon as no message is under way to the client. */
  move(): void {
    this.#leaving = true;
    if (this.#boundary?.reached === true) this.#leave();
  }

  #leave(): void {
    const text = "the stream is moved to another master";
    this.finish(this.#resumesAtEnd ? okTrailers : errorTrailers(Code.unavailable, text));
  }

  /** No message is under way, and to its client an end is a reason to begin anew where it was. */
  get #resumesAtEnd(): boolean {
    return this.call.head.route.method.resumed === "end" && this.#boundary?.reached === true;
  }

  /** The client has got no answer, and it does no harm if a lost master has begun the call. */
  #mayBeginAgain(failure: Failure): boolean {
    const { method } = this.call.head.route;
    if (this.#begun || this.#replay === undefined) return false;
    const harmless = method.resumed !== undefined && method.singleRequest;
    return failure.kind === "refused" || (failure.kind === "lost" && harmless);
  }

  /** A stream waits longer than a single call, then moves with the other streams of its master. */
  suspected(): void {}

  replyEnd(trailers: ReplyFields): void {
    this.#outgoing = undefined;
    this.context.fleet.outliers.answered(this.master as Master, trailers);
    this.finish(trailers);
  }

  requestDrain(): void {
    this.call.resume();
  }

  failed(failure: Failure): void {
    this.#outgoing = undefined;
    const master = this.master as Master;
    this.context.fleet.outliers.failed(master, failure);
    if (!this.#mayBeginAgain(failure) || this.attempts >= this.context.limits.attempts) {
      const hidden = failure.kind === "lost" && this.#begun && this.#resumesAtEnd;
      this.finish(hidden ? okTrailers : failureTrailers(failure, master.name));
      return;
    }
    this.leaveMaster();
    this.call.pause();
    this.placeCall();
  }

  protected dispatch(master: Master): void {
    const { route, requestId, attempt } = this.call.head;
    const fields = attemptFields(this.timeout, requestId, attempt);
    const outgoing = master.upstream.open(route, fields, this);
    this.#outgoing = outgoing;
    let room = true;
    for (const { bytes, start, end } of this.#replay ?? []) {
      room = outgoing.write(bytes, start, end, false);
    }
    if (this.#replayed > replayBytes) this.#replay = undefined;
    if (this.#ended) outgoing.write(nothing, 0, 0, true);
    else if (room) this.call.resume();
  }

  protected release(): void {
    this.#outgoing?.cancel();
    this.#outgoing = undefined;
    this.#replay = undefined;
  }
}
