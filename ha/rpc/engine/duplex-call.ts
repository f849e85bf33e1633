/**
 * A streaming call as grpc-js gives it to its handlers: a Node stream of messages. `request`,
 * metadata and peer are the call's.
 */
import { Duplex, type DuplexOptions } from "node:stream";
import type { Metadata } from "@grpc/grpc-js";
import { Code } from "../../runtime/status-error.ts";
import type { AuthContext } from "./call-owner.ts";
import type { Method } from "./method.ts";
import type { StreamCall, StreamReader } from "./stream-call.ts";
import { statusOf, type WireStatus } from "./wire-metadata.ts";

type Done = (error?: Error | null) => void;

export class DuplexCall extends Duplex implements StreamReader {
  readonly #call: StreamCall;
  readonly #responseStream: boolean;
  #trailers: unknown;
  /** What the call ends with, once everything that was written has gone. */
  #status: WireStatus | undefined;
  #written: Done | undefined;

  constructor(call: StreamCall, { requestStream: readable, responseStream: writable }: Method) {
    // The call is not over when one of its sides is.
    super({
      ...{ objectMode: true, autoDestroy: false, readable, writable },
      // A message may be large: no more of them are kept than one on its way and the next.
      ...{ readableHighWaterMark: 2, writableHighWaterMark: 2 },
    } as DuplexOptions);
    this.#call = call;
    this.#responseStream = writable;
    // A handler ends its call with a status by emitting an error.
    this.on("error", (error) => this.#fail(error));
    call.on("cancelled", () => this.emit("cancelled", "cancelled"));
    call.onDrain = () => {
      const written = this.#written;
      this.#written = undefined;
      written?.();
    };
  }

  get request(): unknown {
    return this.#call.request;
  }

  get cancelled(): boolean {
    return this.#call.cancelled;
  }

  get metadata(): Metadata {
    return this.#call.metadata;
  }

  getPeer(): string {
    return this.#call.getPeer();
  }

  getDeadline(): number {
    return this.#call.getDeadline();
  }

  getPath(): string {
    return this.#call.getPath();
  }

  getHost(): string {
    return this.#call.getHost();
  }

  getAuthContext(): AuthContext {
    return this.#call.getAuthContext();
  }

  sendMetadata(metadata: Metadata) {
    this.#call.sendMetadata(metadata);
  }

  onMessage(message: unknown): boolean {
    return this.push(message);
  }

  onRequestEnd() {
    this.push(null);
  }

  onOver() {
    this.destroy();
  }

  override _read() {
    this.#call.want();
  }

  override _write(message: unknown, _: string, done: Done) {
    if (this.#call.write(message)) done();
    else this.#written = done;
  }

  override _final(done: Done) {
    done();
    this.#call.finish(this.#status ?? statusOf({ code: Code.ok, details: "" }, this.#trailers));
  }

  override _destroy(error: Error | null, done: Done) {
    this.#call.stopReading();
    // The handler has destroyed its response stream. (One that only stops reading may still
    // answer.)
    if (this.#responseStream) {
      this.#call.finish(statusOf(error ?? { code: Code.cancelled, details: "" }, null));
    }
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
    if (this.destroyed || !this.#responseStream) {
      this.#call.finish(status);
    } else {
      this.#status ??= status;
      super.end();
    }
  }
}
