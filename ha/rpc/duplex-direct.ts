/** A direct call over the Node stream that the reference engine gives its handlers. */
import type { Metadata, ServerDuplexStream } from "@grpc/grpc-js";
import type { ServerCall } from "./context.ts";
import type { DirectCall } from "./direct-call.ts";
import { prefixBytes } from "./engine/messages.ts";
import { requestsOf } from "./handlers.ts";

/** A message that needs no serializing any more. */
export class EncodedMessage {
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
}

export class DuplexDirectCall implements DirectCall {
  readonly #call: ServerDuplexStream<unknown, unknown>;
  #closed = false;
  onDrain: () => void = () => {};
  onClosed: () => void = () => {};

  constructor(call: ServerDuplexStream<unknown, unknown>) {
    this.#call = call;
    call.on("drain", () => this.onDrain());
    call.on("cancelled", () => this.#close());
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

  getDeadline(): ReturnType<ServerCall["getDeadline"]> {
    return this.#call.getDeadline();
  }

  getPath(): string {
    return this.#call.getPath();
  }

  getAuthContext(): ReturnType<ServerCall["getAuthContext"]> {
    return this.#call.getAuthContext();
  }

  sendMetadata(metadata: Metadata): void {
    if (!this.#closed) this.#call.sendMetadata(metadata);
  }

  on(event: "cancelled", listener: () => void): this {
    this.#call.on(event, listener);
    return this;
  }

  requests(): AsyncIterable<unknown> {
    return requestsOf(this.#call, this);
  }

  write(message: unknown): boolean {
    if (this.#closed) return true;
    return this.#call.write(message) || !this.#call.writableNeedDrain;
  }

  writeFramed(pieces: readonly Uint8Array[]): boolean {
    const bytes = Buffer.concat(pieces);
    let sent = true;
    for (let at = 0; at < bytes.length; ) {
      const start = at + prefixBytes;
      at = start + bytes.readUInt32BE(at + 1);
      sent = this.write(new EncodedMessage(bytes.subarray(start, at)));
    }
    return sent;
  }

  end(trailers?: unknown): void {
    if (this.#closed) return;
    (this.#call.end as (trailers?: unknown) => void).call(this.#call, trailers);
    this.#close();
  }

  fail(error: Error): void {
    if (this.#closed) return;
    if (!this.#call.destroyed) this.#call.emit("error", error);
    this.#close();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.onDrain();
    this.onClosed();
  }
}
