/** Calls whose handlers write their answers themselves (`direct.ts`). */
import type { ServerCall } from "./context.ts";

/** The answers of a call, as its direct handler writes them. */
export interface Answers<Response> {
  /** Called when the caller has caught up, after a write said false; at the latest at the end. */
  onDrain: () => void;
  /** Called once, when the call is over for any reason; later writes are dropped. */
  onClosed: () => void;
  /** False: the caller reads slowly. The write is still taken; the handler should wait. */
  write(message: Response): boolean;
  /**
   * Encoded messages, each behind its prefix (`writeMessagePrefix`), in pieces that are cut
   * anywhere and must not be overwritten later; the last piece ends a message.
   */
  writeFramed(pieces: readonly Uint8Array[]): boolean;
  /** Ends the call, after what has been written. */
  end(): void;
  /** Ends it with an error, as if the handler had thrown it. */
  fail(thrown: unknown): void;
}

/** A direct call of an engine: `StreamCall` of our own, `DuplexDirectCall` over grpc-js. */
export interface DirectCall extends ServerCall, Omit<Answers<unknown>, "end" | "fail"> {
  /** The requests. May be called once. */
  requests(): AsyncIterable<unknown>;
  end(trailers?: unknown): void;
  fail(error: Error): void;
}

/** The entry point of a direct handler, for engines that have direct calls. */
export interface DirectHandler {
  readonly direct?: ((call: DirectCall) => void) | undefined;
}
