/**
 * A gRPC client that costs little: requests serialized beforehand, answers counted and not decoded,
 * one connection to each master, calls dealt out to them in turn.
 */
import { connect } from "node:tls";
import {
  attachSocket,
  Connection,
  type ConnectionHandler,
  encodeHeaders,
  type HeaderBlock,
  type Stream,
} from "../../../ha/http2/mod.ts";

export interface Credentials {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

interface Call {
  readonly message: () => void;
  readonly ended: (error: Error | undefined) => void;
  /** Bytes of a message's five-byte prefix that have arrived, and of its body that have not. */
  prefix: number;
  bodyBytes: number;
}

const prefixBytes = 5;
const calls = new WeakMap<Stream, Call>();

export class LeanClient implements ConnectionHandler {
  readonly #connection: Connection;
  readonly #endpoint: string;
  readonly #heads = new Map<string, ReturnType<typeof encodeHeaders>>();
  readonly #close: () => void;

  private constructor(endpoint: string, connectTo: (connection: Connection) => () => void) {
    this.#endpoint = endpoint;
    this.#connection = new Connection("client", this, {
      limits: {
        keepaliveMillis: 0,
        connectionWindowBytes: 64 * 1024 * 1024,
        streamWindowBytes: 16 * 1024 * 1024,
      },
    });
    this.#close = connectTo(this.#connection);
  }

  static connect(endpoint: string, credentials: Credentials): Promise<LeanClient> {
    const [host = "", port] = endpoint.split(":");
    const servername = "localhost";
    const options = { ...credentials, host, port: Number(port), servername, noDelay: true };
    return new Promise((resolve, reject) => {
      const socket = connect({ ...options, ALPNProtocols: ["h2"] }, () => {
        const client = new LeanClient(endpoint, (connection) => {
          attachSocket(connection, socket);
          return () => socket.destroy();
        });
        resolve(client);
      });
      socket.on("error", reject);
    });
  }

  close(): void {
    this.#close();
  }

  /** `request` is one message without its prefix. `message` is called with each answer. */
  call(path: string, request: Uint8Array, message: () => void = () => {}): Promise<void> {
    const stream = this.#connection.request(this.#head(path), false);
    if (stream === undefined) return Promise.reject(new Error("the connection has no room"));
    return new Promise((resolve, reject) => {
      const ended = (error: Error | undefined) => (error === undefined ? resolve() : reject(error));
      calls.set(stream, { message, ended, prefix: 0, bodyBytes: 0 });
      const framed = Buffer.alloc(prefixBytes + request.length);
      framed.writeUInt32BE(request.length, 1);
      framed.set(request, prefixBytes);
      this.#connection.data(stream, framed, true);
    });
  }

  onHeaders(stream: Stream, block: HeaderBlock, endStream: boolean): void {
    if (endStream) this.onTrailers(stream, block);
  }

  onData(stream: Stream, bytes: Buffer, start: number, end: number): void {
    const call = calls.get(stream);
    for (let at = start; at < end && call !== undefined; ) {
      if (call.prefix < prefixBytes) {
        const byte = bytes[at++] ?? 0;
        if (call.prefix > 0) call.bodyBytes = call.bodyBytes * 256 + byte;
        call.prefix++;
      } else {
        const taken = Math.min(end - at, call.bodyBytes);
        call.bodyBytes -= taken;
        at += taken;
      }
      if (call.prefix === prefixBytes && call.bodyBytes === 0) {
        call.prefix = 0;
        call.message();
      }
    }
    this.#connection.consume(stream, end - start);
  }

  onTrailers(stream: Stream, block: HeaderBlock): void {
    const status = block.get("grpc-status");
    const text = `gRPC status ${status}: ${block.get("grpc-message") ?? ""}`;
    calls.get(stream)?.ended(status === "0" ? undefined : new Error(text));
  }

  onReset(stream: Stream, code: number): void {
    calls.get(stream)?.ended(new Error(`the stream was reset with code ${code}`));
  }

  onWritable(): void {}

  onGoaway(): void {}

  onClose(): void {}

  #head(path: string): ReturnType<typeof encodeHeaders> {
    const known = this.#heads.get(path);
    if (known !== undefined) return known;
    const head = encodeHeaders([
      ...[":method", "POST", ":scheme", "https", ":path", path, ":authority", this.#endpoint],
      ...["content-type", "application/grpc", "te", "trailers"],
    ]);
    this.#heads.set(path, head);
    return head;
  }
}
