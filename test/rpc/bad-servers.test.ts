/** Servers that a client has to leave: silent ones, and hostile ones. It calls the next connection. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { test } from "node:test";
import { FrameType as T } from "../../ha/http2/codes.ts";
import { attachSocket, Connection, encodeHeaders, type Stream } from "../../ha/http2/mod.ts";
import type { CallFailure } from "../../ha/rpc/call-failure.ts";
import { Channel } from "../../ha/rpc/channel/channel.ts";
import { Code } from "../../ha/runtime/status-error.ts";
import { frame, settings } from "../http2/wire.ts";
import { EchoService } from "./echo.ts";

const bounded = { timeout: 20_000 };

/** The first connection is the bad one; those after it answer. */
async function badServer(be: (socket: Socket) => void) {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    if (sockets.size > 1) answering(socket);
    else be(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const channel = new Channel({
    address: `127.0.0.1:${port}`,
    ...{ keepaliveMillis: 60, keepaliveTimeoutMillis: 60 },
  });
  return {
    channel,
    sockets,
    [Symbol.dispose]: () => {
      channel.close();
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

const greeting = Buffer.concat([settings(), frame(T.settings, 1, 0)]);

/** Echoes. */
function answering(socket: Socket): void {
  const head = encodeHeaders([":status", "200", "content-type", "application/grpc"]);
  const connection = new Connection("server", {
    onHeaders: (stream: Stream) => {
      connection.headers(stream, head, false);
    },
    onData: (stream: Stream, bytes: Buffer, start: number, end: number) => {
      connection.data(stream, Buffer.from(bytes.subarray(start, end)), false);
      connection.trailers(stream, encodeHeaders(["grpc-status", "0"]));
    },
    onTrailers: () => {},
    onReset: () => {},
    onWritable: () => {},
    onGoaway: () => {},
    onClose: () => {},
  });
  attachSocket(connection, socket);
}

const say = (channel: Channel) =>
  channel.unary(EchoService.say, Buffer.from("hello"), { fields: [] });

async function failureOf(call: Promise<unknown>): Promise<CallFailure> {
  return call.then(
    () => assert.fail("it was answered"),
    (failure: CallFailure) => failure,
  );
}

test("a server that falls silent is noticed by PING, without a deadline", bounded, async () => {
  let pings = 0;
  using world = await badServer((socket) => {
    socket.write(greeting);
    // It reads, and says nothing: neither to the calls nor to the PING.
    socket.on("data", (bytes) => {
      if (bytes.includes(Buffer.of(0, 0, 8, T.ping, 0))) pings++;
    });
  });
  const { channel, sockets } = world;
  const stream = await channel.stream(EchoService.repeat, Buffer.of(), { fields: [] });
  const failures = await Promise.all([failureOf(say(channel)), failureOf(stream.take())]);
  for (const { code, unanswered } of failures) {
    assert.deepEqual({ code, unanswered }, { code: Code.unavailable, unanswered: true });
  }
  assert.ok(pings > 0, "it was asked for a sign of life");
  assert.equal(String(await say(channel)), "hello");
  assert.equal(sockets.size, 2);
});

test(
  "a server that floods its client with PINGs is left, and the next connection answers",
  bounded,
  async () => {
    using world = await badServer((socket) => {
      const ping = frame(T.ping, 0, 0, Buffer.alloc(8));
      const pings = Buffer.concat([greeting, ...Array.from({ length: 10_000 }, () => ping)]);
      socket.once("data", () => socket.write(pings));
      socket.resume();
    });
    const { code } = await failureOf(say(world.channel));
    assert.equal(code, Code.unavailable);
    assert.equal(String(await say(world.channel)), "hello");
  },
);

test("a client that did not come to run does not take its server for silent", bounded, async () => {
  using world = await badServer(answering);
  assert.equal(String(await say(world.channel)), "hello");
  const held = new Int32Array(new SharedArrayBuffer(4));
  for (let i = 0; i < 4; i++) {
    Atomics.wait(held, 0, 0, 130);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(String(await say(world.channel)), "hello");
  assert.equal(world.sockets.size, 1);
});
