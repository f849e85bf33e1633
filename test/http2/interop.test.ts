/** With Node's own HTTP/2 at the other end, over real sockets, plaintext and TLS. */
import assert from "node:assert/strict";
import { once } from "node:events";
import * as http2 from "node:http2";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { after, describe, test } from "node:test";
import * as tls from "node:tls";
import {
  attachSocket,
  Connection,
  type ConnectionHandler,
  encodeHeaders,
  type HeaderBlock,
  type Stream,
} from "../../ha/http2/mod.ts";
import { eventually } from "../patience.ts";
import { createCa } from "../rpc/certs.ts";

const closing: (() => void)[] = [];
after(() => {
  for (const close of closing.reverse()) close();
});

const ok = encodeHeaders([":status", "200", "server", "lean"]);

/** Sends a request's body back, then its header `x-end` as a trailer. */
class Echo implements ConnectionHandler {
  readonly connection: Connection = new Connection("server", this);
  errors = 0;

  onHeaders(stream: Stream, block: HeaderBlock, endStream: boolean): void {
    stream.user = block;
    this.connection.headers(stream, ok, false);
    if (endStream) this.#end(stream);
  }

  onData(stream: Stream, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    this.connection.data(stream, bytes.subarray(start, end), false);
    this.connection.consume(stream, end - start);
    if (endStream) this.#end(stream);
  }

  onTrailers(stream: Stream): void {
    this.#end(stream);
  }

  onReset(): void {}
  onWritable(): void {}
  onGoaway(): void {}

  onClose(error: Error | undefined): void {
    if (error !== undefined) this.errors++;
  }

  #end(stream: Stream): void {
    const value = (stream.user as HeaderBlock).get("x-end") ?? "none";
    this.connection.trailers(stream, encodeHeaders(["x-end", value]));
  }
}

async function listen(server: ReturnType<typeof createServer>): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closing.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

interface Answer {
  readonly status: unknown;
  readonly body: Buffer;
  readonly end: unknown;
}

async function ask(session: http2.ClientHttp2Session, body: Buffer, end: string): Promise<Answer> {
  const stream = session.request({ ":method": "POST", ":path": "/echo", "x-end": end });
  stream.end(body);
  const chunks: Buffer[] = [];
  let status: unknown;
  let trailer: unknown;
  stream.on("response", (headers) => {
    status = headers[":status"];
  });
  stream.on("trailers", (headers) => {
    trailer = headers["x-end"];
  });
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return { status, body: Buffer.concat(chunks), end: trailer };
}

describe("our server, Node's client", () => {
  async function exercise(session: http2.ClientHttp2Session, echo: () => Echo | undefined) {
    closing.push(() => session.destroy());
    const bodies = [0, 1, 1_000, 100_000, 3_000_000].map((size) => Buffer.alloc(size, size % 251));
    const answers = await Promise.all(bodies.map((body, n) => ask(session, body, `t${n}`)));
    answers.forEach((answer, n) => {
      assert.equal(answer.status, 200);
      assert.ok(answer.body.equals(bodies[n]!), `body ${n}`);
      assert.equal(answer.end, `t${n}`);
    });
    // Hundreds at once, of which some are cancelled.
    const many = Array.from({ length: 300 }, async (_, n) => {
      if (n % 3 > 0) return ask(session, Buffer.alloc(n), String(n));
      const stream = session.request({ ":method": "POST", ":path": "/" });
      stream.on("error", () => {});
      stream.close(http2.constants.NGHTTP2_CANCEL);
      await once(stream, "close");
      return undefined;
    });
    await Promise.all(many);
    await new Promise<void>((resolve, reject) =>
      session.ping((error) => (error ? reject(error) : resolve())),
    );
    assert.equal(echo()?.errors, 0);
    await eventually("no stream is left", () => echo()?.connection.openStreams === 0);
  }

  test("plaintext with prior knowledge", async () => {
    let echo: Echo | undefined;
    const port = await listen(
      createServer((socket) => {
        echo = new Echo();
        attachSocket(echo.connection, socket);
      }),
    );
    await exercise(http2.connect(`http://127.0.0.1:${port}`), () => echo);
    echo!.connection.shutdown();
    await eventually("the connection has ended", () => echo!.connection.dead);
  });

  test("TLS by ALPN", async () => {
    const ca = await createCa();
    let echo: Echo | undefined;
    const options = { ...(await ca.server()), ALPNProtocols: ["h2"] };
    const port = await listen(
      tls.createServer(options, (socket) => {
        echo = new Echo();
        attachSocket(echo.connection, socket);
      }),
    );
    const session = http2.connect(`https://localhost:${port}`, { ca: ca.ca });
    await exercise(session, () => echo);
  });

  test("what is not HTTP/2 is shown the door", async () => {
    const port = await listen(
      createServer((socket) => attachSocket(new Echo().connection, socket)),
    );
    const socket = connect(port, "127.0.0.1");
    socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    socket.resume();
    await once(socket, "close");
  });
});

