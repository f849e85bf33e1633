/** Clients of upgraded connections: channels by `ws`, and SPDY/3.1 tunnelled in WebSocket messages. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, request } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Writable } from "node:stream";
import * as ws from "ws";
import { WebSocket } from "ws";
import { FrameReader, FrameWriter } from "../../ha/rpc/spdy/mod.ts";
import { upgradeHandler } from "../../services/apiserver/faces/rest/streams/upgrade.ts";
import type { StreamWorld } from "../kubelet/stream-world.ts";

/** Exported by the library, and not by its types. */
const { Receiver, Sender } = ws as unknown as {
  readonly Receiver: new (options: object) => Writable;
  readonly Sender: new (socket: Socket) => WebSocketSender;
};
interface WebSocketSender {
  send(data: Buffer, options: object): void;
}

export interface UpgradeServer extends AsyncDisposable {
  readonly port: number;
}

/** Users by the header `as`, as in the stream world. */
export async function upgradeServer(streams: StreamWorld): Promise<UpgradeServer> {
  const handle = upgradeHandler(streams.face);
  const server = createServer((_, response) => response.writeHead(404).end());
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("upgrade", (incoming, socket, head) => {
    const name = String(incoming.headers["as"] ?? "admin");
    const groups = name === "admin" ? ["system:masters"] : ["system:authenticated"];
    const peer = { certificate: undefined, refusal: undefined };
    handle(incoming, socket, head, { name, groups }, peer);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export interface Refusal {
  readonly code: number;
  readonly status: { readonly [field: string]: unknown };
}

/** A WebSocket of channels: what came on each, and how it closed. */
export class ChannelClient {
  readonly socket: WebSocket;
  readonly messages: Buffer[] = [];
  readonly closed: Promise<number>;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on("message", (data: Buffer) => this.messages.push(data));
    socket.on("error", () => undefined);
    this.closed = new Promise((resolve) => socket.once("close", (code) => resolve(code)));
  }

  static async open(
    port: number,
    path: string,
    protocols: readonly string[],
    as = "admin",
  ): Promise<ChannelClient> {
    const url = `ws://127.0.0.1:${port}${path}`;
    const socket = new WebSocket(url, [...protocols], { headers: { as } });
    const client = new ChannelClient(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("unexpected-response", (_, response) => {
        void readAll(response).then((text) => {
          const status = { code: response.statusCode ?? 0, status: JSON.parse(text) };
          reject(Object.assign(new Error(text), { refusal: status }));
          socket.terminate();
        });
      });
    });
    return client;
  }

  /** The text that came on a channel, whose messages are binary. */
  text(channel: number): string {
    const found = this.messages.filter((each) => each[0] === channel);
    return Buffer.concat(found.map((each) => each.subarray(1))).toString();
  }

  bytes(channel: number): number {
    const found = this.messages.filter((each) => each[0] === channel);
    return found.reduce((sum, each) => sum + each.length - 1, 0);
  }

  get status(): { readonly [field: string]: unknown } {
    return JSON.parse(this.text(3));
  }

  send(channel: number, data: string | Uint8Array): void {
    this.socket.send(Buffer.concat([Buffer.of(channel), Buffer.from(data as Uint8Array)]));
  }
}

async function readAll(stream: AsyncIterable<Buffer>): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

export async function refusalOf(opening: Promise<unknown>): Promise<Refusal> {
  try {
    await opening;
  } catch (thrown) {
    const { refusal } = thrown as { refusal?: Refusal };
    assert.ok(refusal, String(thrown));
    return refusal;
  }
  assert.fail("it should have been refused");
}

/** Sends an upgrade by hand. Resolves to the answer's code, and its JSON when it is a refusal. */
export function upgrade(
  port: number,
  options: { method?: string; path: string; headers: Record<string, string> },
): Promise<{ response: IncomingMessage; socket: Socket | undefined; body: string }> {
  return new Promise((resolve, reject) => {
    const { method = "GET", path, headers } = options;
    const sent = request({ host: "127.0.0.1", port, method, path, headers });
    sent.once("upgrade", (response, socket) => {
      resolve({ response, socket: socket as Socket, body: "" });
    });
    sent.once("response", (response) => {
      void readAll(response).then((body) => resolve({ response, socket: undefined, body }));
    });
    sent.once("error", reject);
    sent.end();
  });
}

interface TunnelStream {
  data: Buffer;
  replied: boolean;
  ended: boolean;
  reset: boolean;
}

/** The client's side of a SPDY connection. */
abstract class SpdyStreams {
  readonly streams = new Map<number, TunnelStream>();
  pongs = 0;
  goneAway = false;
  closed = false;
  readonly #writer = new FrameWriter();
  readonly #reader = new FrameReader();
  #next = 1;

  /** Raw bytes of SPDY. */
  abstract write(bytes: Buffer): void;

  openStream(headers: Record<string, string>, fin = false): number {
    const id = this.#next;
    this.#next += 2;
    this.streams.set(id, { data: Buffer.alloc(0), replied: false, ended: false, reset: false });
    this.write(this.#writer.synStream(id, new Map(Object.entries(headers)), fin));
    return id;
  }

  send(stream: number, data: Uint8Array, fin = false): void {
    this.write(this.#writer.data(stream, data, fin));
  }

  reset(stream: number): void {
    this.write(this.#writer.rstStream(stream, 5));
  }

  ping(id: number): void {
    this.write(this.#writer.ping(id));
  }

  stream(id: number): TunnelStream {
    const found = this.streams.get(id);
    assert.ok(found);
    return found;
  }

  protected take(bytes: Buffer): void {
    for (const frame of this.#reader.push(bytes)) {
      if (frame.type === "ping") this.pongs += 1;
      if (frame.type === "goAway") this.goneAway = true;
      const stream = "stream" in frame ? this.streams.get(frame.stream) : undefined;
      if (stream === undefined) continue;
      if (frame.type === "synReply") stream.replied = true;
      if (frame.type === "rstStream") stream.reset = true;
      if (frame.type === "data") {
        stream.data = Buffer.concat([stream.data, frame.data]);
        stream.ended ||= frame.fin;
      }
    }
  }
}

/** SPDY on the connection itself. */
export class SpdyClient extends SpdyStreams {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.on("data", (bytes: Buffer) => this.take(bytes));
    socket.on("error", () => undefined);
    socket.on("end", () => socket.end());
    socket.on("close", () => {
      this.closed = true;
    });
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes);
  }
}

/** SPDY in WebSocket messages, as kubectl has it. */
export class TunnelClient extends SpdyStreams {
  readonly protocol: string;
  closeCode: number | undefined;
  readonly #sender: WebSocketSender;
  readonly #socket: Socket;

  private constructor(socket: Socket, protocol: string) {
    super();
    this.protocol = protocol;
    this.#socket = socket;
    this.#sender = new Sender(socket);
    const receiver = new Receiver({ isServer: false });
    receiver.on("message", (data: Buffer) => this.take(data));
    receiver.on("conclude", (code: number) => {
      this.closeCode = code;
      socket.end();
    });
    receiver.on("error", () => socket.destroy());
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.closed = true;
    });
    socket.pipe(receiver);
  }

  static async open(port: number, path: string): Promise<TunnelClient> {
    const { response, socket, body } = await upgrade(port, {
      path,
      headers: {
        Connection: "Upgrade",
        Upgrade: "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": randomBytes(16).toString("base64"),
        "Sec-WebSocket-Protocol": "SPDY/3.1+portforward.k8s.io",
      },
    });
    assert.ok(socket, `${response.statusCode} ${body}`);
    return new TunnelClient(socket, String(response.headers["sec-websocket-protocol"]));
  }

  write(bytes: Buffer): void {
    this.#sender.send(bytes, { binary: true, mask: true, fin: true, compress: false });
  }

  /** A forwarded connection: the ids of its error and data streams. */
  connect(port: number, requestid: string): { error: number; data: number } {
    const common = { port: String(port), requestid };
    const error = this.openStream({ ...common, streamtype: "error" }, true);
    return { error, data: this.openStream({ ...common, streamtype: "data" }) };
  }

  close(): void {
    this.#socket.destroy();
  }
}
