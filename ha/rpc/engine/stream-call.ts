/**
 * A call with a stream on either side: a Node stream of messages, as grpc-js gives its handlers.
 * A handler reads no faster than it wants, and the caller is held back by flow control; a caller
 * who reads slowly makes `write` say false.
 */
import { Duplex, type DuplexOptions } from "node:stream";
import type { Metadata } from "@grpc/grpc-js";
import type { Stream } from "../../http2/mod.ts";
import { Code, StatusError } from "../../runtime/status-error.ts";
import type { Arrival } from "./arrival.ts";
import type { Expiring } from "./deadline-wheel.ts";
import { frameMessage, MessageReader, tooLarge } from "./messages.ts";
import type { Method } from "./method.ts";
import { type AuthContext, type CallOwner, deadlinePassed, type Session } from "./session.ts";
import type { CallTemplate } from "./template.ts";
import {
  headOf,
  okHead,
  statusOf,
  statusOfError,
  tailOf,
  toMetadata,
  type WireStatus,
} from "./wire-metadata.ts";

type Done = (error?: Error | null) => void;

export class StreamCall extends Duplex implements CallOwner, Expiring {
  /** Where the request is a single message. */
  request: unknown;
  cancelled = false;
  readonly expiresAt: number;
  previous: Expiring | undefined;
  next: Expiring | undefined;
  readonly #session: Session;
  readonly #stream: Stream;
  readonly #template: CallTemplate;
  readonly #method: Method;
  readonly #reader: MessageReader;
  /** Received bytes that the caller has not been given back. */
  #held = 0;
  /** Taken from the session's allowance: what the reader holds. */
  #requestBytes = 0;
  /** While a message has come in part. */
  #arrival: Arrival | undefined;
  #wanted = false;
  #requestEnded = false;
  #begun = false;
  #headSent = false;
  #done = false;
  #metadata: Metadata | undefined;
  #trailers: unknown;
  /** What the call ends with, once everything that was written has gone. */
  #status: WireStatus | undefined;
  #written: Done | undefined;