/** Our client, with promises for a test's sake. */
class Asking implements ConnectionHandler {
  readonly connection: Connection = new Connection("client", this);
  readonly #settled = new Map<Stream, { answer: string[]; done: (answer: string[]) => void }>();

  constructor(socket: Socket) {
    attachSocket(this.connection, socket);
  }

  ask(fields: readonly string[], body: Buffer): Promise<string[]> {
    const stream = this.connection.request(encodeHeaders(fields), false);
    assert.ok(stream, "no capacity");
    this.connection.data(stream, body, true);
    return new Promise((done) => this.#settled.set(stream, { answer: [], done }));
  }

  onHeaders(stream: Stream, block: HeaderBlock, endStream: boolean): void {
    this.#note(stream, block.get(":status") ?? "", endStream);
  }

  onData(stream: Stream, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    this.connection.consume(stream, end - start);
    this.#note(stream, bytes.toString("latin1", start, end), endStream);
  }

  onTrailers(stream: Stream, block: HeaderBlock): void {
    this.#note(stream, block.fields.join("="), true);
  }

  onReset(stream: Stream, code: number, cause: string): void {
    this.#note(stream, `reset ${code} ${cause}`, true);
  }

  onWritable(): void {}
  onGoaway(): void {}
  onClose(): void {}

  #note(stream: Stream, text: string, end: boolean): void {
    const entry = this.#settled.get(stream);
    entry?.answer.push(text);
    if (end) entry?.done(entry.answer);
  }
}

describe("our client, Node's server", () => {
  const server = http2.createServer();
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    if (headers[":path"] === "/reset") return stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    stream.respond({ ":status": 200 }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ size: String(stream.state.state) }));
    stream.pipe(stream);
    return undefined;
  });

  const fields = (path: string) => [
    ...[":method", "POST", ":scheme", "http", ":path", path, ":authority", "localhost"],
    ...["user-agent", "lean"],
  ];

  test("asks, is answered, is refused", async () => {
    const port = await listen(server as unknown as ReturnType<typeof createServer>);
    const socket = connect(port, "127.0.0.1");
    closing.push(() => socket.destroy());
    const asking = new Asking(socket);
    const sizes = [0, 10, 70_000, 2_000_000];
    const answers = await Promise.all(
      sizes.map((size) => asking.ask(fields("/"), Buffer.alloc(size, 0x62))),
    );
    answers.forEach((answer, n) => {
      assert.equal(answer[0], "200");
      assert.match(answer.at(-1) ?? "", /^size=/);
      assert.equal(answer.slice(1, -1).join(""), "b".repeat(sizes[n]!));
    });
    assert.deepEqual(await asking.ask(fields("/reset"), Buffer.of()), ["reset 2 peer"]);
    for (let round = 0; round < 200; round++) {
      const answer = await asking.ask(fields("/"), Buffer.from("again"));
      assert.deepEqual(answer.slice(0, 2), ["200", "again"]);
    }
    let alive = false;
    asking.connection.ping(() => {
      alive = true;
    });
    await eventually("the ping is answered", () => alive);
    asking.connection.shutdown();
    await once(socket, "close");
  });
});
