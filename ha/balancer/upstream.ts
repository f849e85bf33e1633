import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import {
  attachSocket,
  Connection,
  type ConnectionHandler,
  ErrorCode,
  type HeaderBlock,
  type ResetCause,
  type Stream,
} from "../http2/mod.ts";
import { type ClientTls, parseAddress } from "../rpc/client.ts";
import { rpcLimits } from "../rpc/limits.ts";
import type { Log } from "../runtime/types.ts";
import type { Failure, OutgoingCall, OutgoingHandlers } from "./calls.ts";
import type { BalancerLimits } from "./limits.ts";
import { PacedResets } from "./paced-resets.ts";
import { ReplyFields } from "./reply-fields.ts";
import type { Route } from "./request-head.ts";

export interface UpstreamOptions {
  /** `host:port`. */
  readonly address: string;
  readonly tls?: ClientTls | undefined;
  readonly log: Log;
  readonly limits: BalancerLimits;
  /** `connected` has changed. */
  changed(): void;
}

/** Slow readers hold a stream's window each; they must not use up everybody's connection. */
const connectionWindowBytes = 1024 * 1024 * 1024;

/**
 * The connection to one master, dialled for ever with bounded backoff, and those that are saying
 * goodbye.
 */
export class Upstream {
  readonly #options: UpstreamOptions;
  readonly #sockets = new Set<Socket>();
  readonly #scheme: string;
  #connection: Connection | undefined;
  #resets: PacedResets | undefined;
  #delay: number;
  #timer: NodeJS.Timeout | undefined;
  #dialling = false;
  #closed = false;
  /** Connections that were made so far. */
  connections = 0;

  constructor(options: UpstreamOptions) {
    this.#options = options;
    this.#scheme = options.tls === undefined ? "http" : "https";
    this.#delay = options.limits.redialMinMillis;
    this.#dial();
  }

  /** False from the moment it breaks or its other end says goodbye. */
  get connected(): boolean {
    return this.#connection !== undefined;
  }

  /** False when the other end allows no more calls at once. */
  get hasCapacity(): boolean {
    return this.#connection?.hasCapacity === true;
  }

