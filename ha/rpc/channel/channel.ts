/**
 * A gRPC client of one server, on Trireme's own HTTP/2 engine: what long-running programs call
 * through, at a fraction of the work of a library for every occasion.
 *
 *     const channel = new Channel({ address: "127.0.0.1:7443", tls, program: "kubelet" });
 *     const pod = await channel.unary(PodsService.get, { name: "web" }, { fields: [], deadline });
 */
import type { MethodDefinition } from "@grpc/grpc-js";
import { ClientConnection, type StreamHandler } from "../../http2/client/mod.ts";
import {
  type Connection,
  encodeHeaders,
  FieldWriter,
  type HeaderBlock,
  type ResetCause,
  type Stream,
} from "../../http2/mod.ts";
import { Code } from "../../runtime/status-error.ts";
import { type ClientTls, parseAddress } from "../address.ts";
import { CallFailure } from "../call-failure.ts";
import { acceptedEncodings } from "../engine/messages.ts";
import { rpcLimits } from "../limits.ts";
import { cancelledError } from "../status-details.ts";
import type { ClientCall } from "./call.ts";
import { parsingFailure, requestMessage } from "./codec.ts";
import { StreamingClientCall } from "./streaming.ts";
import { UnaryClientCall } from "./unary.ts";

/** How a connection is looked after; what is absent is as in `rpcLimits`. */
export interface Upkeep {
  /** Dialled at once and whenever it is lost, and not only for a call. */
  readonly kept?: boolean | undefined;
  /** Delay before a broken connection is dialled again, first and at most. */
  readonly reconnectMinMillis?: number | undefined;
  readonly reconnectMaxMillis?: number | undefined;
  /** How often an idle connection is asked for a sign of life, and how long it has for one. */
  readonly keepaliveMillis?: number | undefined;
  readonly keepaliveTimeoutMillis?: number | undefined;
}

export interface ChannelOptions extends Upkeep {
  /** `host:port`. */
  readonly address: string;
  readonly tls?: ClientTls | undefined;
  readonly userAgent?: string | undefined;
  readonly maxMessageBytes?: number | undefined;
  readonly connectMillis?: number | undefined;
}

export interface WireCall {
  /** Metadata, name and value alternately; printable ASCII. */
  readonly fields: readonly string[];
  /** As `Date.now()` counts; absent: none. */
  readonly deadline?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Lists are long; what has been received in part is collected whatever the window. */
const streamWindowBytes = 1024 * 1024;
const connectionWindowBytes = 32 * 1024 * 1024;
/** The digits of `grpc-timeout`. */
const timeoutMillisMax = 99_999_999;

export class Channel implements StreamHandler {
  readonly #to: ClientConnection;
  readonly #options: ChannelOptions;
  readonly #maxMessageBytes: number;
  readonly #connectMillis: number;
  /** The fields that all calls of a method share, encoded. */
  readonly #heads = new Map<string, Uint8Array>();
  readonly #fields = new FieldWriter();
  #closed = false;

