/**
 * A call with a stream on either side. Its reader is handed one message each time it wants one, so
 * the caller is held back by flow control; a caller who reads slowly makes `write` say false.
 */

import type { Stream } from "../../http2/mod.ts";
import { Code, StatusError } from "../../runtime/status-error.ts";
import type { DirectCall } from "../direct-call.ts";
import { Call } from "./call.ts";
import { DuplexCall } from "./duplex-call.ts";
import { frameMessage, MessageReader, tooLarge } from "./messages.ts";
import type { Method } from "./method.ts";
import { RequestIterator } from "./request-iterator.ts";
import type { Session } from "./session.ts";
import type { CallTemplate } from "./template.ts";
import { okHead, statusOf, statusOfError } from "./wire-metadata.ts";

/** Gets the requests of a call for its handler. */
export interface StreamReader {
  /** A request that was wanted. True: the next one is wanted, too. */
  onMessage(message: unknown): boolean;
  /** The caller has sent its last request. */
  onRequestEnd(): void;
  /** The call is over; for a Node stream only if that was not its handler's doing. */
  onOver(): void;
}

const noListener = () => {};

export class StreamCall extends Call implements DirectCall {
  onDrain: () => void = noListener;
  onClosed: () => void = noListener;
  readonly #messages: MessageReader;
  #reader: StreamReader | undefined;
  /** Received bytes that the caller has not been given back. */
  #held = 0;
  #wanted = false;
  #requestEnded = false;
  /** The handler reads no more; what comes is let go. */
  #deaf = false;

  constructor(session: Session, stream: Stream, template: CallTemplate, method: Method) {
    super(session, stream, template, method);
    this.#messages = new MessageReader(template.encoding, session.maxRequestBytes);
  }

  /** The header block has come; a handler of a request stream begins now. */
  begin() {
    if (!this.method.requestStream) return;
    try {
      this.#handle();
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  requests(): AsyncIterable<unknown> {
    const iterator = new RequestIterator(this);
    this.#reader = iterator;
    return iterator;
  }

  /** The reader wants a message; at most one at a time. */
  want() {
    this.#wanted = true;
    if (!this.done) this.#read();
  }

  /** The handler wants no more requests. */
  stopReading() {
    this.#deaf = true;
  }

  onData(bytes: Buffer, start: number, end: number, endStream: boolean) {
    const { connection } = this.session;
    if (this.done || this.#deaf) return connection.consume(this.stream, end - start);
    this.#held += end - start;
    this.#messages.add(bytes.subarray(start, end));
    if (endStream) this.#requestEnded = true;
    this.#read();
  }

  onEnd() {
    this.#requestEnded = true;
    if (!this.done) this.#read();
  }

  override onWritable() {
    this.onDrain();
  }

  write(message: unknown): boolean {
    if (this.done) return true;
    const { connection, maxMessageBytes } = this.session;
    let bytes: Uint8Array;
    try {
      bytes = this.method.serialize(message);
      if (bytes.length > maxMessageBytes) {
        throw tooLarge(`a response of ${bytes.length} bytes`, maxMessageBytes);
      }
    } catch (thrown) {
      const error = StatusError.from(thrown);
      const code = error.code === Code.unknown ? Code.internal : error.code;
      this.finish(statusOfError(new StatusError(code, error.message)));
      return true;
    }
    this.sendHead(okHead);
    return connection.data(this.stream, frameMessage(bytes), false);
  }

  writeFramed(pieces: readonly Uint8Array[]): boolean {
    if (this.done) return true;
    this.sendHead(okHead);
    let sent = true;
    for (const piece of pieces) {
      sent = this.session.connection.data(this.stream, piece, false);
    }
    return sent;
  }

  end(trailers?: unknown) {
    this.finish(statusOf({ code: Code.ok, details: "" }, trailers));
  }

  fail(error: unknown) {
    this.finish(statusOf(error, undefined));
  }

  /** The messages that are wanted, as far as they have come. */
  #read() {
    try {
      if (this.method.requestStream) this.#readMany();
      else this.#readSingle();
      if (!this.done) this.hold(this.#messages.bytes);
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  #fail(thrown: unknown) {
    this.finish(statusOfError(StatusError.from(thrown)));
    this.#reader?.onOver();
  }

  #readMany() {
    while (this.#wanted && !this.done) {
      const message = this.#messages.next();
      if (message === undefined) {
        // The rest of a message must be able to come, however long it is.
        this.#release(this.#held);
        if (!this.#requestEnded) return this.expectRest(this.#messages.bytes > 0);
        this.#wanted = false;
        if (this.#messages.bytes > 0) {
          throw new StatusError(Code.internal, "the request ended within a message");
        }
        this.#reader?.onRequestEnd();
        return;
      }
      this.expectRest(false);
      this.#release(this.#held - this.#messages.bytes);
      this.#wanted = this.#reader?.onMessage(this.parse(message)) === true;
    }
  }

  #readSingle() {
    this.#release(this.#held);
    this.#messages.checkSingle();
    this.expectRest(!this.#requestEnded);
    if (!this.#requestEnded) return;
    const message = this.#messages.next();
    if (message === undefined) {
      throw new StatusError(Code.internal, "the request ended within its message");
    }
    this.request = this.parse(message);
    this.#handle();
  }

  /** Throws a StatusError. */
  #handle() {
    const { direct, handle } = this.method;
    this.begun = true;
    try {
      if (direct !== undefined) {
        direct(this);
        return;
      }
      const duplex = new DuplexCall(this, this.method);
      this.#reader = duplex;
      handle(duplex, (error, value, trailers) => this.#answer(error, value, trailers));
    } catch (thrown) {
      throw this.session.handlerFailed(this.template.path, thrown);
    }
  }

  /** A client-streaming call's only response. */
  #answer(error: unknown, value: unknown, trailers: unknown) {
    if (this.done) return;
    if (error !== null && error !== undefined) return this.finish(statusOf(error, trailers));
    this.write(value);
    this.end(trailers);
  }

  #release(bytes: number) {
    if (bytes <= 0) return;
    this.#held -= bytes;
    this.session.connection.consume(this.stream, bytes);
  }

  protected override over() {
    super.over();
    // A write that waits for the caller waits no longer.
    this.onDrain();
    this.onClosed();
    if (this.method.direct !== undefined) this.#reader?.onOver();
  }

  protected override cancel() {
    super.cancel();
    this.#reader?.onOver();
  }
}
