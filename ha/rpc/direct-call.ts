/** Calls whose handlers write their answers themselves (`direct.ts`). */
import type { ServerCall } from "./context.ts";

/** Where a direct handler writes. */
export interface Answers<Response> {
  /** Called when the caller has caught up, after a write said false; at the latest at the end. */
  onDrain: () => void;
  /** Called once, when the call is over for whatever reason; what is written later is let go. */
  onClosed: () => void;
  /** False: the caller reads slowly. Nothing is refused; the handler does the waiting. */
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

/** What an engine offers for it; `StreamCall` by itself, `DuplexDirectCall` over grpc-js. */
export interface DirectCall extends ServerCall, Omit<Answers<unknown>, "end" | "fail"> {
  /** To be asked for once. */
  requests(): AsyncIterable<unknown>;
  end(trailers?: unknown): void;
  fail(error: Error): void;
}

/** What an engine that has direct calls begins such a handler by. */
export interface DirectHandler {
  readonly direct?: ((call: DirectCall) => void) | undefined;
}
