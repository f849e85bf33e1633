/** Puts a connection onto a `net` or `tls` socket: one write a turn, as fast as the peer reads. */
import type { Socket } from "node:net";
import type { Connection } from "./connection.ts";
import type { Http2Limits } from "./limits.ts";

const tickMillisMin = 20;
const tickMillisMax = 1_000;

/** Connections with output, until it is time to write. */
class Flushes {
  readonly #later: (run: () => void) => void;
  #dirty: SocketAdapter[] = [];

  constructor(later: (run: () => void) => void) {
    this.#later = later;
  }

  add(adapter: SocketAdapter): void {
    if (this.#dirty.push(adapter) === 1) this.#later(this.#run);
  }

  readonly #run = (): void => {
    const adapters = this.#dirty;
    this.#dirty = [];
    for (const adapter of adapters) adapter.flush();
  };
}

const flushes = { turn: new Flushes(setImmediate), read: new Flushes(process.nextTick) };

/** Connections that are looked at equally often share a timer, for as long as there are any. */
class Ticks {
  static readonly #all = new Map<number, Ticks>();
  readonly #millis: number;
  readonly #adapters = new Set<SocketAdapter>();
  #timer: NodeJS.Timeout | undefined;
  #before = 0;

  /** Often enough for the connection's keepalive, which a tick begins and ends. */
  static of({ keepaliveMillis, keepaliveTimeoutMillis }: Http2Limits): Ticks {
    const half = Math.floor(Math.min(keepaliveMillis || tickMillisMax, keepaliveTimeoutMillis) / 2);
    const millis = Math.min(Math.max(half, tickMillisMin), tickMillisMax);
    const known = Ticks.#all.get(millis);
    if (known !== undefined) return known;
    const made = new Ticks(millis);
    Ticks.#all.set(millis, made);
    return made;
  }

  private constructor(millis: number) {
    this.#millis = millis;
  }

  add(adapter: SocketAdapter): void {
    this.#adapters.add(adapter);
    if (this.#timer !== undefined) return;
    this.#before = performance.now();
    this.#timer = setInterval(this.#tick, this.#millis);
    this.#timer.unref();
  }

  remove(adapter: SocketAdapter): void {
    this.#adapters.delete(adapter);
    if (this.#adapters.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** A process that did not come to run has not read either: its peers' silence means nothing. */
  readonly #tick = (): void => {
    const now = performance.now();
    const inTime = now - this.#before < 2 * this.#millis;
    this.#before = now;
    for (const each of this.#adapters) each.tick(inTime);
  };
}

export interface AttachOptions {
  /**
   * When output is written. At the end of a `turn` of the event loop, the default: what several
   * reads have led to leaves in one write. After each `read`, whatever its socket: what does no
   * work of its own, a relay, lets the next process begin while it goes on.
   */
  readonly writeAfter?: keyof typeof flushes | undefined;
}

/**
 * From now on the connection lives on the socket, and ends with it; the socket is closed when the
 * connection is over. The socket may still be connecting. Nothing else may read or write it.
 */
export function attachSocket(
  connection: Connection,
  socket: Socket,
  { writeAfter = "turn" }: AttachOptions = {},
): void {
  new SocketAdapter(connection, socket, flushes[writeAfter]).start();
}

class SocketAdapter {
  readonly #connection: Connection;
  readonly #socket: Socket;
  readonly #flushes: Flushes;
  readonly #ticks: Ticks;
  #dirty = false;
  #blocked = false;
  #blockedSince: number | undefined;
  #sentBefore = 0;
  #ended = false;

  constructor(connection: Connection, socket: Socket, to: Flushes) {
    this.#connection = connection;
    this.#socket = socket;
    this.#flushes = to;
    this.#ticks = Ticks.of(connection.limits);
  }

  start(): void {
    const connection = this.#connection;
    const socket = this.#socket;
    connection.onOutput = () => this.#wake();
    socket.on("data", (chunk: Buffer) => {
      connection.receive(chunk);
      if (connection.dead) this.#wake();
      // A peer that does not read its answers is not asked for more.
      else if (connection.overfull && this.#blocked) socket.pause();
    });
    socket.on("drain", () => {
      this.#blocked = false;
      this.#blockedSince = undefined;
      // What was written has left: its memory serves what is written next.
      if (socket.writableLength === 0) connection.outputSent();
      this.flush();
      if (!connection.overfull && socket.isPaused()) socket.resume();
    });
    socket.on("end", () => {
      connection.disconnected();
      this.#wake();
    });
    // The owner of the socket handles its error; here only its close matters.
    socket.on("error", () => connection.disconnected());
    socket.on("close", () => {
      this.#ticks.remove(this);
      connection.disconnected();
    });
    this.#ticks.add(this);
    this.#wake();
  }

  /** Everything that waits, in one write. */
  flush(): void {
    this.#dirty = false;
    const connection = this.#connection;
    const socket = this.#socket;
    // TLS takes what is written later than the write returns, and says nothing of it: what was
    // written before has left by now, or is looked at again at the next flush.
    if (socket.writableLength === 0) connection.outputSent();
    while (!this.#blocked && connection.outputBytes > 0 && socket.writable) this.#write();
    // The system has taken it all: nothing refers to the output's memory any more.
    if (socket.writableLength === 0) connection.outputSent();
    if (connection.dead && !this.#ended && (connection.outputBytes === 0 || !socket.writable)) {
      this.#ended = true;
      socket.end();
      // The last words get a moment to leave; a peer that still sends must not keep the socket.
      setTimeout(() => socket.destroy(), connection.limits.lingerMillis).unref();
    }
  }

  tick(inTime: boolean): void {
    const connection = this.#connection;
    if (this.#socket.writableLength === 0) connection.outputSent();
    connection.tick(inTime && !this.#socket.isPaused());
    if (connection.dead) this.#wake();
    if (!this.#blocked) return;
    const { bytesWritten, writableLength } = this.#socket;
    const sent = bytesWritten - writableLength;
    const now = performance.now();
    if (this.#blockedSince === undefined || sent !== this.#sentBefore) {
      this.#blockedSince = now;
      this.#sentBefore = sent;
    } else if (now - this.#blockedSince >= connection.limits.stalledMillis) {
      this.#socket.destroy();
    }
  }

  #write(): void {
    const socket = this.#socket;
    const chunks = this.#connection.takeOutput();
    const [only] = chunks;
    if (chunks.length === 1 && only !== undefined) {
      this.#blocked = !socket.write(only);
      return;
    }
    socket.cork();
    for (const chunk of chunks) this.#blocked = !socket.write(chunk);
    socket.uncork();
    // Corked bytes may have left at once.
    this.#blocked = socket.writableNeedDrain;
  }

  #wake(): void {
    if (this.#dirty) return;
    this.#dirty = true;
    this.#flushes.add(this);
  }
}
