import type { OutgoingHttpHeaders } from "node:http";
import { Duplex } from "node:stream";
import { type Connection, ErrorCode, encodeHeaders, type Stream } from "../../ha/http2/mod.ts";
import { ingressLimits as limits } from "./limits.ts";

type Done = (error?: Error | null) => void;

const nothing = Buffer.alloc(0);

/**
 * A stream of the balancer's HTTP/2 engine as one of Node's, so that bodies can be piped: what is
 * read arrives from the peer, what is written goes there. The peer may send only as fast as it is
 * read. Closes when both halves have ended; `aborted` comes before it when the peer broke off.
 */
export class EngineStream extends Duplex {
  protected readonly connection: Connection;
  protected readonly stream: Stream;
  #unread = 0;
  /** The peer has sent everything. */
  protected isWhole = false;
  /** Of the write that waits for the peer. */
  #written: Done | undefined;
  #trailers: Uint8Array | undefined;
  /** The peer takes nothing of what waits for it. */
  #stalled: NodeJS.Timeout | undefined;
  #silence: NodeJS.Timeout | undefined;

  constructor(connection: Connection, stream: Stream) {
    super();
    this.connection = connection;
    this.stream = stream;
    stream.user = this;
  }

  /** Calls back when nothing has moved for so long, in either direction. */
  watchSilence(millis: number, silent: () => void): void {
    this.#silence = setTimeout(silent, millis);
  }

  /** A piece of the peer's body. */
  received(bytes: Buffer, isLast: boolean): void {
    this.#silence?.refresh();
    this.#unread += bytes.length;
    if (bytes.length > 0 && this.push(bytes)) this._read();
    if (!isLast) return;
    this.isWhole = true;
    this.push(null);
  }

  /** What waited has gone. */
  flushed(): void {
    this.#silence?.refresh();
    clearTimeout(this.#stalled);
    const written = this.#written;
    this.#written = undefined;
    written?.();
  }

  /** The stream is over before its time. */
  broken(): void {
    if (this.destroyed) return;
    this.emit("aborted");
    this.destroy();
  }

  /** They follow what is written. */
  addTrailers(fields: OutgoingHttpHeaders): void {
    this.#trailers = encodeHeaders(fieldsOf(fields));
  }

  override _read(): void {
    const bytes = this.#unread;
    this.#unread = 0;
    if (bytes > 0) this.connection.consume(this.stream, bytes);
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: Done): void {
    this.#silence?.refresh();
    this.#when(this.connection.data(this.stream, chunk, false), done);
  }

  override _final(done: Done): void {
    if (this.#trailers === undefined) {
      this.#when(this.connection.data(this.stream, nothing, true), done);
      return;
    }
    this.connection.trailers(this.stream, this.#trailers);
    this.#when(this.stream.queuedBytes === 0, done);
  }

  override _destroy(error: Error | null, done: Done): void {
    clearTimeout(this.#stalled);
    clearTimeout(this.#silence);
    const { noError, cancel } = ErrorCode;
    this.connection.reset(this.stream, this.writableFinished ? noError : cancel);
    this.#written?.(error);
    done(error);
  }

  #when(isGone: boolean, done: Done): void {
    if (isGone) done();
    else {
      this.#written = done;
      this.#stalled = setTimeout(() => this.destroy(), limits.clientSilenceMillis);
    }
  }
}

/** Name and value alternately. */
export function fieldsOf(headers: OutgoingHttpHeaders): string[] {
  return Object.entries(headers).flatMap(([name, value]) => {
    const values = value === undefined ? [] : Array.isArray(value) ? value : [String(value)];
    return values.flatMap((one) => [name.toLowerCase(), one]);
  });
}
