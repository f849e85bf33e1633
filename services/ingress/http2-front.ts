/** The HTTP/2 connections of clients, on the balancer's engine. */
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";
import type { Socket } from "node:net";
import {
  attachSocket,
  Connection,
  type ConnectionHandler,
  encodeHeaders,
  type HeaderBlock,
  type Stream,
} from "../../ha/http2/mod.ts";
import { EngineStream, fieldsOf } from "./engine-stream.ts";
import { ingressLimits as limits } from "./limits.ts";

const nothing = Buffer.alloc(0);
const goOn = encodeHeaders([":status", "100"]);

/** A request of a client, which is read, and its response, which is written. */
export class Exchange extends EngineStream {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly socket: { readonly remoteAddress: string | undefined };
  headersSent = false;

  constructor(
    connection: Connection,
    stream: Stream,
    block: HeaderBlock,
    remoteAddress: string | undefined,
  ) {
    super(connection, stream);
    this.headers = headersOf(block);
    this.method = block.get(":method") ?? "";
    this.url = block.get(":path") ?? "";
    this.socket = { remoteAddress };
    // What is left of a request that has its whole answer is of no use.
    this.on("finish", () => {
      if (!this.readableEnded) this.destroy();
    });
  }

  writeHead(status: number, headers: OutgoingHttpHeaders): void {
    this.headersSent = true;
    const block = encodeHeaders([":status", String(status), ...fieldsOf(headers)]);
    this.connection.headers(this.stream, block, false);
  }
}

export class Http2Front {
  readonly #serve: (exchange: Exchange) => void;
  readonly #connections = new Set<Connection>();

  constructor(serve: (exchange: Exchange) => void) {
    this.#serve = serve;
  }

  accept(socket: Socket): void {
    const idle = setTimeout(() => connection.shutdown(), limits.idleMillis);
    const { remoteAddress } = socket;
    const of = ({ user }: Stream) => user as Exchange;
    const handler: ConnectionHandler = {
      onHeaders: (stream, block, isLast) => {
        clearTimeout(idle);
        const exchange = new Exchange(connection, stream, block, remoteAddress);
        exchange.once("close", () => {
          if (connection.openStreams === 0) idle.refresh();
        });
        if (isLast) exchange.received(nothing, true);
        else if (/^100-continue$/i.test(exchange.headers.expect ?? "")) {
          connection.headers(stream, goOn, false);
        }
        this.#serve(exchange);
      },
      onData: (stream, bytes, start, end, isLast) =>
        of(stream).received(bytes.subarray(start, end), isLast),
      onTrailers: (stream) => of(stream).received(nothing, true),
      onReset: (stream) => of(stream).broken(),
      onWritable: (stream) => of(stream).flushed(),
      onGoaway: () => undefined,
      onClose: () => {
        clearTimeout(idle);
        this.#connections.delete(connection);
      },
    };
    const connection = new Connection("server", handler, { limits: frontLimits });
    this.#connections.add(connection);
    attachSocket(connection, socket, { writeAfter: "read" });
  }

  /** Takes no more requests; each connection closes after its last one. */
  drain(): void {
    for (const connection of this.#connections) connection.shutdown();
  }
}

const frontLimits = {
  concurrentStreams: limits.streamsMax,
  headerListBytes: limits.headBytesMax,
  headerFields: limits.headFieldsMax,
  prefaceMillis: limits.headMillis,
  headerBlockMillis: limits.headMillis,
  stalledMillis: limits.clientSilenceMillis,
};

/** As Node's own servers show them: fields of one name are joined. */
export function headersOf({ fields }: HeaderBlock): IncomingHttpHeaders {
  const headers: Record<string, string> = {};
  const cookies: string[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    const [name = "", value = ""] = [fields[at], fields[at + 1]];
    if (name === "set-cookie") cookies.push(value);
    else {
      const before = headers[name];
      const mark = name === "cookie" ? "; " : ", ";
      headers[name] = before === undefined ? value : `${before}${mark}${value}`;
    }
  }
  return cookies.length === 0 ? headers : { ...headers, "set-cookie": cookies };
}
