/**
 * A unary call, as lean as the handlers' view of it allows: no stream, no emitter, metadata only
 * when it is asked for. To a handler it is grpc-js's `ServerUnaryCall`.
 */
import type { Metadata } from "@grpc/grpc-js";
import type { Stream } from "../../http2/mod.ts";
import { Code, StatusError } from "../../runtime/status-error.ts";
import type { Arrival } from "./arrival.ts";
import type { Expiring } from "./deadline-wheel.ts";
import { frameMessage, MessageReader, plainMessage, prefixBytes, tooLarge } from "./messages.ts";
import type { Method } from "./method.ts";
import { type AuthContext, type CallOwner, deadlinePassed, type Session } from "./session.ts";
import type { CallTemplate } from "./template.ts";
import {
  headOf,
  okHead,
  okTail,
  statusOf,
  statusOfError,
  tailOf,
  toMetadata,
  type WireStatus,
} from "./wire-metadata.ts";

/** Requests up to a frame's size are not counted: most are small, and it would cost each. */
const uncountedBytes = 16 * 1024;

type Listener = (...args: unknown[]) => void;

export class UnaryCall implements CallOwner, Expiring {
  request: unknown;
  cancelled = false;
  readonly expiresAt: number;
  previous: Expiring | undefined;
  next: Expiring | undefined;
  readonly #session: Session;
  readonly #stream: Stream;
  readonly #template: CallTemplate;
  readonly #method: Method;
  #reader: MessageReader | undefined;
  /** Taken from the session's allowance until the call is over. */
  #requestBytes = 0;
  #arrival: Arrival | undefined;
  #metadata: Metadata | undefined;
  #onCancelled: Listener[] | undefined;
  #headSent = false;
  #begun = false;
  #done = false;