  constructor(session: Session, stream: Stream, template: CallTemplate, method: Method) {
    const { requestStream: readable, responseStream: writable } = method;
    // The call is not over when one of its sides is.
    super({
      ...{ objectMode: true, autoDestroy: false, readable, writable },
      // A message may be large: no more of them are kept than one on its way and the next.
      ...{ readableHighWaterMark: 2, writableHighWaterMark: 2 },
    } as DuplexOptions);
    this.#session = session;
    this.#stream = stream;
    this.#template = template;
    this.#method = method;
    this.#reader = new MessageReader(template.encoding, session.maxRequestBytes);
    // A handler ends its call with a status by emitting an error.
    this.on("error", (error) => this.#fail(error));
    const { timeoutMillis } = template;
    if (timeoutMillis === undefined) {
      this.expiresAt = Number.POSITIVE_INFINITY;
    } else {
      this.expiresAt = Date.now() + timeoutMillis;
      session.deadlines.add(this);
    }
  }

  /** The header block has come; a handler of a request stream begins now. */
  begin() {
    if (this.#method.requestStream) this.#handle();
  }

  get metadata(): Metadata {
    this.#metadata ??= toMetadata(this.#template.block);
    return this.#metadata;
  }

  getPeer(): string {
    return this.#session.peerAddress;
  }

  getDeadline(): number {
    return this.expiresAt;
  }

  getPath(): string {
    return this.#template.path;
  }

  getHost(): string {
    return this.#template.host;
  }

  getAuthContext(): AuthContext {
    return this.#session.authContext;
  }

  sendMetadata(metadata: Metadata) {
    if (this.#done) return;
    this.#sendHead(headOf(metadata));
  }

  onData(bytes: Buffer, start: number, end: number, endStream: boolean) {
    const { connection } = this.#session;
    if (this.#done || this.destroyed) return connection.consume(this.#stream, end - start);
    this.#held += end - start;
    this.#reader.add(bytes.subarray(start, end));
    if (endStream) this.#requestEnded = true;
    this.#read();
  }

  onEnd() {
    this.#requestEnded = true;
    if (!this.#done) this.#read();
  }

  onReset() {
    if (this.#done) return;
    this.#over();
    this.#cancel();
  }

  onWritable() {
    const written = this.#written;
    this.#written = undefined;
    written?.();
  }

  expire() {
    this.abandon(deadlinePassed());
  }

  abandon(error: StatusError) {
    if (this.#done) return;
    this.#finish(statusOfError(error));
    this.#cancel();
  }

  override _read() {
    this.#wanted = true;
    if (!this.#done) this.#read();
  }

  override _write(message: unknown, _: string, done: Done) {
    if (this.#done) return done();
    const { connection, maxMessageBytes } = this.#session;
    let bytes: Uint8Array;
    try {
      bytes = this.#method.serialize(message);
      if (bytes.length > maxMessageBytes) {
        throw tooLarge(`a response of ${bytes.length} bytes`, maxMessageBytes);
      }
    } catch (thrown) {
      const error = StatusError.from(thrown);
      const code = error.code === Code.unknown ? Code.internal : error.code;
      this.#finish(statusOfError(new StatusError(code, error.message)));
      return done();
    }
    this.#sendHead(okHead);
    if (connection.data(this.#stream, frameMessage(bytes), false)) done();
    else this.#written = done;
  }

  override _final(done: Done) {
    done();
    this.#finish(this.#status ?? statusOf({ code: Code.ok, details: "" }, this.#trailers));
  }

  override _destroy(error: Error | null, done: Done) {
    // A handler that gives its response up without a word. (Who only leaves off reading may answer.)
    if (!this.#done && this.#method.responseStream)
      this.#finish(statusOf(error ?? { code: Code.cancelled, details: "" }, null));
    done();
  }

  /** Ends the call with these trailers. */
  override end(trailers?: unknown): this {
    if (trailers !== undefined && trailers !== null) this.#trailers = trailers;
    return super.end();
  }

  /** A handler's error. What it has written before goes first. */
  #fail(error: unknown) {
    const status = statusOf(error, undefined);
    if (this.destroyed || !this.#method.responseStream) {
      this.#finish(status);
    } else {
      this.#status ??= status;
      super.end();
    }
  }

  /** The messages that are wanted, as far as they have come. */
  #read() {
    try {
      if (this.#method.requestStream) this.#readMany();
      else this.#readSingle();
      if (!this.#done) this.#account(this.#reader.bytes);
    } catch (thrown) {
      this.#finish(statusOfError(StatusError.from(thrown)));
      this.destroy();
    }
  }

  #readMany() {
    while (this.#wanted && !this.#done) {
      const message = this.#reader.next();
      if (message === undefined) {
        // The rest of a message must be able to come, however long it is.
        this.#release(this.#held);
        if (!this.#requestEnded) return this.#expectRest(this.#reader.bytes > 0);
        this.#wanted = false;
        if (this.#reader.bytes > 0) {
          throw new StatusError(Code.internal, "the request ended within a message");
        }
        this.push(null);
        return;
      }
      this.#expectRest(false);
      this.#release(this.#held - this.#reader.bytes);
      this.#wanted = this.push(this.#parsed(message));
    }
  }

  #readSingle() {
    this.#release(this.#held);
    this.#reader.checkSingle();
    this.#expectRest(!this.#requestEnded);
    if (!this.#requestEnded) return;
    const message = this.#reader.next();
    if (message === undefined) {
      throw new StatusError(Code.internal, "the request ended within its message");
    }
    this.request = this.#parsed(message);
    this.#handle();
  }

  #parsed(message: Buffer): unknown {
    try {
      return this.#method.deserialize(message);
    } catch (thrown) {
      const { message: text } = StatusError.from(thrown);
      throw new StatusError(Code.internal, `the request could not be parsed: ${text}`);
    }
  }

  #handle() {
    this.#begun = true;
    try {
      this.#method.handle(this, (error, value, trailers) => this.#answer(error, value, trailers));
    } catch (thrown) {
      this.#finish(statusOfError(this.#session.handlerFailed(this.#template.path, thrown)));
      this.destroy();
    }
  }

  /** A client-streaming call's only response. */
  #answer(error: unknown, value: unknown, trailers: unknown) {
    if (this.#done) return;
    if (error !== null && error !== undefined) return this.#finish(statusOf(error, trailers));
    this._write(value, "", () => {});
    this.#finish(statusOf({ code: Code.ok, details: "" }, trailers));
  }

  #release(bytes: number) {
    if (bytes <= 0) return;
    this.#held -= bytes;
    this.#session.connection.consume(this.#stream, bytes);
  }

  /** Throws a StatusError when the requests under way would hold too much. */
  #account(bytes: number) {
    const more = bytes - this.#requestBytes;
    if (more > 0) this.#session.requestBytes.take(more);
    else if (more < 0) this.#session.requestBytes.give(-more);
    this.#requestBytes = bytes;
  }

  #expectRest(incomplete: boolean) {
    if (incomplete) {
      this.#arrival ??= this.#session.expectRest(this);
    } else if (this.#arrival !== undefined) {
      this.#arrival.stop();
      this.#arrival = undefined;
    }
  }

  #sendHead(block: Uint8Array) {
    if (this.#headSent) return;
    this.#headSent = true;
    this.#session.connection.headers(this.#stream, block, false);
  }

  #finish(status: WireStatus) {
    if (this.#done) return;
    this.#over();
    const { connection } = this.#session;
    if (this.#headSent) connection.trailers(this.#stream, tailOf(status, false));
    else connection.headers(this.#stream, tailOf(status, true), true);
  }

  #over() {
    this.#done = true;
    this.#session.deadlines.remove(this);
    this.#account(0);
    this.#expectRest(false);
    // A write that waits for the caller waits no longer.
    this.onWritable();
  }

  #cancel() {
    this.cancelled = true;
    if (this.#begun) this.emit("cancelled", "cancelled");
    this.destroy();
  }
}
