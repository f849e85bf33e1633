/**
 * A unary call whose request is kept, so that it can be repeated on another master.
 *
 * ```
 * collecting ─► placing ─► under way ─► answered
 *     │            ▲            │
 *     │            └─ backoff ◄─┘  refused, or lost and repeatable, or "trireme-retry: safe"
 *     └─► passed on as a stream: too large to be kept
 * ```
 * The reply is held back until its status is known, or until it has grown too large for that; up
 * to then a repetition is invisible to the client.
 */
import { randomFillSync } from "node:crypto";
import { Code } from "../runtime/status-error.ts";
import { BalancedCall, nothingYet, type Piece, type RequestSoFar } from "./balanced-call.ts";
import type { CallContext } from "./call-context.ts";
import type { Failure, IncomingCall, Link, OutgoingCall } from "./calls.ts";
import type { Master } from "./master.ts";
import { ReplyFields } from "./reply-fields.ts";
import { attemptFields } from "./request-head.ts";
import { StreamCall } from "./stream-call.ts";

const noHeaders = new ReplyFields([]);
const nothing = Buffer.alloc(0);
const noPieces: readonly Piece[] = [];

/**
 * What a client is told whose call may not be repeated, when its master may or may not have done
 * it. By gRPC such calls are etcd's alone, and its clients know its text.
 */
const outcomeUnknown: Readonly<Record<Link, string>> = {
  grpc: "etcdserver: request timed out",
  rest: "the master does not answer, and whether it has done this is not known",
};

/** Most bodies are of one piece: an array that was empty before would have room for many. */
function added(pieces: Piece[] | undefined, piece: Piece): Piece[] {
  if (pieces === undefined) return [piece];
  pieces.push(piece);
  return pieces;
}

export class UnaryCall extends BalancedCall {
  #request: Piece[] | undefined;
  #requestBytes = 0;
  #complete = false;
  #requestId: string | undefined;
  #outgoing: OutgoingCall | undefined;
  #timer: NodeJS.Timeout | undefined;
  #replyHeaders: ReplyFields | undefined;
  /** Held back until the reply flows. */
  #reply: Piece[] | undefined;
  #replyBytes = 0;
  #flows = false;
  /** How often it was repeated because its master was suspected. */
  #suspicions = 0;

  constructor(call: IncomingCall, context: CallContext, request: RequestSoFar = nothingYet) {
    super(call, context, "unary");
    if (!this.readDeadline()) return;
    call.handle(this);
    this.expireWithin(context.limits.requestBodyMillis);
    for (const { bytes, start, end } of request.pieces) this.data(bytes, start, end, false);
    if (request.ended) this.data(nothing, 0, 0, true);
  }

