/** A REST client that costs little: one HTTP/2 connection, answers counted and not parsed. */
import { connect } from "node:tls";
import {
  attachSocket,
  Connection,
  type ConnectionHandler,
  encodeHeaders,
  type HeaderBlock,
  type Stream,
} from "../../../ha/http2/mod.ts";
import type { RestCredentials } from "./target.ts";

interface Call {
  readonly ended: (error: Error | undefined) => void;
  /** Called for each line of the answer, for watches. */
  readonly line: (() => void) | undefined;
  status: string;
  /** The beginning of an answer that is an error. */
  text: string;
}

const shownBytes = 500;
const newline = 10;
const calls = new WeakMap<Stream, Call>();

export class RestClient implements ConnectionHandler {
  readonly #connection: Connection;
  readonly #fields: readonly string[];
  readonly #close: () => void;
  #closed = false;

  private constructor(
    fields: readonly string[],
    connectTo: (connection: Connection) => () => void,
  ) {
    this.#fields = fields;
    this.#connection = new Connection("client", this, {
      limits: {
        keepaliveMillis: 0,
        connectionWindowBytes: 64 * 1024 * 1024,
        streamWindowBytes: 16 * 1024 * 1024,
      },
    });
    this.#close = connectTo(this.#connection);
  }

  /** `endpoint`: `host:port`. */
  static connect(
    endpoint: string,
    credentials: RestCredentials,
    accept: readonly string[] = ["accept", "application/json"],
  ): Promise<RestClient> {
    const { hostname: host, port } = new URL(`https://${endpoint}`);
    const { ca, cert, key, token } = credentials;
    const authorization = token === undefined ? [] : ["authorization", `Bearer ${token}`];
    const fields = [":scheme", "https", ":authority", endpoint, ...authorization];
    // What client-go sends.
    fields.push("user-agent", "bench/v1.0.0 (linux/amd64)", ...accept);
    const options = { ca, cert, key, host, port: Number(port || 443), noDelay: true };
    return new Promise((resolve, reject) => {
      const socket = connect({ ...options, ALPNProtocols: ["h2"] }, () => {
        if (socket.alpnProtocol !== "h2") {
          reject(new Error(`${endpoint} does not speak HTTP/2`));
          return;
        }
        const client = new RestClient(fields, (connection) => {
          attachSocket(connection, socket);
          return () => socket.destroy();
        });
        resolve(client);
      });
      socket.on("error", reject);
    });
  }

  close(): void {
    this.#closed = true;
    this.#close();
  }

  get(path: string, line?: () => void): Promise<void> {
    return this.#call([":method", "GET", ":path", path], undefined, line);
  }

  post(path: string, body: Buffer): Promise<void> {
    const length = String(body.length);
    const content = ["content-type", "application/json", "content-length", length];
    return this.#call([":method", "POST", ":path", path], body, undefined, content);
  }

  #call(
    about: readonly string[],
    body: Buffer | undefined,
    line: (() => void) | undefined,
    content: readonly string[] = [],
  ): Promise<void> {
    const head = encodeHeaders([...about, ...this.#fields, ...content]);
    const stream = this.#connection.request(head, body === undefined);
    if (stream === undefined) return Promise.reject(new Error("the connection has no room"));
    return new Promise((resolve, reject) => {
      const ended = (error: Error | undefined) => (error === undefined ? resolve() : reject(error));
      calls.set(stream, { ended, line, status: "", text: "" });
      if (body !== undefined) this.#connection.data(stream, body, true);
    });
  }

  onHeaders(stream: Stream, block: HeaderBlock, endStream: boolean): void {
    const call = calls.get(stream);
    if (call === undefined) return;
    call.status = block.get(":status") ?? "";
    if (endStream) end(call);
  }

  onData(stream: Stream, bytes: Buffer, start: number, stop: number, endStream: boolean): void {
    const call = calls.get(stream);
    if (call?.line !== undefined) {
      for (let at = bytes.indexOf(newline, start); at >= 0 && at < stop; ) {
        call.line();
        at = bytes.indexOf(newline, at + 1);
      }
    }
    if (call !== undefined && !isFine(call) && call.text.length < shownBytes) {
      call.text += bytes.toString("utf8", start, stop);
    }
    this.#connection.consume(stream, stop - start);
    if (endStream && call !== undefined) end(call);
  }

  onTrailers(stream: Stream): void {
    const call = calls.get(stream);
    if (call !== undefined) end(call);
  }

  onReset(stream: Stream, code: number): void {
    calls.get(stream)?.ended(new Error(`the stream was reset with code ${code}`));
  }

  onWritable(): void {}

  onGoaway(): void {}

  onClose(): void {
    if (!this.#closed) console.error("bench: a REST connection was closed by its server");
  }
}

function isFine({ status }: Call): boolean {
  return status.startsWith("2");
}

function end(call: Call): void {
  const { status, text, ended } = call;
  ended(isFine(call) ? undefined : new Error(`HTTP status ${status}: ${text}`));
}
