/**
 * A request that is HTTP/2 and not gRPC: of a browser, a probe, a scanner. It is told its status at
 * once, and the rest, in words, after its own end: an answer that ends before its request has to
 * reset the stream (RFC 9113 section 8.1), and many a client then shows the reset instead.
 */
import { type Connection, encodeHeaders, type HeaderBlock, type Stream } from "../../http2/mod.ts";
import { Arrival } from "./arrival.ts";
import type { DeadlineWheel } from "./deadline-wheel.ts";

/** What a connection does with a stream that it has given away. */
export interface StreamOwner {
  onData(bytes: Buffer, start: number, end: number, endStream: boolean): void;
  /** The request ended with trailers. */
  onEnd(): void;
  /** The caller, or the way to it, has gone. */
  onReset(): void;
  onWritable(): void;
}

interface ForeignAnswer {
  readonly head: Uint8Array;
  readonly body: Uint8Array;
}

/** HTTP statuses for what is not gRPC (grpc/grpc `doc/PROTOCOL-HTTP2.md`); undefined: it is. */
export function foreignAnswer(block: HeaderBlock): ForeignAnswer | undefined {
  const method = block.get(":method");
  const body = method === "HEAD" ? nothing : words;
  if (!isGrpc(block.get("content-type"))) return { head: wrongType, body };
  return method === "POST" ? undefined : { head: wrongMethod, body };
}

function isGrpc(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(?:$|[+;])/.test(contentType);
}

const nothing = Buffer.alloc(0);
const words = Buffer.from("gRPC is spoken here: POST, with the content-type application/grpc\n");
const described = ["content-type", "text/plain", "content-length", String(words.length)];
const wrongType = encodeHeaders([":status", "415", ...described]);
// RFC 9110 section 15.5.6: with the methods that are allowed.
const wrongMethod = encodeHeaders([":status", "405", "allow", "POST", ...described]);

export class ForeignRequest implements StreamOwner {
  readonly #connection: Connection;
  readonly #stream: Stream;
  readonly #body: Uint8Array;
  readonly #arrival: Arrival;
  #done = false;

  /** The request gets `millis` to end; its bytes are thrown away. */
  constructor(
    connection: Connection,
    stream: Stream,
    answer: ForeignAnswer,
    limit: { readonly deadlines: DeadlineWheel; readonly millis: number },
  ) {
    this.#connection = connection;
    this.#stream = stream;
    this.#body = answer.body;
    this.#arrival = new Arrival(limit.deadlines, limit.millis, () => this.onEnd());
    connection.headers(stream, answer.head, false);
  }

  onData(_: Buffer, start: number, end: number, endStream: boolean): void {
    this.#connection.consume(this.#stream, end - start);
    if (endStream) this.onEnd();
  }

  onEnd(): void {
    if (this.#done) return;
    this.#done = true;
    this.#arrival.stop();
    this.#connection.data(this.#stream, this.#body, true);
  }

  onReset(): void {
    this.#done = true;
    this.#arrival.stop();
  }

  onWritable(): void {}

  /** The server goes: no end of the request is waited for. */
  abandon(): void {
    this.onEnd();
  }
}
