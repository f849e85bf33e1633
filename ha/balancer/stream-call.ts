/**
 * A call that the balancer passes on as it comes, both ways, no faster than either side reads.
 *
 * The balancer begins the call on another master in two cases, and only while it still has all that
 * the client has sent: the first master has certainly not begun the call; or the first master is
 * gone, has sent no message, and a second beginning does no harm. Response headers alone deliver
 * nothing, so a watch that has had only headers is begun again; the client gets the first headers.
 *
 * When the client of a stream resumes it by itself (a watch, from its last revision), the balancer
 * may end the stream between two messages: to move it, or because its master is gone. The messages
 * of a REST watch are lines.
 */

import { Code } from "../runtime/status-error.ts";
import { BalancedCall, nothingYet, type Piece, type RequestSoFar } from "./balanced-call.ts";
import type { CallContext } from "./call-context.ts";
import type { CallTrace } from "./call-trace.ts";
import type { Failure, IncomingCall, OutgoingCall } from "./calls.ts";
import type { Master } from "./master.ts";
import { MessageBoundary } from "./message-boundary.ts";
import { okTrailers } from "./replies.ts";
import type { ReplyFields } from "./reply-fields.ts";
import { attemptFields } from "./request-head.ts";
import { LineBoundary, WholeLines } from "./whole-lines.ts";

/** Bytes of a request that are remembered until the master has reacted to it. */
const replayBytes = 64 * 1024;

const nothing = Buffer.alloc(0);

export class StreamCall extends BalancedCall {
  #outgoing: OutgoingCall | undefined;
  /** The request so far, kept for another master; undefined once it cannot be sent again. */
  #replay: Piece[] | undefined = [];
  #replayed = 0;
  #ended = false;
  #headers: ReplyFields | undefined;
  /** The client has been sent a part of a message. */
  #delivered = false;
  /** Between which messages of the reply the stream stands; only known of one that may be moved. */
  #boundary: MessageBoundary | LineBoundary | undefined;
  #lines: WholeLines | undefined;
  #leaving = false;

  constructor(
    call: IncomingCall,
    context: CallContext,
    request: RequestSoFar = nothingYet,
    trace?: CallTrace,
  ) {
    super(call, context, "streams", trace);
    this.#replay = [...request.pieces];
    for (const { start, end } of request.pieces) this.#replayed += end - start;
    this.#ended = request.ended;
    const { link, method } = call.head.route;
    if (method.resumed !== undefined && link === "grpc") this.#boundary = new MessageBoundary();
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
    if (fields.repeatable && this.#replayable && this.#headers === undefined) {
      this.noteAnswer(fields);
      this.#giveUpAttempt();
      this.#beginAgain();
      return;
    }
    const { link, method } = this.call.head.route;
    if (method.resumed === undefined || !method.singleRequest) this.#replay = undefined;
    if (this.#headers !== undefined) {
      // The client has the first headers already; it hears of this answer when it begins anew.
      if (fields.httpStatus !== this.#headers.httpStatus) this.#leave();
      return;
    }
    this.#headers = fields;
    if (link === "rest" && method.resumed !== undefined && fields.isLines) {
      this.#boundary = new LineBoundary();
      this.#lines = new WholeLines(this.context.limits.heldLineBytes);
    }
    this.call.sendHeaders(fields);
  }

  replyData(bytes: Buffer, start: number, end: number): void {
    if (this.#lines === undefined) this.#pass(bytes, start, end);
    else this.#passAll(this.#lines.take(bytes, start, end));
  }

  #passAll(pieces: readonly Piece[]): void {
    for (const { bytes, start, end } of pieces) {
      if (this.finished) return;
      this.#pass(bytes, start, end);
    }
  }

  #pass(bytes: Buffer, start: number, end: number): void {
    this.#delivered = true;
    this.#replay = undefined;
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
    if (this.#resumesAtEnd) this.finish(okTrailers);
    else this.fail(Code.unavailable, "the stream is moved to another master");
  }

  override shutDown(message: string): void {
    if (this.#headers !== undefined && this.#resumesAtEnd) this.finish(okTrailers);
    else super.shutDown(message);
  }

  /** No message is under way, and to its client an end is a reason to begin anew where it was. */
  get #resumesAtEnd(): boolean {
    return this.call.head.route.method.resumed === "end" && this.#boundary?.reached === true;
  }

  /** Two masters may begin the call with the same effect as one. */
  get #harmless(): boolean {
    const { singleRequest, resumed, repeatable } = this.call.head.route.method;
    return singleRequest && (resumed !== undefined || repeatable === "read");
  }

  /** The client has no part of a message yet, all that it has sent is at hand, and tries are left. */
  get #replayable(): boolean {
    if (this.#delivered || this.#replay === undefined) return false;
    return this.attempts < this.context.limits.attempts;
  }

  #mayBeginAgain(failure: Failure): boolean {
    if (!this.#replayable) return false;
    return failure.kind === "refused" || (failure.kind === "lost" && this.#harmless);
  }

  #giveUpAttempt(): void {
    this.#outgoing?.cancel();
    this.#outgoing = undefined;
  }

  #beginAgain(): void {
    this.leaveMaster();
    this.call.pause();
    this.placeCall();
  }

  /**
   * A stream that has not begun to answer is begun elsewhere. Any other waits longer than a single
   * call, then moves with the other streams of its master.
   */
  suspected(master: Master): void {
    if (this.#outgoing === undefined || this.master !== master) return;
    if (this.#headers !== undefined || !this.#harmless || !this.#replayable) return;
    this.noteSuspicion();
    this.#giveUpAttempt();
    this.#beginAgain();
  }

  replyEnd(trailers: ReplyFields): void {
    this.#outgoing = undefined;
    this.noteAnswer(trailers);
    if (this.#lines !== undefined) this.#passAll(this.#lines.rest());
    if (trailers.repeatable && this.#replayable) this.#beginAgain();
    else this.finish(trailers);
  }

  requestDrain(): void {
    this.call.resume();
  }

  failed(failure: Failure): void {
    this.#outgoing = undefined;
    const master = this.master as Master;
    this.noteFailure(failure, master);
    if (this.#mayBeginAgain(failure)) {
      this.#beginAgain();
    } else {
      const begun = this.#headers !== undefined;
      if (failure.kind === "lost" && begun && this.#resumesAtEnd) this.finish(okTrailers);
      else this.failFor(failure, master);
    }
  }

  protected dispatch(master: Master): void {
    const { requestId, attempt } = this.call.head;
    const fields = attemptFields(this.timeout, requestId, attempt, this.traceparent);
    const outgoing = this.open(master, fields);
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
