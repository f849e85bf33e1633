/** A WebSocket with bounds: what waits on either side, and how long a client may be silent. */
import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import type { Clock } from "../../../../../ha/runtime/types.ts";
import { limits } from "../../../limits.ts";

/** Close codes (RFC 6455 section 7.4.1). */
export const CloseCode = {
  normal: 1000,
  goingAway: 1001,
  protocolError: 1002,
  internalError: 1011,
} as const;

/** A connection as the streams see it. */
export interface StreamSocket {
  /** Aborts when the client has gone, or the connection has been closed. */
  readonly gone: AbortSignal;
  /** Once. Ends with the connection; what is not read holds the client back. */
  messages(): AsyncGenerator<Buffer, void>;
  /** Resolves when the client has taken enough for more to be sent, or has gone. */
  send(message: Buffer | string): Promise<void>;
  /** Says why and lets go. Idempotent. */
  close(code: number, reason?: string): void;
}

export class BoundedSocket implements StreamSocket {
  readonly #socket: WebSocket;
  readonly #gone = new AbortController();
  readonly #queue: Buffer[] = [];
  readonly #stopTimer: () => void;
  #queuedBytes = 0;
  #paused = false;
  #ended = false;
  #wake: () => void = () => undefined;
  #heardMillis: number;

  constructor(socket: WebSocket, clock: Clock) {
    this.#socket = socket;
    this.#heardMillis = clock.monotonicMillis();
    const heard = () => {
      this.#heardMillis = clock.monotonicMillis();
    };
    socket.on("message", (data) => {
      heard();
      this.#take(bytesOf(data));
    });
    socket.on("ping", heard);
    socket.on("pong", heard);
    // A broken connection, or a message beyond the limit: the close that follows tells the rest.
    socket.on("error", () => undefined);
    socket.on("close", () => this.#end());
    this.#stopTimer = clock.every(limits.streamPingMillis, () => {
      const silent = clock.monotonicMillis() - this.#heardMillis;
      if (silent >= limits.streamSilenceMillis && !this.#paused) socket.terminate();
      else if (socket.readyState === socket.OPEN) socket.ping();
    });
  }

  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  async *messages(): AsyncGenerator<Buffer, void> {
    for (;;) {
      const message = this.#queue.shift();
      if (message !== undefined) {
        this.#queuedBytes -= message.length;
        if (this.#paused && this.#queuedBytes < limits.streamQueueBytes / 2) {
          this.#paused = false;
          this.#socket.resume();
        }
        yield message;
      } else if (this.#ended) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  async send(message: Buffer | string): Promise<void> {
    const socket = this.#socket;
    if (socket.readyState !== socket.OPEN) return;
    // Called with an error when the connection breaks, which its close tells of.
    const sent = new Promise<void>((resolve) => socket.send(message, () => resolve()));
    if (socket.bufferedAmount >= limits.streamQueueBytes) await sent;
  }

  close(code: number, reason = ""): void {
    const text = Buffer.from(reason).subarray(0, closeReasonBytes).toString("utf8");
    this.#socket.close(code, text.toWellFormed().replaceAll("\ufffd", ""));
  }

  #take(message: Buffer): void {
    this.#queue.push(message);
    this.#queuedBytes += message.length;
    if (!this.#paused && this.#queuedBytes >= limits.streamQueueBytes) {
      this.#paused = true;
      this.#socket.pause();
    }
    this.#wake();
  }

  #end(): void {
    this.#ended = true;
    this.#stopTimer();
    this.#wake();
    this.#gone.abort();
  }
}

/** A connection that was upgraded to a protocol of bytes. */
export class RawSocket implements StreamSocket {
  readonly #socket: Duplex;
  readonly #head: Buffer;
  readonly #gone = new AbortController();

  /** `head`: what came behind the request's head. */
  constructor(socket: Duplex, head: Buffer) {
    this.#socket = socket;
    this.#head = head;
    socket.once("close", () => this.#gone.abort());
    if (socket.destroyed) this.#gone.abort();
  }

  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  async *messages(): AsyncGenerator<Buffer, void> {
    if (this.#head.length > 0) yield this.#head;
    try {
      for await (const piece of this.#socket.iterator({ destroyOnReturn: false })) {
        yield piece as Buffer;
      }
    } catch (thrown) {
      // A connection that broke has ended, as its close tells.
      if (!this.#socket.destroyed) throw thrown;
    }
  }

  async send(message: Buffer | string): Promise<void> {
    const socket = this.#socket;
    if (!socket.writable || socket.write(message)) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        socket.off("drain", done);
        socket.off("close", done);
        resolve();
      };
      socket.on("drain", done);
      socket.on("close", done);
    });
  }

  close(): void {
    const socket = this.#socket;
    socket.end();
    const timer = setTimeout(() => socket.destroy(), limits.drainMillis);
    timer.unref();
    socket.once("close", () => clearTimeout(timer));
  }
}

/** RFC 6455 section 5.5: a control frame has at most 125 bytes, two of which are the code. */
const closeReasonBytes = 120;

function bytesOf(data: Buffer | ArrayBuffer | readonly Buffer[]): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return data instanceof ArrayBuffer ? Buffer.from(data) : Buffer.concat(data);
}
