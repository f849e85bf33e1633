/** Puts a connection onto a `net` or `tls` socket: one write a turn, as fast as the peer reads. */
import type { Socket } from "node:net";
import type { Connection } from "./connection.ts";

const tickMillis = 1_000;

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

/** All attached connections share one timer. */
const attached = new Set<SocketAdapter>();
let timer: NodeJS.Timeout | undefined;

function attach(adapter: SocketAdapter): void {
  attached.add(adapter);
  if (timer !== undefined) return;
  timer = setInterval(() => {
    for (const each of attached) each.tick();
  }, tickMillis);
  timer.unref();
}

function detach(adapter: SocketAdapter): void {
  attached.delete(adapter);
  if (attached.size > 0 || timer === undefined) return;
  clearInterval(timer);
  timer = undefined;
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
  #dirty = false;
  #blocked = false;
  #blockedSince: number | undefined;
  #sentBefore = 0;
  #ended = false;

  constructor(connection: Connection, socket: Socket, to: Flushes) {
    this.#connection = connection;
    this.#socket = socket;
    this.#flushes = to;
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
      detach(this);
      connection.disconnected();
    });
    attach(this);
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

  tick(): void {
    const connection = this.#connection;
    if (this.#socket.writableLength === 0) connection.outputSent();
    connection.tick(!this.#socket.isPaused());
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
