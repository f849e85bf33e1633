/**
 * What the balancer's rules stand on: calls that come in, calls that go out, and nothing of the
 * connections that carry them. Everything is callback-shaped; no handler may be called from within
 * the method that registers it. Bytes are ranges of what a socket brought: they are never
 * overwritten or copied.
 */
import type { Code } from "../runtime/status-error.ts";
import type { Method } from "./methods.ts";
import type { ReplyFields } from "./reply-fields.ts";

/** Which of a master's connections carries a call: each protocol has one. */
export type Link = "grpc" | "rest";

/** Where a call goes, and the fields that it has in common with others. */
export interface Route {
  readonly link: Link;
  readonly path: string;
  readonly method: Method;
  /**
   * The header block of a request by this route, to a master at this address (`host:port`), but for
   * the fields of the single attempt; valid until the next call.
   */
  block(scheme: string, address: string): Uint8Array;
}

export interface RequestHead {
  readonly route: Route;
  /** The `grpc-timeout` as the client sent it. */
  readonly timeout: string | undefined;
  /** How long a REST call may take, from its arrival on. */
  readonly timeoutMillis: number | undefined;
  /** As the client sent them; several are joined by commas. */
  readonly requestId: string | undefined;
  readonly attempt: string | undefined;
  readonly traceparent: string | undefined;
}

export interface IncomingHandlers {
  /** A piece of the request's body, `bytes[start..end)`; `last`: the request is complete. */
  data(bytes: Buffer, start: number, end: number, last: boolean): void;
  /** `write` has said false, and may be used again. */
  drain(): void;
  /** The client has gone or cancelled. Last. */
  cancelled(): void;
}

/** A call of a client. */
export interface IncomingCall {
  readonly head: RequestHead;
  /** Why the client of this connection may make no calls; undefined: it may. */
  readonly refusal: string | undefined;
  /** Milliseconds, as `performance.now()` counts. */
  readonly arrivedAt: number;
  /** Sets or replaces the handlers; the body flows from the first time on. */
  handle(handlers: IncomingHandlers): void;
  /** Stops reading the body; the client then stops sending by flow control. */
  pause(): void;
  resume(): void;
  sendHeaders(fields: ReplyFields): void;
  /** After `sendHeaders`. False: wait for `drain`. */
  write(bytes: Buffer, start: number, end: number): boolean;
  /** Ends the call with these trailers; without `sendHeaders` before, as a trailers-only reply. */
  finish(trailers: ReplyFields): void;
  /** Ends the call with an error of the balancer's own, as its protocol tells errors. */
  fail(code: Code, message: string): void;
}

/** Why an outgoing call failed before its trailers came. */
export interface Failure {
  /**
   * `refused`: the master has not begun it, for certain. `lost`: the master or the connection to it
   * died, and the outcome is unknown. `rejected`: the master is alive and reset it; `code` says
   * how.
   */
  readonly kind: "refused" | "lost" | "rejected";
  /** HTTP/2 error code (RFC 9113 section 7), for `rejected`. */
  readonly code: number;
  /** What failed: this call alone, or the connection with all its calls. */
  readonly scope: "call" | "connection";
}

export interface OutgoingHandlers {
  replyHeaders(fields: ReplyFields): void;
  replyData(bytes: Buffer, start: number, end: number): void;
  /** The reply is complete. Last. `replyHeaders` has not been called for a trailers-only reply. */
  replyEnd(trailers: ReplyFields): void;
  /** `write` has said false, and may be used again. */
  requestDrain(): void;
  /** Last. */
  failed(failure: Failure): void;
}

/** A call to a master. */
export interface OutgoingCall {
  /** `last`: the request is complete. False: wait for `requestDrain`. */
  write(bytes: Buffer, start: number, end: number, last: boolean): boolean;
  pause(): void;
  resume(): void;
  /** Resets the call; no handler is called any more. */
  cancel(): void;
}