  /**
   * `fields` come encoded, behind those of the route, and are copied. Every failure, also to open
   * the call, comes through `handlers.failed`.
   */
  open(route: Route, fields: Uint8Array, handlers: OutgoingHandlers): OutgoingCall {
    const connection = this.#connection;
    const resets = this.#resets;
    const block = route.block(this.#scheme, this.#options.address);
    const stream = connection?.request(block, false, undefined, fields);
    if (connection === undefined || resets === undefined || stream === undefined) {
      process.nextTick(() => handlers.failed(notConnected));
      return deadCall;
    }
    const call = new MasterCall({ connection, resets }, stream, handlers);
    stream.user = call;
    return call;
  }

  close(): void {
    this.#closed = true;
    this.#connection = undefined;
    clearTimeout(this.#timer);
    for (const socket of this.#sockets) socket.destroy();
  }

  #dial(): void {
    if (this.#closed) return;
    this.#dialling = true;
    const { address, tls, log, limits } = this.#options;
    const { host, port } = parseAddress(address);
    const socket =
      tls === undefined
        ? connectTcp({ host, port, noDelay: true })
        : connectTls({ host, port, ...tls, ALPNProtocols: ["h2"] }).setNoDelay(true);
    this.#sockets.add(socket);
    const tooLong = setTimeout(() => socket.destroy(), limits.dialMillis);
    let greeted = false;
    const connection: Connection = new Connection(
      "client",
      new MasterConnection(() => connection, {
        // The kernel of a stopped process still completes connections; SETTINGS prove it alive.
        greeted: () => {
          if (greeted) return;
          greeted = true;
          clearTimeout(tooLong);
          this.#dialling = false;
          if (this.#closed || connection.closing) return;
          this.#delay = limits.redialMinMillis;
          this.connections++;
          this.#connection = connection;
          this.#resets = resets;
          this.#options.changed();
        },
        leaving: () => this.#retire(connection),
      }),
      {
        limits: {
          streamWindowBytes: rpcLimits.streamWindowBytes,
          connectionWindowBytes,
          headerListBytes: 4 * rpcLimits.metadataBytes,
          keepaliveMillis: limits.pingMillis,
          keepaliveTimeoutMillis: limits.pingTimeoutMillis,
        },
      },
    );
    const resets = new PacedResets(connection, limits);
    // Finer than the engine's own second.
    const ticks = setInterval(() => connection.tick(), limits.pingTimeoutMillis / 2);
    ticks.unref();
    // "close" follows, and calls learn of it through their streams.
    socket.on("error", (error) =>
      log.debug("connection failed", { address, error: error.message }),
    );
    socket.once("close", () => {
      clearTimeout(tooLong);
      clearInterval(ticks);
      resets.close();
      if (!greeted) this.#dialling = false;
      this.#sockets.delete(socket);
      this.#retire(connection);
      if (this.#connection === undefined) this.#redial();
    });
    attachSocket(connection, socket);
  }

  /** No new calls on it; the next connection is dialled. */
  #retire(connection: Connection): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    this.#options.changed();
    this.#redial();
  }

  #redial(): void {
    if (this.#closed || this.#dialling || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#connection === undefined && !this.#dialling) this.#dial();
    }, this.#delay);
    this.#delay = Math.min(this.#delay * 2, this.#options.limits.redialMaxMillis);
  }
}

class MasterConnection implements ConnectionHandler {
  readonly #connection: () => Connection;
  readonly #events: { greeted(): void; leaving(): void };

  constructor(connection: () => Connection, events: { greeted(): void; leaving(): void }) {
    this.#connection = connection;
    this.#events = events;
  }

  onSettings(): void {
    this.#events.greeted();
  }

  onHeaders(stream: Stream, block: HeaderBlock, endStream: boolean): void {
    (stream.user as MasterCall | undefined)?.answered(block, endStream);
  }

  onData(stream: Stream, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    const call = stream.user as MasterCall | undefined;
    if (call === undefined) this.#connection().consume(stream, end - start);
    else call.arrived(bytes, start, end, endStream);
  }

  onTrailers(stream: Stream, block: HeaderBlock): void {
    (stream.user as MasterCall | undefined)?.completed(block);
  }

  onReset(stream: Stream, code: number, cause: ResetCause): void {
    (stream.user as MasterCall | undefined)?.broken(failureOf(code, cause));
  }

  onWritable(stream: Stream): void {
    (stream.user as MasterCall | undefined)?.writable();
  }

  onGoaway(): void {
    this.#events.leaving();
  }

  onClose(): void {
    this.#events.leaving();
  }
}

class MasterCall implements OutgoingCall {
  readonly #connection: Connection;
  readonly #resets: PacedResets;
  readonly #stream: Stream;
  #handlers: OutgoingHandlers | undefined;
  #paused = false;

  constructor(
    { connection, resets }: { readonly connection: Connection; readonly resets: PacedResets },
    stream: Stream,
    handlers: OutgoingHandlers,
  ) {
    this.#connection = connection;
    this.#resets = resets;
    this.#stream = stream;
    this.#handlers = handlers;
  }

  write(bytes: Buffer, start: number, end: number, last: boolean): boolean {
    if (this.#stream.localClosed) return true;
    return this.#connection.data(this.#stream, bytes, last, start, end);
  }

  /** What the master may still send by its window arrives all the same; it gets no more. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#connection.consume(this.#stream, this.#stream.unconsumed);
  }

  cancel(): void {
    this.#settle();
    this.#end(ErrorCode.cancel);
  }

  answered(block: HeaderBlock, endStream: boolean): void {
    const fields = ReplyFields.of(block);
    if (fields.httpStatus !== "200") {
      this.broken({ kind: "rejected", code: ErrorCode.protocolError, scope: "call" });
      this.#end(ErrorCode.cancel);
      return;
    }
    // A reply of nothing but trailers has its status in the first header block.
    if (fields.final) this.completed(block);
    else if (endStream) this.broken(endedEarly);
    else this.#handlers?.replyHeaders(fields);
  }

  arrived(bytes: Buffer, start: number, end: number, endStream: boolean): void {
    if (end > start) this.#handlers?.replyData(bytes, start, end);
    if (!this.#paused) this.#connection.consume(this.#stream, end - start);
    if (endStream) this.broken(endedEarly);
  }

  completed(block: HeaderBlock): void {
    this.#settle()?.replyEnd(ReplyFields.of(block));
    // The master has answered without reading to the end: the rest need not be sent.
    const { localClosed, ending } = this.#stream;
    if (!localClosed || ending) this.#end(ErrorCode.noError);
  }

  /** Nobody listens any more; until the reset's turn comes the master may send what it has room for. */
  #end(code: ErrorCode): void {
    this.#paused = true;
    this.#resets.reset(this.#stream, code);
  }

  writable(): void {
    this.#handlers?.requestDrain();
  }

  broken(failure: Failure): void {
    this.#settle()?.failed(failure);
  }

  /** The handlers, for the last time. */
  #settle(): OutgoingHandlers | undefined {
    const handlers = this.#handlers;
    this.#handlers = undefined;
    return handlers;
  }
}

/** A reply without trailers: nobody knows what became of the call. */
const endedEarly: Failure = { kind: "lost", code: ErrorCode.noError, scope: "call" };
const notConnected: Failure = { kind: "refused", code: ErrorCode.noError, scope: "connection" };

/** Resets that a process sends for its open calls while it goes down, just before it is gone. */
const dyingCodes: ReadonlySet<number> = new Set([
  ErrorCode.noError,
  ErrorCode.internalError,
  ErrorCode.cancel,
  ErrorCode.connectError,
]);

function failureOf(code: number, cause: ResetCause): Failure {
  if (cause === "refused") return { kind: "refused", code, scope: "connection" };
  if (cause === "closed") return { kind: "lost", code, scope: "connection" };
  if (cause === "violation") return { kind: "rejected", code, scope: "call" };
  if (code === ErrorCode.refusedStream) return { kind: "refused", code, scope: "call" };
  return { kind: dyingCodes.has(code) ? "lost" : "rejected", code, scope: "call" };
}

const deadCall: OutgoingCall = {
  write: () => true,
  pause() {},
  resume() {},
  cancel() {},
};
