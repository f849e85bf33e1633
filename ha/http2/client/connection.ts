/**
 * The client's end of one server: a connection that is dialled when it is wanted, and again after
 * it was lost.
 *
 *              connect            SETTINGS            GOAWAY, loss
 *     idle ─────────────▶ dialling ─────────────▶ ready ─────────────▶ idle
 *      ▲                      │ failure
 *      └──── pause over ── resting
 *
 * A connection that the server says goodbye to carries its streams to their end, beside the next.
 */
import type { Socket } from "node:net";
import { ErrorCode } from "../codes.ts";
import { Connection } from "../connection.ts";
import type { ConnectionHandler } from "../handler.ts";
import type { Http2Limits } from "../limits.ts";
import { attachSocket } from "../socket.ts";
import { type Address, Dialler, type ServerTls } from "./dial.ts";

/** What is told of the streams of all connections; see `ConnectionHandler`. */
export type StreamHandler = Pick<
  ConnectionHandler,
  "onHeaders" | "onData" | "onTrailers" | "onReset" | "onWritable"
>;

export interface ClientConnectionOptions {
  readonly address: Address;
  readonly tls?: ServerTls | undefined;
  readonly limits?: Partial<Http2Limits> | undefined;
  readonly streams: StreamHandler;
  /** Dialled at once and whenever it is lost, and not only when it is asked for. */
  readonly kept?: boolean | undefined;
  /** It can take streams from now on. */
  readonly onReady?: (() => void) | undefined;
  /** The server's SETTINGS must have come within this. */
  readonly dialMillisMax: number;
  /** The pause after a failure doubles from one to the other. */
  readonly restMillisMin: number;
  readonly restMillisMax: number;
}

type State = "idle" | "dialling" | "ready" | "resting" | "closed";

/** While the server allows no more streams, it is looked so often whether it does. */
const capacityMillis = 20;

export class ClientConnection {
  readonly #options: ClientConnectionOptions;
  readonly #dialler: Dialler;
  /** All that stand, the current one and those that are on their way out. */
  readonly #connections = new Set<Connection>();
  readonly #sockets = new Set<Socket>();
  readonly #waiting = new Set<() => void>();
  #state: State = "idle";
  #current: Connection | undefined;
  #rest: NodeJS.Timeout | undefined;
  #restMillis: number;
  /** Why the last attempt to connect failed. */
  lastError: string | undefined;

  constructor(options: ClientConnectionOptions) {
    this.#options = options;
    this.#dialler = new Dialler(options.address, options.tls);
    this.#restMillis = options.restMillisMin;
    if (options.kept === true) this.#dial();
  }

  /** The connection, where it can take a stream now. */
  get current(): Connection | undefined {
    return this.#current?.hasCapacity === true ? this.#current : undefined;
  }

  /** The server, which was reached, does not speak HTTP/2. */
  get refusesHttp2(): boolean {
    return this.#dialler.refusesHttp2;
  }

  get connections(): Iterable<Connection> {
    return this.#connections;
  }

  /**
   * A connection that can take a stream, dialled if need be; undefined as soon as it is clear that
   * there is none before `untilMillis` (of `performance.now()`), or the signal aborts.
   */
  async whenReady(untilMillis: number, signal?: AbortSignal): Promise<Connection | undefined> {
    for (;;) {
      if (this.#state === "idle") this.#dial();
      if (this.#state === "resting" || this.#state === "closed" || signal?.aborted)
        return undefined;
      if (this.current !== undefined) return this.current;
      const left = untilMillis - performance.now();
      if (left <= 0) return undefined;
      await this.#change(this.#state === "ready" ? Math.min(left, capacityMillis) : left, signal);
    }
  }

  /** Takes no more streams; those that are open go on. */
  drain(): void {
    this.#end();
    for (const connection of this.#connections) connection.shutdown();
  }

  /** Streams that are open end as lost. */
  close(): void {
    this.#end();
    for (const connection of this.#connections) connection.abort(ErrorCode.noError, "");
    this.#connections.clear();
  }

  #end(): void {
    clearTimeout(this.#rest);
    this.#current = undefined;
    this.#become("closed");
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Resolves with the next change, or after so long. */
  #change(millis: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", done);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, millis);
      signal?.addEventListener("abort", done, { once: true });
      this.#waiting.add(done);
    });
  }

  #become(state: State): void {
    if (this.#state === "closed") return;
    this.#state = state;
    for (const wake of [...this.#waiting]) wake();
  }

  #dial(): void {
    this.#become("dialling");
    if (this.#state !== "dialling") return;
    const { dialMillisMax, limits } = this.#options;
    let connection: Connection | undefined;
    let failure: string | undefined;
    const socket = this.#dialler.dial(() => {
      if (this.#state === "closed") return;
      connection = new Connection(
        "client",
        this.#handler(() => connection, greeted),
        { limits },
      );
      this.#connections.add(connection);
      attachSocket(connection, socket);
    });
    const late = setTimeout(() => {
      socket.destroy(new Error(`no connection within ${dialMillisMax} ms`));
    }, dialMillisMax);
    const greeted = () => {
      if (this.#state === "closed" || connection === undefined || !this.#sockets.delete(socket)) {
        return;
      }
      clearTimeout(late);
      this.#restMillis = this.#options.restMillisMin;
      this.#current = connection;
      this.#become("ready");
      this.#options.onReady?.();
    };
    // Until it is greeted.
    this.#sockets.add(socket);
    socket.on("error", (error) => {
      failure ??= error.message;
    });
    socket.once("close", () => {
      clearTimeout(late);
      if (connection !== undefined) this.#connections.delete(connection);
      if (this.#sockets.delete(socket)) {
        this.lastError = failure ?? "it closes the connection before it says anything";
        this.#pause();
      } else this.#lost(connection);
    });
  }

  /** An attempt has failed. */
  #pause(): void {
    if (this.#state === "closed") return;
    this.#become("resting");
    // Spread, so that many clients of a server do not come back in step.
    const millis = this.#restMillis * (0.8 + 0.4 * Math.random());
    this.#restMillis = Math.min(2 * this.#restMillis, this.#options.restMillisMax);
    this.#rest = setTimeout(() => this.#idle(), millis);
    if (this.#options.kept !== true) this.#rest.unref();
  }

  #lost(connection: Connection | undefined): void {
    if (this.#current === undefined || this.#current !== connection) return;
    this.#current = undefined;
    this.#idle();
  }

  #idle(): void {
    if (this.#state === "closed") return;
    if (this.#options.kept === true) this.#dial();
    else this.#become("idle");
  }

  #handler(of: () => Connection | undefined, greeted: () => void): ConnectionHandler {
    const { streams } = this.#options;
    return {
      onHeaders: streams.onHeaders.bind(streams),
      onData: streams.onData.bind(streams),
      onTrailers: streams.onTrailers.bind(streams),
      onReset: streams.onReset.bind(streams),
      onWritable: streams.onWritable.bind(streams),
      onGoaway: () => this.#lost(of()),
      onSettings: greeted,
      onClose: (error) => {
        if (error !== undefined) this.lastError = error.message;
        this.#lost(of());
      },
    };
  }
}
