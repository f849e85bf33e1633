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
import { randomBytes } from "node:crypto";
import { Code } from "../runtime/status-error.ts";
import { BalancedCall, nothingYet, type RequestSoFar } from "./balanced-call.ts";
import type { Failure, Headers, IncomingCall, OutgoingCall, OutgoingHandlers } from "./calls.ts";
import type { Desk } from "./desk.ts";
import type { Master } from "./fleet.ts";
import type { Method } from "./methods.ts";
import { failureTrailers } from "./replies.ts";
import { StreamCall } from "./stream-call.ts";

/** Names the write; masters answer one that they have done already from memory. */
export const requestIdHeader = "trireme-request-id";
/** On every further attempt: 2, 3, … */
export const attemptHeader = "trireme-attempt";
/** On an UNAVAILABLE reply: `safe` says that nothing has been done. */
export const retryTrailer = "trireme-retry";

export class UnaryCall extends BalancedCall {
  readonly #request: Buffer[] = [];
  #requestBytes = 0;
  #complete = false;
  #requestId: string | undefined;
  #outgoing: OutgoingCall | undefined;
  #timer: NodeJS.Timeout | undefined;
  #replyHeaders: Headers | undefined;
  /** Held back; undefined once the reply flows. */
  #reply: Buffer[] | undefined;
  #replyBytes = 0;

  constructor(call: IncomingCall, method: Method, desk: Desk, request: RequestSoFar = nothingYet) {
    super(call, method, desk, "unary");
    if (!this.readDeadline()) return;
    call.handle(this);
    this.#timer = setTimeout(() => {
      const text = `the request was not complete after ${desk.limits.requestBodyMillis} ms`;
      this.refuse(Code.deadlineExceeded, text);
    }, desk.limits.requestBodyMillis);
    for (const chunk of request.chunks) this.data(chunk);
    if (request.ended) this.end();
  }

  data(chunk: Buffer): void {
    if (this.finished || this.#complete) return;
    const { limits, counters } = this.desk;
    this.#request.push(chunk);
    this.#requestBytes += chunk.length;
    counters.keptBytes += chunk.length;
    const tooLarge = this.#requestBytes > limits.requestBytes;
    if (tooLarge || counters.keptBytes > limits.requestBytesTotal) this.#passOn();
  }

  end(): void {
    if (this.finished || this.#complete) return;
    this.#complete = true;
    clearTimeout(this.#timer);
    this.place();
  }

  drain(): void {
    this.#outgoing?.resume();
  }

  protected dispatch(master: Master): void {
    this.#replyHeaders = undefined;
    this.#reply = [];
    this.#replyBytes = 0;
    const { path, authority } = this.call;
    const outgoing = master.upstream.open(
      { path, authority, headers: this.#attemptHeaders() },
      this.#handlers(master),
    );
    this.#outgoing = outgoing;
    for (const chunk of this.#request) outgoing.write(chunk);
    outgoing.end();
  }

  protected release(): void {
    clearTimeout(this.#timer);
    this.#outgoing?.cancel();
    this.#forgetRequest();
  }

  #handlers(master: Master): OutgoingHandlers {
    return {
      headers: (headers) => {
        this.#replyHeaders = headers;
      },
      data: (chunk) => this.#replyData(chunk),
      trailers: (trailers) => this.#replyTrailers(trailers),
      drain() {},
      failed: (failure) => this.#failed(failure, master),
    };
  }

  #attemptHeaders(): Headers {
    const headers = this.requestHeaders();
    if (this.method.repeatable === "write") {
      this.#requestId ??= String(headers[requestIdHeader] ?? randomBytes(16).toString("hex"));
      headers[requestIdHeader] = this.#requestId;
    }
    // A client that repeats calls itself counts its own attempts; ours come on top.
    const before = Number(headers[attemptHeader]);
    const first = Number.isSafeInteger(before) && before > 1 ? before : 1;
    const attempt = first + this.attempts - 1;
    delete headers[attemptHeader];
    if (attempt > 1) headers[attemptHeader] = String(attempt);
    return headers;
  }

  #replyData(chunk: Buffer): void {
    if (this.#reply === undefined) {
      if (!this.call.write(chunk)) this.#outgoing?.pause();
      return;
    }
    this.#reply.push(chunk);
    this.#replyBytes += chunk.length;
    if (this.#replyBytes > this.desk.limits.replyBytes) this.#commit();
  }

  #replyTrailers(trailers: Headers): void {
    this.#outgoing = undefined;
    const unavailable = trailers["grpc-status"] === String(Code.unavailable);
    if (unavailable && trailers[retryTrailer] === "safe" && this.#mayRepeat()) {
      this.#repeat();
      return;
    }
    if (this.#replyHeaders !== undefined) this.#commit();
    this.finish(trailers);
  }

  #failed(failure: Failure, master: Master): void {
    this.#outgoing = undefined;
    master.failures++;
    const harmless =
      failure.kind === "refused" ||
      (failure.kind === "lost" && this.method.repeatable !== "opaque");
    if (harmless && this.#mayRepeat()) {
      this.#repeat();
      return;
    }
    this.desk.log.debug("call failed", { path: this.call.path, master: master.name, ...failure });
    this.finish(failureTrailers(failure, master.name));
  }

  /** The client has seen nothing, and there are attempts left. */
  #mayRepeat(): boolean {
    return this.#reply !== undefined && this.attempts < this.desk.limits.attempts;
  }

  #repeat(): void {
    this.leaveMaster();
    const { backoffMinMillis, backoffMaxMillis } = this.desk.limits;
    const delay = Math.min(backoffMinMillis * 2 ** (this.attempts - 1), backoffMaxMillis);
    this.#timer = setTimeout(() => this.place(), delay);
  }

  /** The reply flows from here on: the client sees it, and it can no longer be taken back. */
  #commit(): void {
    const held = this.#reply;
    if (held === undefined) return;
    this.#reply = undefined;
    this.#forgetRequest();
    this.call.sendHeaders(this.#replyHeaders ?? {});
    const chunk = held.length === 1 ? held[0] : Buffer.concat(held);
    if (chunk !== undefined && chunk.length > 0 && !this.call.write(chunk)) {
      this.#outgoing?.pause();
    }
  }

  /** Too large to be kept: what has come and what will come is passed on, once. */
  #passOn(): void {
    const request = { chunks: [...this.#request], ended: false };
    this.handOver();
    new StreamCall(this.call, { ...this.method, shape: "stream" }, this.desk, request);
  }

  #forgetRequest(): void {
    this.desk.counters.keptBytes -= this.#requestBytes;
    this.#requestBytes = 0;
    this.#request.length = 0;
  }
}
