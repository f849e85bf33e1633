/**
 * What the balancer's rules stand on: calls that come in, calls that go out, and nothing of the
 * connections that carry them. Everything is callback-shaped; no handler may be called from within
 * the method that registers it.
 */
import type { PeerIdentity } from "../rpc/listener.ts";

/** Header fields by lower-case name; no pseudo fields. */
export type Headers = Readonly<Record<string, string | readonly string[]>>;

export interface IncomingHandlers {
  /** A piece of the request's body. */
  data(chunk: Buffer): void;
  /** The request is complete. */
  end(): void;
  /** `write` has said false, and may be used again. */
  drain(): void;
  /** The client has gone or cancelled. Last. */
  cancelled(): void;
}

/** A call of a client. */
export interface IncomingCall {
  readonly path: string;
  readonly authority: string;
  readonly headers: Headers;
  readonly peer: PeerIdentity;
  /** Milliseconds, as `performance.now()` counts. */
  readonly arrivedAt: number;
  /** Sets or replaces the handlers; the body flows from the first time on. */
  handle(handlers: IncomingHandlers): void;
  /** Stops reading the body; the client then stops sending by flow control. */
  pause(): void;
  resume(): void;
  sendHeaders(headers: Headers): void;
  /** After `sendHeaders`. False: wait for `drain`. */
  write(chunk: Buffer): boolean;
  /** Ends the call with these trailers; without `sendHeaders` before, as a trailers-only reply. */
  finish(trailers: Headers): void;
}

/** Why an outgoing call failed before its trailers came. */
export interface Failure {
  /**
   * `refused`: the master has not begun it, for certain. `lost`: the master or the way to it died,
   * and nobody knows. `rejected`: the master is alive and reset it; `code` says how.
   */
  readonly kind: "refused" | "lost" | "rejected";
  /** HTTP/2 error code (RFC 9113 section 7), for `rejected`. */
  readonly code: number;
}

export interface OutgoingHandlers {
  headers(headers: Headers): void;
  data(chunk: Buffer): void;
  /** The reply is complete. Last. `headers` has not been called for a trailers-only reply. */
  trailers(trailers: Headers): void;
  drain(): void;
  /** Last. */
  failed(failure: Failure): void;
}

/** A call to a master. */
export interface OutgoingCall {
  /** False: wait for `drain`. */
  write(chunk: Buffer): boolean;
  end(): void;
  pause(): void;
  resume(): void;
  /** Resets the call; no handler is called any more. */
  cancel(): void;
}

export interface OutgoingRequest {
  readonly path: string;
  readonly authority: string;
  readonly headers: Headers;
}
