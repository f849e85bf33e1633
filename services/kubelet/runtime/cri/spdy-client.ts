/**
 * The client's side of SPDY/3.1, as a runtime's streaming server speaks it: an HTTP request that is
 * upgraded, then streams that the client opens. Nothing of it knows windows, so what holds a sender
 * back is the connection: it is read only while less than a bound waits for the streams' readers.
 */
import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Duplex } from "node:stream";
import { type Frame, FrameReader, FrameWriter } from "../../../../ha/rpc/spdy/mod.ts";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";

const spdyLimits = {
  /** From the request to the upgraded connection, and to the answer to a new stream. */
  openMillis: 10_000,
  /** Bytes of one frame that is sent. */
  frameBytes: 32 * 1024,
  /** Bytes that wait for readers before the connection is left unread. */
  heldBytes: 1024 * 1024,
  refusalBytes: 4_096,
} as const;

/** One stream of the connection. */
export class SpdyClientStream {
  readonly id: number;
  readonly #connection: SpdyClient;
  readonly #opened = Promise.withResolvers<void>();
  #pieces: Buffer[] = [];
  #isOpened = false;
  #ended = false;
  #sentEnd = false;
  #failure: StatusError | undefined;
  #wake: () => void = () => undefined;

  constructor(id: number, connection: SpdyClient) {
    this.id = id;
    this.#connection = connection;
    this.#opened.promise.catch(() => undefined); // told to those who wait for it
  }

  /** The server has taken the stream. */
  get opened(): Promise<void> {
    return this.#opened.promise;
  }