  data(bytes: Buffer, start: number, end: number, last: boolean): void {
    if (this.finished || this.#complete) return;
    const { limits, counters } = this.context;
    const length = end - start;
    if (length > 0) this.#request = added(this.#request, { bytes, start, end });
    this.#requestBytes += length;
    counters.keptBytes += length;
    const tooLarge = this.#requestBytes > limits.requestBytes;
    if (tooLarge || counters.keptBytes > limits.requestBytesTotal) {
      this.#passOn(last);
    } else if (last) {
      this.#complete = true;
      this.expireWithin(Number.POSITIVE_INFINITY);
      this.placeCall();
    }
  }

  drain(): void {
    this.#outgoing?.resume();
  }

  replyHeaders(fields: ReplyFields): void {
    this.#replyHeaders = fields;
  }

  replyData(bytes: Buffer, start: number, end: number): void {
    if (this.#flows) {
      if (!this.call.write(bytes, start, end)) this.#outgoing?.pause();
      return;
    }
    this.#reply = added(this.#reply, { bytes, start, end });
    this.#replyBytes += end - start;
    if (this.#replyBytes > this.context.limits.replyBytes) this.#commit();
  }

  replyEnd(trailers: ReplyFields): void {
    this.#outgoing = undefined;
    this.noteAnswer(trailers);
    if (trailers.repeatable && this.#mayRepeat()) {
      this.#repeat();
      return;
    }
    if (this.#replyHeaders !== undefined) this.#commit();
    this.finish(trailers);
  }

  /** The whole request was written at once, so it never waits for room. */
  requestDrain(): void {}

  failed(failure: Failure): void {
    this.#outgoing = undefined;
    const master = this.master as Master;
    this.noteFailure(failure, master);
    const { path, method } = this.call.head.route;
    const harmless =
      failure.kind === "refused" || (failure.kind === "lost" && method.repeatable !== "opaque");
    if (harmless && this.#mayRepeat()) {
      this.#repeat();
      return;
    }
    this.context.log.debug("call failed", { path, master: master.name, ...failure });
    this.failFor(failure, master);
  }

  /**
   * The attempt is given up and the call repeated at once. If the master was only busy, it may do
   * the call all the same; the request id makes that harmless for a write. A call that may not be
   * repeated fails at once: its client learns sooner that the outcome is unknown.
   */
  suspected(master: Master): void {
    if (this.finished || this.#outgoing === undefined || this.master !== master) return;
    const { limits } = this.context;
    if (!this.#mayRepeat() || this.#suspicions >= limits.suspectRepeats) return;
    this.#suspicions++;
    this.noteSuspicion();
    if (this.call.head.route.method.repeatable === "opaque") {
      this.refuse(Code.unavailable, outcomeUnknown[this.call.head.route.link]);
      return;
    }
    this.#outgoing.cancel();
    this.#outgoing = undefined;
    this.leaveMaster();
    this.placeCall();
  }

  protected dispatch(master: Master): void {
    this.#replyHeaders = undefined;
    this.#reply = undefined;
    this.#replyBytes = 0;
    const { route, requestId, attempt } = this.call.head;
    this.#requestId ??= requestId;
    if (route.method.repeatable === "write") this.#requestId ??= newRequestId();
    const number = this.#attemptAfter(attempt);
    const fields = attemptFields(this.timeout, this.#requestId, number, this.traceparent);
    const outgoing = this.open(master, fields);
    this.#outgoing = outgoing;
    const request = this.#request ?? noPieces;
    const last = request.length - 1;
    if (last < 0) outgoing.write(nothing, 0, 0, true);
    for (let at = 0; at <= last; at++) {
      const { bytes, start, end } = request[at] as Piece;
      outgoing.write(bytes, start, end, at === last);
    }
  }

  protected release(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#outgoing?.cancel();
    this.#forgetRequest();
  }

  /** A client that repeats calls itself counts its own attempts; ours come on top. */
  #attemptAfter(clients: string | undefined): string | undefined {
    if (clients === undefined && this.attempts === 1) return undefined;
    const before = Number(clients);
    const first = Number.isSafeInteger(before) && before > 1 ? before : 1;
    const attempt = first + this.attempts - 1;
    return attempt > 1 ? String(attempt) : undefined;
  }

  /** The client has seen nothing, and there are attempts left. */
  #mayRepeat(): boolean {
    return !this.#flows && this.attempts < this.context.limits.attempts;
  }

  #repeat(): void {
    this.leaveMaster();
    const { backoffMinMillis, backoffMaxMillis } = this.context.limits;
    const delay = Math.min(backoffMinMillis * 2 ** (this.attempts - 1), backoffMaxMillis);
    this.#timer = setTimeout(() => this.placeCall(), delay);
  }

  /** The reply flows from here on: the client sees it, and it can no longer be taken back. */
  #commit(): void {
    if (this.#flows) return;
    this.#flows = true;
    this.#forgetRequest();
    this.call.sendHeaders(this.#replyHeaders ?? noHeaders);
    let room = true;
    for (const { bytes, start, end } of this.#reply ?? noPieces) {
      room = this.call.write(bytes, start, end);
    }
    this.#reply = undefined;
    if (!room) this.#outgoing?.pause();
  }

  /** Too large to be kept: what has come and what will come is passed on, once. */
  #passOn(ended: boolean): void {
    const request = { pieces: this.#request ?? noPieces, ended };
    const trace = this.handOver();
    new StreamCall(this.call, this.context, request, trace);
  }

  #forgetRequest(): void {
    this.context.counters.keptBytes -= this.#requestBytes;
    this.#requestBytes = 0;
    this.#request = undefined;
  }
}

const idBytes = 16;
/** Random bytes for the next ids; fetching each alone would cost more than all the rest. */
const random = Buffer.alloc(256 * idBytes);
let used = random.length;

function newRequestId(): string {
  if (used === random.length) {
    randomFillSync(random);
    used = 0;
  }
  used += idBytes;
  return random.toString("hex", used - idBytes, used);
}
