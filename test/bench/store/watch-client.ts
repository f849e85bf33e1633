/**
 * A watching client that costs little: one Watch stream on a connection of its own, on our HTTP/2
 * engine, whose responses are counted, not decoded, so that what is measured is the server.
 */
import { connect, type Socket } from "node:net";
import {
  attachSocket,
  Connection,
  type ConnectionHandler,
  ErrorCode,
  encodeHeaders,
  type Stream,
} from "../../../ha/http2/mod.ts";
import { messagePrefixBytes, writeMessagePrefix } from "../../../ha/rpc/mod.ts";
import { WatchRequest } from "../../../proto/gen/etcd.ts";

export interface WatchListener {
  /** A response, `bytes[start..end)`, with so many events; none: a watch was created. */
  response(events: number, bytes: Buffer, start: number, end: number): void;
  failed(error: Error): void;
}

const headerBlock = (authority: string) =>
  encodeHeaders([
    ...[":method", "POST", ":scheme", "http", ":path", "/etcdserverpb.Watch/Watch"],
    ...[":authority", authority, "content-type", "application/grpc", "te", "trailers"],
  ]);

const nothing = Buffer.alloc(0);

export class WatchClient implements ConnectionHandler {
  readonly #listener: WatchListener;
  readonly #socket: Socket;
  readonly #connection: Connection;
  readonly #stream: Stream;
  /** The beginning of a message whose rest has not arrived. */
  #rest: Buffer = nothing;
  #closed = false;

  constructor(endpoint: string, listener: WatchListener) {
    this.#listener = listener;
    const [host = "", port] = endpoint.split(":");
    this.#socket = connect({ host, port: Number(port), noDelay: true });
    this.#socket.on("error", (error) => this.#fail(error));
    this.#connection = new Connection("client", this, {
      limits: { connectionWindowBytes: 64 * 1024 * 1024, streamWindowBytes: 16 * 1024 * 1024 },
    });
    attachSocket(this.#connection, this.#socket);
    const stream = this.#connection.request(headerBlock(endpoint), false);
    if (stream === undefined) throw new Error("a new connection has no room for a stream");
    this.#stream = stream;
  }

  watch(key: Buffer): void {
    const request = { requestUnion: { $case: "createRequest", value: { key } } } as const;
    const message = WatchRequest.encode(request).finish();
    const framed = Buffer.alloc(messagePrefixBytes + message.length);
    framed.set(message, writeMessagePrefix(framed, 0, message.length));
    this.#connection.data(this.#stream, framed, false);
  }

  close(): void {
    this.#closed = true;
    this.#connection.abort(ErrorCode.noError, "");
    this.#socket.destroy();
  }

  onHeaders(): void {}

  onData(stream: Stream, bytes: Buffer, start: number, end: number): void {
    this.#connection.consume(stream, end - start);
    let at = start;
    while (this.#rest.length > 0 && at < end) {
      const more = Math.min(
        lengthOf(this.#rest, 0, this.#rest.length) - this.#rest.length,
        end - at,
      );
      this.#rest = Buffer.concat([this.#rest, bytes.subarray(at, at + more)]);
      at += more;
      this.#rest = this.#rest.subarray(this.#take(this.#rest, 0, this.#rest.length));
    }
    at = this.#take(bytes, at, end);
    if (at < end) this.#rest = Buffer.from(bytes.subarray(at, end));
  }

  /** The messages that `bytes[at..end)` begins with; answers where the last one ends. */
  #take(bytes: Buffer, at: number, end: number): number {
    for (;;) {
      const next = at + lengthOf(bytes, at, end);
      if (next > end) return at;
      const body = at + messagePrefixBytes;
      this.#listener.response(countEvents(bytes, body, next), bytes, body, next);
      at = next;
    }
  }

  onTrailers(): void {
    this.#fail(new Error("a watch stream has ended"));
  }

  onReset(): void {
    this.#fail(new Error("a watch stream was reset"));
  }

  onWritable(): void {}

  onGoaway(): void {}

  onClose(): void {
    this.#fail(new Error("a connection was closed"));
  }

  #fail(error: Error): void {
    if (!this.#closed) this.#listener.failed(error);
    this.#closed = true;
  }
}

/** Bytes of the message at `at`, or of its prefix while that has not come. */
function lengthOf(bytes: Buffer, at: number, end: number): number {
  if (end - at < messagePrefixBytes) return messagePrefixBytes;
  return messagePrefixBytes + bytes.readUInt32BE(at + 1);
}

/** The tag of field 11, `events`. */
const eventTag = 0x5a;

/** Fields 11 among those of `bytes[at..end)`, which are varints and bytes. */
function countEvents(bytes: Buffer, at: number, end: number): number {
  let events = 0;
  while (at < end) {
    const tag = bytes[at++] as number;
    let value = 0;
    let byte = 0x80;
    for (let shift = 0; byte >= 0x80; shift += 7) {
      byte = bytes[at++] as number;
      if (shift < 28) value |= (byte & 0x7f) << shift;
    }
    if (tag === eventTag) events++;
    if ((tag & 7) === 2) at += value;
  }
  return events;
}