  /** Throws StatusError unavailable when the connection breaks before the stream's end. */
  async *incoming(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece !== undefined) {
        this.#connection.taken(piece.length);
        yield piece;
      } else if (this.#ended) return;
      else if (this.#failure !== undefined) throw this.#failure;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  /** All that comes, as text; cut at `bytesMax`. */
  async text(bytesMax: number): Promise<string> {
    const pieces: Uint8Array[] = [];
    let length = 0;
    for await (const piece of this.incoming()) {
      if (length < bytesMax) pieces.push(piece);
      length += piece.length;
    }
    return Buffer.concat(pieces).subarray(0, bytesMax).toString("utf8");
  }

  /** Resolves when more is wanted. To a stream that has ended: nothing happens. */
  async write(data: Uint8Array): Promise<void> {
    const { frameBytes } = spdyLimits;
    for (let at = 0; at < data.length && !this.#sentEnd; at += frameBytes) {
      await this.#connection.send(this.id, data.subarray(at, at + frameBytes), false);
    }
  }

  end(): void {
    if (this.#sentEnd) return;
    this.#sentEnd = true;
    void this.#connection.send(this.id, new Uint8Array(), true);
  }

  /** For the connection alone. */
  reply(): void {
    this.#isOpened = true;
    this.#opened.resolve();
  }

  /** For the connection alone. */
  take(data: Buffer, fin: boolean): void {
    if (data.length > 0) this.#pieces.push(data);
    if (fin) this.#ended = true;
    this.#wake();
  }

  /** For the connection alone. A server also drops a stream that it is done with. */
  dropped(): void {
    if (this.#isOpened) {
      this.#sentEnd = true;
      this.take(Buffer.alloc(0), true);
    } else this.fail(broken("the runtime refused a stream"));
  }

  /** For the connection alone. */
  fail(error: StatusError): void {
    this.#failure ??= error;
    this.#sentEnd = true;
    this.#opened.reject(error);
    this.#wake();
  }
}

export class SpdyClient {
  readonly #socket: Duplex;
  readonly #reader = new FrameReader();
  readonly #writer = new FrameWriter();
  readonly #streams = new Map<number, SpdyClientStream>();
  #nextStream = 1;
  #held = 0;

  private constructor(socket: Duplex, head: Buffer) {
    this.#socket = socket;
    socket.on("data", (piece: Buffer) => this.#receive(piece));
    socket.on("error", (error: Error) => this.#broken(error.message));
    socket.once("close", () => this.#broken("the runtime closed it"));
    if (head.length > 0) this.#receive(head);
  }

  /**
   * Throws StatusError: unavailable, and unknown with what the server said in place of upgrading.
   * The signal closes the connection.
   */
  static async open(url: string, protocol: string, signal: AbortSignal): Promise<SpdyClient> {
    const { socket, head } = await upgraded(url, protocol, signal);
    const client = new SpdyClient(socket, head);
    const close = () => client.close();
    signal.addEventListener("abort", close, { once: true });
    socket.once("close", () => signal.removeEventListener("abort", close));
    if (signal.aborted) close();
    return client;
  }

  /** Resolves when the server has taken the stream: data sent earlier would be dropped. */
  async stream(headers: Readonly<Record<string, string>>): Promise<SpdyClientStream> {
    const id = this.#nextStream;
    this.#nextStream += 2;
    const stream = new SpdyClientStream(id, this);
    this.#streams.set(id, stream);
    if (this.#socket.destroyed) stream.fail(broken("it is closed"));
    else this.#socket.write(this.#writer.synStream(id, new Map(Object.entries(headers))));
    const timer = setTimeout(
      () => stream.fail(broken("no answer to a new stream in time")),
      spdyLimits.openMillis,
    );
    await stream.opened.finally(() => clearTimeout(timer));
    return stream;
  }

  /** Everything that was wanted has come: what the streams still hold can be read to its end. */
  finish(): void {
    for (const stream of this.#streams.values()) stream.take(Buffer.alloc(0), true);
    this.close();
  }

  /** Idempotent. */
  close(): void {
    this.#socket.destroy();
  }

  /** For streams: resolves when the connection takes more. */
  send(stream: number, data: Uint8Array, fin: boolean): Promise<void> {
    const socket = this.#socket;
    if (!socket.writable) return Promise.resolve();
    if (socket.write(this.#writer.data(stream, data, fin))) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        socket.off("drain", done);
        socket.off("close", done);
        resolve();
      };
      socket.once("drain", done);
      socket.once("close", done);
    });
  }

  /** For streams: a reader has taken so many bytes. */
  taken(bytes: number): void {
    this.#held -= bytes;
    if (this.#held < spdyLimits.heldBytes && this.#socket.isPaused()) this.#socket.resume();
  }

  #receive(piece: Buffer): void {
    try {
      for (const frame of this.#reader.push(piece)) this.#take(frame);
    } catch (error) {
      this.#broken((error as Error).message);
      this.close();
    }
    if (this.#held >= spdyLimits.heldBytes) this.#socket.pause();
  }

  #take(frame: Frame): void {
    switch (frame.type) {
      case "synReply":
        this.#streams.get(frame.stream)?.reply();
        break;
      case "data":
        this.#data(frame.stream, frame.data, frame.fin);
        break;
      case "headers":
        if (frame.fin) this.#data(frame.stream, Buffer.alloc(0), true);
        break;
      case "rstStream":
        this.#streams.get(frame.stream)?.dropped();
        break;
      case "ping":
        if (frame.id % 2 === 0) this.#socket.write(this.#writer.ping(frame.id));
        break;
      case "goAway":
      case "settings":
      case "windowUpdate":
      case "synStream":
        break;
    }
  }

  #data(id: number, data: Buffer, fin: boolean): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    this.#held += data.length;
    // A view would keep the whole piece of the connection in memory.
    stream.take(Buffer.from(data), fin);
  }

  #broken(why: string): void {
    for (const stream of this.#streams.values()) stream.fail(broken(why));
  }
}

function broken(why: string): StatusError {
  return new StatusError(Code.unavailable, `the runtime's stream broke: ${why}`);
}

function upgraded(
  url: string,
  protocol: string,
  signal: AbortSignal,
): Promise<{ readonly socket: Duplex; readonly head: Buffer }> {
  const options = {
    method: "POST",
    headers: {
      Connection: "Upgrade",
      Upgrade: "SPDY/3.1",
      "X-Stream-Protocol-Version": protocol,
    },
    // The URL came over the runtime's own socket, and its token is good for one request.
    rejectUnauthorized: false,
    signal,
  };
  return new Promise((resolve, reject) => {
    const fail = (why: string) => {
      sent.destroy();
      reject(new StatusError(Code.unavailable, `the runtime's streaming server: ${why}`));
    };
    const timer = setTimeout(() => fail("no answer in time"), spdyLimits.openMillis);
    const sent: ClientRequest = url.startsWith("https:")
      ? httpsRequest(url, options)
      : httpRequest(url, options);
    sent.once("upgrade", (_, socket, head) => {
      clearTimeout(timer);
      resolve({ socket, head });
    });
    sent.once("response", (response) => {
      clearTimeout(timer);
      refusal(response).then(reject, reject);
    });
    sent.on("error", (error) => {
      clearTimeout(timer);
      fail(error.message);
    });
    sent.end();
  });
}

async function refusal(response: IncomingMessage): Promise<StatusError> {
  let text = "";
  for await (const piece of response) {
    text += String(piece);
    if (text.length > spdyLimits.refusalBytes) break;
  }
  const cut = text.slice(0, spdyLimits.refusalBytes).trim();
  return new StatusError(Code.unknown, cut === "" ? `HTTP ${response.statusCode}` : cut);
}