  constructor(session: Session, stream: Stream, template: CallTemplate, method: Method) {
    this.#session = session;
    this.#stream = stream;
    this.#template = template;
    this.#method = method;
    const { timeoutMillis } = template;
    if (timeoutMillis === undefined) {
      this.expiresAt = Number.POSITIVE_INFINITY;
    } else {
      this.expiresAt = Date.now() + timeoutMillis;
      session.deadlines.add(this);
    }
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

  /** Of an emitter, this is what such a call needs: it says `cancelled`, once, or nothing. */
  on(event: string, listener: Listener): this {
    if (event !== "cancelled") return this;
    if (this.#onCancelled === undefined) this.#onCancelled = [listener];
    else this.#onCancelled.push(listener);
    return this;
  }

  once(event: string, listener: Listener): this {
    return this.on(event, listener);
  }

  addListener(event: string, listener: Listener): this {
    return this.on(event, listener);
  }

  off(event: string, listener: Listener): this {
    if (event !== "cancelled" || this.#onCancelled === undefined) return this;
    const at = this.#onCancelled.indexOf(listener);
    if (at >= 0) this.#onCancelled.splice(at, 1);
    return this;
  }

  removeListener(event: string, listener: Listener): this {
    return this.off(event, listener);
  }

  sendMetadata(metadata: Metadata) {
    if (this.#headSent || this.#done) return;
    this.#headSent = true;
    this.#session.connection.headers(this.#stream, headOf(metadata), false);
  }

  onData(bytes: Buffer, start: number, end: number, endStream: boolean) {
    const { connection, maxRequestBytes } = this.#session;
    connection.consume(this.#stream, end - start);
    if (this.#done) return;
    try {
      if (this.#reader === undefined && endStream && end - start >= prefixBytes) {
        const body = start + prefixBytes;
        if (bytes.readUInt32BE(start + 1) === end - body) {
          if (end - body > maxRequestBytes) {
            throw tooLarge(`a message of ${end - body} bytes`, maxRequestBytes);
          }
          const flag = bytes[start] as number;
          const { encoding } = this.#template;
          this.#begin(plainMessage(flag, bytes.subarray(body, end), encoding, maxRequestBytes));
          return;
        }
      }
      this.#collect(bytes.subarray(start, end), endStream);
    } catch (thrown) {
      this.#refuse(StatusError.from(thrown));
    }
  }

  onEnd() {
    if (this.#done) return;
    try {
      this.#collect(Buffer.alloc(0), true);
    } catch (thrown) {
      this.#refuse(StatusError.from(thrown));
    }
  }

  onReset() {
    if (this.#done) return;
    this.#finish();
    this.#cancel();
  }

  onWritable() {}

  expire() {
    this.abandon(deadlinePassed());
  }

  abandon(error: StatusError) {
    if (this.#done) return;
    this.#refuse(error);
    this.#cancel();
  }

  #collect(piece: Buffer, endStream: boolean) {
    this.#take(piece.length);
    const { maxRequestBytes } = this.#session;
    this.#reader ??= new MessageReader(this.#template.encoding, maxRequestBytes);
    const reader = this.#reader;
    reader.add(piece);
    reader.checkSingle();
    if (!endStream) {
      this.#arrival ??= this.#session.expectRest(this);
      return;
    }
    this.#arrival?.stop();
    const message = reader.next();
    if (message === undefined) {
      throw new StatusError(Code.internal, "a unary call that ended within its message");
    }
    this.#begin(message);
  }

  #take(bytes: number) {
    this.#session.requestBytes.take(bytes);
    this.#requestBytes += bytes;
  }

  #begin(message: Buffer) {
    // What was compressed holds more than what came.
    const more = message.length - this.#requestBytes;
    if (more > uncountedBytes) this.#take(more);
    this.#begun = true;
    try {
      this.request = this.#method.deserialize(message);
    } catch (thrown) {
      const { message: text } = StatusError.from(thrown);
      throw new StatusError(Code.internal, `the request could not be parsed: ${text}`);
    }
    try {
      this.#method.handle(this, (error, value, trailers) => this.#answer(error, value, trailers));
    } catch (thrown) {
      throw this.#session.handlerFailed(this.#template.path, thrown);
    }
  }

  #answer(error: unknown, value: unknown, trailers: unknown) {
    if (this.#done) return;
    if (error !== null && error !== undefined) return this.#end(statusOf(error, trailers));
    const { connection, maxMessageBytes } = this.#session;
    let bytes: Uint8Array;
    try {
      bytes = this.#method.serialize(value);
    } catch (thrown) {
      const { message } = StatusError.from(thrown);
      const text = `the response could not be serialized: ${message}`;
      return this.#refuse(new StatusError(Code.internal, text));
    }
    if (bytes.length > maxMessageBytes) {
      return this.#refuse(tooLarge(`a response of ${bytes.length} bytes`, maxMessageBytes));
    }
    this.#finish();
    const tail = trailers === undefined || trailers === null ? okTail : okTailWith(trailers);
    if (this.#headSent) {
      connection.data(this.#stream, frameMessage(bytes), false);
      connection.trailers(this.#stream, tail);
    } else {
      connection.reply(this.#stream, okHead, bytes, tail);
    }
  }

  #refuse(error: StatusError) {
    if (!this.#done) this.#end(statusOfError(error));
  }

  #end(status: WireStatus) {
    this.#finish();
    const { connection } = this.#session;
    if (this.#headSent) connection.trailers(this.#stream, tailOf(status, false));
    else connection.headers(this.#stream, tailOf(status, true), true);
  }

  #finish() {
    this.#done = true;
    this.#session.deadlines.remove(this);
    this.#arrival?.stop();
    if (this.#requestBytes > 0) this.#session.requestBytes.give(this.#requestBytes);
    this.#requestBytes = 0;
  }

  #cancel() {
    this.cancelled = true;
    if (!this.#begun || this.#onCancelled === undefined) return;
    for (const listener of this.#onCancelled.splice(0)) listener("cancelled");
  }
}

function okTailWith(trailers: unknown): Uint8Array {
  return tailOf({ ...statusOf({ code: 0, details: "" }, trailers) }, false);
}