  constructor(options: ChannelOptions) {
    this.#options = options;
    this.#maxMessageBytes = options.maxMessageBytes ?? rpcLimits.messageBytes;
    this.#connectMillis = options.connectMillis ?? rpcLimits.connectMillis;
    this.#to = new ClientConnection({
      ...{ address: parseAddress(options.address), tls: options.tls, streams: this },
      limits: {
        ...{ streamWindowBytes, connectionWindowBytes },
        headerListBytes: rpcLimits.metadataBytes,
        keepaliveMillis: options.keepaliveMillis ?? rpcLimits.keepaliveMillis,
        keepaliveTimeoutMillis: options.keepaliveTimeoutMillis ?? rpcLimits.keepaliveTimeoutMillis,
      },
      kept: options.kept,
      dialMillisMax: this.#connectMillis,
      restMillisMin: options.reconnectMinMillis ?? rpcLimits.reconnectMinMillis,
      restMillisMax: options.reconnectMaxMillis ?? rpcLimits.reconnectMaxMillis,
    });
  }

  /** Rejects with a StatusError. */
  async unary<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    call: WireCall,
  ): Promise<Response> {
    const body = requestMessage(method, request, this.#maxMessageBytes);
    const connection = this.#to.current ?? (await this.#ready(call));
    const answer = await new Promise<Buffer>((resolve, reject) => {
      const pending = new UnaryClientCall(this.#settings(call), (failure, message) => {
        if (message === undefined) reject(failure);
        else resolve(message);
      });
      this.#begin(connection, pending, method.path, call, body);
    });
    try {
      return method.responseDeserialize(answer);
    } catch (thrown) {
      throw parsingFailure(thrown);
    }
  }

  /** A stream of answers, which has begun; its end and failures come through it. */
  async stream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    call: WireCall,
  ): Promise<StreamingClientCall<Request, Response>> {
    const body = requestMessage(method, request, this.#maxMessageBytes);
    const connection = await this.#ready(call);
    const pending = new StreamingClientCall(this.#settings(call), method);
    this.#begin(connection, pending, method.path, call, body);
    return pending;
  }

  /** The same with a stream of requests. */
  async duplex<Request, Response>(
    method: MethodDefinition<Request, Response>,
    call: WireCall,
  ): Promise<StreamingClientCall<Request, Response>> {
    const connection = await this.#ready(call);
    const pending = new StreamingClientCall(this.#settings(call), method);
    this.#begin(connection, pending, method.path, call, undefined);
    return pending;
  }

  /** Takes no more calls; those under way go on. */
  drain(): void {
    this.#closed = true;
    this.#to.drain();
  }

  /** Calls under way fail. */
  close(): void {
    this.#closed = true;
    this.#to.close();
  }

  onHeaders(stream: Stream, block: HeaderBlock, endStream: boolean): void {
    (stream.user as ClientCall).onHeaders(block, endStream);
  }

  onData(stream: Stream, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    const call = stream.user as ClientCall;
    call.onData(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end));
    if (endStream) call.onEnd();
  }

  onTrailers(stream: Stream, block: HeaderBlock): void {
    (stream.user as ClientCall).onTrailers(block);
  }

  onReset(stream: Stream, code: number, cause: ResetCause): void {
    (stream.user as ClientCall).onReset(code, cause);
  }

  onWritable(stream: Stream): void {
    (stream.user as ClientCall).onWritable();
  }

  async #ready({ deadline = Number.POSITIVE_INFINITY, signal }: WireCall): Promise<Connection> {
    if (this.#closed) throw new CallFailure(Code.cancelled, "the client is closed");
    const millis = Math.min(deadline - Date.now(), this.#connectMillis);
    const connection = await this.#to.whenReady(performance.now() + millis, signal);
    if (signal?.aborted) throw cancelledError();
    if (connection !== undefined) return connection;
    throw this.#notConnected();
  }

  #notConnected(): CallFailure {
    const text = `no connection to ${this.#options.address}`;
    const why = this.#to.lastError;
    const cause = why === undefined ? undefined : new Error(why);
    return new CallFailure(Code.unavailable, text, { unanswered: true, cause });
  }

  #settings({ deadline = Number.POSITIVE_INFINITY, signal }: WireCall) {
    return { deadline, signal, maxMessageBytes: this.#maxMessageBytes };
  }

  #begin(
    connection: Connection,
    call: ClientCall,
    path: string,
    { fields, deadline }: WireCall,
    body: Buffer | undefined,
  ) {
    const writer = this.#fields;
    writer.clear();
    if (deadline !== undefined && deadline !== Number.POSITIVE_INFINITY) {
      const left = Math.min(Math.max(1, Math.ceil(deadline - Date.now())), timeoutMillisMax);
      writer.add("grpc-timeout", `${left}m`);
    }
    for (let at = 0; at < fields.length; at += 2) {
      writer.add(fields[at] as string, fields[at + 1] as string);
    }
    const stream = connection.request(this.#head(path), false, call, writer.bytes);
    if (stream === undefined) return call.finish(this.#notConnected());
    call.carry(connection, stream);
    if (body !== undefined) connection.data(stream, body, true);
  }

  #head(path: string): Uint8Array {
    let head = this.#heads.get(path);
    if (head === undefined) {
      const { address, tls, userAgent } = this.#options;
      head = encodeHeaders([
        ...[":method", "POST", ":scheme", tls === undefined ? "http" : "https"],
        ...[":path", path, ":authority", address],
        ...["te", "trailers", "content-type", "application/grpc"],
        ...["grpc-accept-encoding", acceptedEncodings],
        ...(userAgent === undefined ? [] : ["user-agent", userAgent]),
      ]);
      this.#heads.set(path, head);
    }
    return head;
  }
}
