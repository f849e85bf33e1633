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
import { type ClientTls, parseAddress } from "../rpc/address.ts";
import { rpcLimits } from "../rpc/limits.ts";
import type { Log } from "../runtime/types.ts";
import type { Failure, OutgoingCall, OutgoingHandlers, Route } from "./calls.ts";
import type { BalancerLimits } from "./limits.ts";
import { failureOf, type MasterCall } from "./master-call.ts";
import { PacedResets } from "./paced-resets.ts";
import { SilenceProbe } from "./silence.ts";

export interface UpstreamOptions {
  /** `host:port`. */
  readonly address: string;
  readonly tls?: ClientTls | undefined;
  readonly log: Log;
  readonly limits: BalancerLimits;
  /** How the connection's protocol answers calls. */
  readonly Call: typeof MasterCall;
  /** `connected` or `silent` has changed. */
  changed(): void;
}

/**
 * Slow readers hold a stream's window each; they must not use up the window of the whole
 * connection.
 */
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
  #probe: SilenceProbe | undefined;
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

  /** False from the moment that the connection breaks or the master sends GOAWAY. */
  get connected(): boolean {
    return this.#connection !== undefined;
  }

  /** The master does not answer the probe: its process may be stopped. */
  get silent(): boolean {
    return this.#connection !== undefined && this.#probe?.silent === true;
  }

  /**
   * How long the master has been silent. Probes are frequent enough for a live master to answer.
   */
  get silentMillis(): number {
    return this.#probe?.silentMillis ?? 0;
  }

  /** False when the master allows no more concurrent calls. */
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
    const { Call } = this.#options;
    const call = new Call({ connection, resets }, stream, handlers);
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
          this.#probe = probe;
          probe.start();
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
    const probe = new SilenceProbe(connection, limits, () => this.#options.changed());
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
      probe.stop();
      if (!greeted) this.#dialling = false;
      this.#sockets.delete(socket);
      this.#retire(connection);
      if (this.#connection === undefined) this.#redial();
    });
    attachSocket(connection, socket, { writeAfter: "read" });
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

const notConnected: Failure = { kind: "refused", code: ErrorCode.noError, scope: "connection" };

const deadCall: OutgoingCall = {
  write: () => true,
  pause() {},
  resume() {},
  cancel() {},
};
