/** One HTTP/2 connection to one server, dialled again for as long as it is wanted. */
import {
  ClientConnection,
  type ServerTls,
  type StreamHandler,
} from "../../../ha/http2/client/mod.ts";
import {
  type Connection,
  ErrorCode,
  type HeaderBlock,
  type ResetCause,
  type Stream,
} from "../../../ha/http2/mod.ts";
import { percentDecode } from "../../../ha/rpc/percent-encoding.ts";
import { type Call, grpcCodes, okCode } from "./call.ts";
import type { RequestTemplate } from "./template.ts";

/** PEM texts. */
export type LoadTls = ServerTls;

export interface ConnectionSettings {
  /** `host:port`. */
  readonly address: string;
  readonly protocol: "grpc" | "rest";
  readonly tls?: LoadTls | undefined;
  /** It can take calls from now on. */
  readonly ready: () => void;
}

/** Characters of an error's text that are kept. */
const messageCharsMax = 300;
const unavailable = "UNAVAILABLE";

/** Lists are long, and are thrown away as they come. */
const limits = {
  connectionWindowBytes: 64 * 1024 * 1024,
  streamWindowBytes: 16 * 1024 * 1024,
  headerListBytes: 64 * 1024,
};
const redial = { restMillisMin: 20, restMillisMax: 1_000, dialMillisMax: 5_000 };

interface Owner {
  readonly call: Call;
  readonly connection: Connection;
}

export class LoadConnection implements StreamHandler {
  readonly #rest: boolean;
  readonly #to: ClientConnection;

  constructor({ address, protocol, tls, ready }: ConnectionSettings) {
    this.#rest = protocol === "rest";
    const { hostname, port } = new URL(`https://${address}`);
    const host = hostname.replace(/^\[|\]$/g, "");
    this.#to = new ClientConnection({
      ...{ address: { host, port: Number(port || 443) }, tls, limits, ...redial },
      ...{ streams: this, kept: true, onReady: ready },
    });
  }

  get ready(): boolean {
    return this.#to.current !== undefined;
  }

  /** Why the last attempt to connect failed. */
  get lastError(): string | undefined {
    return this.#to.lastError;
  }

  /** False: it cannot be sent now, and nothing was done. */
  send(template: RequestTemplate, call: Call, name: number, stamp: number): boolean {
    const connection = this.#to.current;
    if (connection === undefined) return false;
    const bare = !template.hasBody;
    const owner: Owner = { call, connection };
    const stream = connection.request(template.head, bare, owner, template.fields(name));
    if (stream === undefined) return false;
    if (!bare) connection.data(stream, template.body(name, stamp), !template.open);
    return true;
  }

  /** Ends calls whose time is over. */
  sweep(now: number): void {
    for (const connection of this.#to.connections) {
      for (const stream of [...connection.streams]) {
        const { call } = stream.user as Owner;
        if (call.deadlineAt > now) continue;
        connection.reset(stream, ErrorCode.cancel);
        call.end("DEADLINE_EXCEEDED", "no answer came in time");
      }
    }
  }

  close(): void {
    this.#to.close();
  }

  onHeaders(stream: Stream, block: HeaderBlock, endStream: boolean): void {
    if (!this.#rest) {
      if (endStream) this.onTrailers(stream, block);
      return;
    }
    const { call } = stream.user as Owner;
    const status = block.get(":status") ?? "";
    call.code = status.startsWith("2") ? okCode : `HTTP ${status}`;
    if (endStream) call.end(call.code, "");
  }

  onData(stream: Stream, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    const { call, connection } = stream.user as Owner;
    connection.consume(stream, end - start);
    if (this.#rest && call.code !== okCode) {
      if (call.message.length < messageCharsMax) {
        const upTo = Math.min(end, start + messageCharsMax - call.message.length);
        call.message += bytes.toString("utf8", start, upTo);
      }
    } else call.piece(bytes, start, end);
    if (!endStream) return;
    if (this.#rest) call.end(call.code, call.message);
    else call.end("UNKNOWN", "the answer ended without trailers");
  }

  onTrailers(stream: Stream, block: HeaderBlock): void {
    const { call } = stream.user as Owner;
    if (this.#rest) {
      call.end(call.code, call.message);
      return;
    }
    const status = block.get("grpc-status");
    if (status === "0") {
      call.end(okCode, "");
      return;
    }
    const code = grpcCodes[Number(status)];
    const message = percentDecode((block.get("grpc-message") ?? "").slice(0, messageCharsMax));
    call.end(code ?? "UNKNOWN", code === undefined ? `HTTP ${block.get(":status")}` : message);
  }

  onReset(stream: Stream, code: number, cause: ResetCause): void {
    const text = cause === "closed" ? "the connection was lost" : `reset with code ${code}`;
    (stream.user as Owner).call.end(unavailable, text);
  }

  onWritable(): void {}
}
