/** A gRPC call on the connection to a master, and what its end says of the master. */
import {
  type Connection,
  ErrorCode,
  type HeaderBlock,
  type ResetCause,
  type Stream,
} from "../http2/mod.ts";
import type { Failure, OutgoingCall, OutgoingHandlers } from "./calls.ts";
import type { PacedResets } from "./paced-resets.ts";
import { ReplyFields } from "./reply-fields.ts";

export class MasterCall implements OutgoingCall {
  readonly #connection: Connection;
  readonly #resets: PacedResets;
  readonly #stream: Stream;
  protected handlers: OutgoingHandlers | undefined;
  #paused = false;

  constructor(
    { connection, resets }: { readonly connection: Connection; readonly resets: PacedResets },
    stream: Stream,
    handlers: OutgoingHandlers,
  ) {
    this.#connection = connection;
    this.#resets = resets;
    this.#stream = stream;
    this.handlers = handlers;
  }

  write(bytes: Buffer, start: number, end: number, last: boolean): boolean {
    if (this.#stream.localClosed) return true;
    return this.#connection.data(this.#stream, bytes, last, start, end);
  }

  /** Stops granting window. Data within the window already granted still arrives. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#connection.consume(this.#stream, this.#stream.unconsumed);
  }

  cancel(): void {
    this.#settle();
    this.#end(ErrorCode.cancel);
  }

  answered(block: HeaderBlock, endStream: boolean): void {
    const fields = ReplyFields.of(block);
    if (fields.httpStatus !== "200") {
      this.broken({ kind: "rejected", code: ErrorCode.protocolError, scope: "call" });
      this.#end(ErrorCode.cancel);
      return;
    }
    // A reply of nothing but trailers has its status in the first header block.
    if (fields.final) this.completed(block);
    else if (endStream) this.broken(endedEarly);
    else this.handlers?.replyHeaders(fields);
  }

  arrived(bytes: Buffer, start: number, end: number, endStream: boolean): void {
    this.pass(bytes, start, end);
    if (endStream) this.broken(endedEarly);
  }

  /** A piece of the reply's body. */
  protected pass(bytes: Buffer, start: number, end: number): void {
    if (end > start) this.handlers?.replyData(bytes, start, end);
    if (!this.#paused) this.#connection.consume(this.#stream, end - start);
  }

  completed(block: HeaderBlock): void {
    this.complete(ReplyFields.of(block));
  }

  /** The reply has come to its end; `fields` say how it went. */
  protected complete(fields: ReplyFields): void {
    this.#settle()?.replyEnd(fields);
    // The master has answered without reading to the end: the rest need not be sent.
    const { localClosed, ending } = this.#stream;
    if (!localClosed || ending) this.#end(ErrorCode.noError);
  }

  /**
   * The call has no listener any more. Until its reset goes out, the master may fill the window.
   */
  #end(code: ErrorCode): void {
    this.#paused = true;
    this.#resets.reset(this.#stream, code);
  }

  writable(): void {
    this.handlers?.requestDrain();
  }

  broken(failure: Failure): void {
    this.#settle()?.failed(failure);
  }

  /** The handlers, for the last time. */
  #settle(): OutgoingHandlers | undefined {
    const { handlers } = this;
    this.handlers = undefined;
    return handlers;
  }
}

/** A reply without trailers: the outcome of the call is unknown. */
const endedEarly: Failure = { kind: "lost", code: ErrorCode.noError, scope: "call" };

/** Resets that a process sends for its open calls while it goes down, just before it is gone. */
const dyingCodes: ReadonlySet<number> = new Set([
  ErrorCode.noError,
  ErrorCode.internalError,
  ErrorCode.cancel,
  ErrorCode.connectError,
]);

export function failureOf(code: number, cause: ResetCause): Failure {
  if (cause === "refused") return { kind: "refused", code, scope: "connection" };
  if (cause === "closed") return { kind: "lost", code, scope: "connection" };
  if (cause === "violation") return { kind: "rejected", code, scope: "call" };
  if (code === ErrorCode.refusedStream) return { kind: "refused", code, scope: "call" };
  return { kind: dyingCodes.has(code) ? "lost" : "rejected", code, scope: "call" };
}
