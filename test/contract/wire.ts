/** What every wire promises to the transport above it, whatever the server does. */
import assert from "node:assert/strict";
import { once } from "node:events";
import * as http2 from "node:http2";
import { createServer, type Socket } from "node:net";
import { after, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { CallFailure } from "../../ha/rpc/call-failure.ts";
import { toServiceError } from "../../ha/rpc/errors.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { MakeWire, Wire, WireCall } from "../../services/client/wire.ts";
import { eventually, patienceMillis } from "../patience.ts";
import { EchoService } from "../rpc/echo.ts";
import { deferred } from "../rpc/helpers.ts";

type Answer = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void;

interface FakeServer {
  readonly address: string;
  readonly port: number;
  readonly sessions: Set<http2.ServerHttp2Session>;
  close(): Promise<void>;
}

const messageBytesMax = 8 * 1024 * 1024;
const connectMillis = 1_000;
const head = { ":status": 200, "content-type": "application/grpc" };
const none: WireCall = { fields: [] };
const within = (millis: number): WireCall => ({ fields: [], deadline: Date.now() + millis });

function framed(message: string | Buffer, flag = 0): Buffer {
  const bytes = Buffer.from(message);
  const prefix = Buffer.alloc(5);
  prefix[0] = flag;
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}

/** Head, body and trailers. */
function reply(
  stream: http2.ServerHttp2Stream,
  body: Buffer,
  trailers: http2.OutgoingHttpHeaders = { "grpc-status": "0" },
  more: http2.OutgoingHttpHeaders = {},
): void {
  stream.respond({ ...head, ...more }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  stream.end(body);
}

async function fakeServer(answer: Answer, port = 0): Promise<FakeServer> {
  const sessions = new Set<http2.ServerHttp2Session>();
  const server = http2.createServer({ settings: { maxHeaderListSize: 1 << 20 } });
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
    session.on("error", () => {});
  });
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    answer(stream, headers);
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const bound = (server.address() as { port: number }).port;
  return {
    ...{ address: `127.0.0.1:${bound}`, port: bound, sessions },
    async close() {
      for (const session of sessions) session.destroy();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function failure(promise: Promise<unknown>): Promise<CallFailure> {
  try {
    await promise;
  } catch (thrown) {
    assert.ok(thrown instanceof CallFailure, String(thrown));
    return thrown;
  }
  return assert.fail("the call was a success");
}

type Odd = readonly [what: string, answer: Answer, code: Code, words: RegExp];

/** What grpc-js leaves to the deadline, or tells without words. */
export const oddMessages: readonly Odd[] = [
  [
    "two messages",
    (stream) => reply(stream, Buffer.concat([framed("a"), framed("b")])),
    Code.unimplemented,
    /Too many responses/,
  ],
  [
    "a compressed message without an encoding",
    (stream) => reply(stream, framed("x", 1)),
    Code.internal,
    /./,
  ],
];

/** `more`: odd answers that this wire knows, too. */
export function wireContract(name: string, makeWire: MakeWire, more: readonly Odd[] = []): void {
  describe(`a wire on ${name}`, () => {
    const closing: (() => unknown)[] = [];
    after(async () => {
      for (const close of closing.reverse()) await close();
    });
    const wireTo = (address: string, userAgent?: string): Wire => {
      const options = { address, userAgent, maxMessageBytes: messageBytesMax, connectMillis };
      const wire = makeWire(options);
      closing.push(() => wire.close());
      return wire;
    };
    const serve = async (answer: Answer): Promise<{ wire: Wire; server: FakeServer }> => {
      const server = await fakeServer(answer);
      closing.push(() => server.close());
      return { server, wire: wireTo(server.address, "tester/1") };
    };
    const say = (wire: Wire, call: WireCall = within(patienceMillis)) =>
      wire.unary(EchoService.say, Buffer.from("hello"), call);

    test("a unary call carries its fields, its deadline and its message", async () => {
      let seen: http2.IncomingHttpHeaders = {};
      const { wire } = await serve((stream, headers) => {
        seen = headers;
        const pieces: Buffer[] = [];
        stream.on("data", (piece: Buffer) => pieces.push(piece));
        stream.on("end", () => reply(stream, Buffer.concat(pieces)));
      });
      const fields = ["trireme-request-id", "7", "authorization", "Bearer x"];
      const answer = await say(wire, { fields, deadline: Date.now() + patienceMillis });
      assert.equal(answer.toString(), "hello");
      assert.equal(seen[":path"], "/test.Echo/Say");
      assert.equal(seen["trireme-request-id"], "7");
      assert.equal(seen["authorization"], "Bearer x");
      assert.equal(seen["te"], "trailers");
      assert.match(String(seen["user-agent"]), /^tester\/1/);
      assert.match(String(seen["grpc-timeout"]), /^\d{1,8}m$/);
    });

    test("an error is told with its details, also without headers before it", async () => {
      const detail = { reason: "TooManyRequests", name: "a", retryAfterSeconds: 2 };
      const error = new StatusError(Code.resourceExhausted, "zu viel: ü", detail);
      const { metadata } = toServiceError(error);
      const trailers = {
        ...metadata.toHttp2Headers(),
        ...{ "grpc-status": "8", "grpc-message": "zu viel: %C3%BC" },
      } as http2.OutgoingHttpHeaders;
      let alone = false;
      const { wire } = await serve((stream) => {
        if (alone) stream.respond({ ...head, ...trailers }, { endStream: true });
        else reply(stream, Buffer.of(), trailers);
      });
      for (alone of [false, true]) {
        const failed = await failure(say(wire));
        assert.equal(failed.code, Code.resourceExhausted);
        assert.equal(failed.message, error.message);
        assert.deepEqual(failed.detail, detail);
        assert.equal(failed.pushbackMillis, 2_000);
        assert.deepEqual([failed.notBegun, failed.unanswered], [false, false]);
      }
    });

    test("a server says that it has not begun a call, or that it is not to be repeated", async () => {
      const { wire } = await serve((stream) => {
        const more = { "trireme-retry": "safe", "grpc-retry-pushback-ms": "-1" };
        stream.respond({ ...head, "grpc-status": "14", ...more }, { endStream: true });
      });
      const failed = await failure(say(wire));
      assert.deepEqual([failed.code, failed.notBegun], [Code.unavailable, true]);
      assert.ok((failed.pushbackMillis ?? 0) < 0);
    });

    const odd: readonly Odd[] = [
      ...more,
      ...(
        [
          [400, Code.internal],
          [401, Code.unauthenticated],
          [403, Code.permissionDenied],
          [404, Code.unimplemented],
          [502, Code.unavailable],
          [503, Code.unavailable],
          [500, Code.unknown],
        ] as const
      ).map(
        ([status, code]): Odd => [
          `HTTP ${status}`,
          (stream) => stream.respond({ ":status": status }, { endStream: true }),
          code,
          new RegExp(`Received HTTP status code ${status}`),
        ],
      ),
      [
        "an answer without trailers",
        (stream) => {
          stream.respond(head);
          stream.end(framed("x"));
        },
        Code.internal,
        /Call ended without gRPC status/,
      ],
      ["no message", (stream) => reply(stream, Buffer.of()), Code.unimplemented, /No message/],
      [
        "a status that is no code",
        (stream) => reply(stream, framed("a"), { "grpc-status": "77", "grpc-message": "x" }),
        Code.unknown,
        /x/,
      ],
      [
        "a message over the limit",
        (stream) => {
          const prefix = framed("");
          prefix.writeUInt32BE(messageBytesMax + 1, 1);
          stream.respond(head);
          stream.write(prefix);
        },
        Code.resourceExhausted,
        /max|limit/,
      ],
      [
        "a compressed message over the limit",
        (stream) =>
          reply(stream, framed(gzipSync(Buffer.alloc(messageBytesMax + 1)), 1), undefined, {
            "grpc-encoding": "gzip",
          }),
        Code.resourceExhausted,
        /decompress/,
      ],
      [
        "a header list over the limit",
        (stream) => {
          const more = { "x-long": "x".repeat(60_000), "x-longer": "y".repeat(60_000) };
          reply(stream, framed("a"), undefined, more);
        },
        Code.internal,
        /./,
      ],
      [
        "a reset with CANCEL",
        (stream) => stream.close(http2.constants.NGHTTP2_CANCEL),
        Code.cancelled,
        /Call cancelled/,
      ],
      [
        "a reset with ENHANCE_YOUR_CALM",
        (stream) => stream.close(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM),
        Code.resourceExhausted,
        /Bandwidth exhausted/,
      ],
      [
        "a reset with INTERNAL_ERROR",
        (stream) => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR),
        Code.internal,
        /RST_STREAM with code 2/,
      ],
    ];
    for (const [what, answer, code, words] of odd) {
      test(`${what} fails the call with code ${code}`, async () => {
        const { wire } = await serve(answer);
        const failed = await failure(say(wire));
        assert.equal(failed.code, code, failed.message);
        assert.match(failed.message, words);
      });
    }

    test("a compressed message is read", async () => {
      const { wire } = await serve((stream) =>
        reply(stream, framed(gzipSync("packed"), 1), undefined, { "grpc-encoding": "gzip" }),
      );
      assert.equal((await say(wire)).toString(), "packed");
    });

    test("a message of some megabytes comes through in one piece", async () => {
      const large = Buffer.alloc(7_000_000, "abcdefg");
      const { wire } = await serve((stream) => reply(stream, framed(large)));
      assert.ok((await say(wire)).equals(large));
    });

    test("a request over the limit is not sent", async () => {
      const { wire } = await serve((stream) => reply(stream, framed("x")));
      const request = Buffer.alloc(messageBytesMax + 1);
      const failed = await failure(wire.unary(EchoService.say, request, within(patienceMillis)));
      assert.equal(failed.code, Code.resourceExhausted);
      assert.match(failed.message, /Attempted to send message with a size larger than/);
    });

    test("deadline and abort end a call, and the server is told", async () => {
      let resets = 0;
      let connected = false;
      const { wire } = await serve((stream) => {
        if (connected) stream.on("close", () => resets++);
        else reply(stream, framed("hello"));
      });
      // A deadline that passes while the wire still dials is another failure.
      await say(wire);
      connected = true;
      const late = await failure(say(wire, within(50)));
      assert.equal(late.code, Code.deadlineExceeded);
      const abort = new AbortController();
      const aborted = failure(say(wire, { fields: [], signal: abort.signal }));
      await eventually("the first reset", () => resets === 1);
      abort.abort();
      assert.equal((await aborted).code, Code.cancelled);
      await eventually("the second reset", () => resets === 2);
    });

    test("a lost connection fails its calls as unanswered, and the next call dials anew", async () => {
      let answering = false;
      const { wire, server } = await serve((stream) => {
        if (answering) reply(stream, framed("again"));
        else for (const session of server.sessions) session.destroy();
      });
      const lost = await failure(say(wire));
      assert.deepEqual([lost.code, lost.unanswered], [Code.unavailable, true]);
      answering = true;
      await eventually("a call on a new connection", () =>
        say(wire).then(
          (answer) => answer.toString() === "again",
          () => false,
        ),
      );
    });

    test("where no server is, or one that says nothing, calls are unavailable", async () => {
      const silent = createServer();
      silent.listen(0, "127.0.0.1");
      await once(silent, "listening");
      const sockets: Socket[] = [];
      silent.on("connection", (socket) => sockets.push(socket));
      closing.push(() => {
        for (const socket of sockets) socket.destroy();
        silent.close();
      });
      const { port } = silent.address() as { port: number };
      const gone = await fakeServer(() => {});
      await gone.close();
      for (const address of [`127.0.0.1:${port}`, gone.address]) {
        const failed = await failure(say(wireTo(address)));
        assert.deepEqual([failed.code, failed.unanswered], [Code.unavailable, true]);
        assert.equal(failed.message, `no connection to ${address}`);
      }
    });

    test("a server that leaves lets calls under way end; the next ones go elsewhere", async () => {
      const open: http2.ServerHttp2Stream[] = [];
      const { wire, server } = await serve((stream) => {
        if (open.length === 0) open.push(stream);
        else reply(stream, framed("second"));
      });
      const first = say(wire);
      await eventually("the first call", () => open.length === 1);
      for (const session of server.sessions) session.goaway(0, open[0]?.id ?? 0);
      await eventually("a call on another connection", () =>
        say(wire).then(
          (answer) => answer.toString() === "second",
          () => false,
        ),
      );
      reply(open[0] as http2.ServerHttp2Stream, framed("first"));
      assert.equal((await first).toString(), "first");
    });

    test("a stream gives its answers, then its failure", async () => {
      const { wire } = await serve((stream) =>
        reply(stream, Buffer.concat(["a", "b", "c"].map((each) => framed(each))), {
          "grpc-status": "5",
          "grpc-message": "no more",
        }),
      );
      const call = await wire.stream(EchoService.repeat, Buffer.from("3"), none);
      const seen: string[] = [];
      const failed = await failure(
        (async () => {
          for (let next = await call.take(); !next.done; next = await call.take()) {
            seen.push(next.value.toString());
          }
        })(),
      );
      assert.deepEqual(seen, ["a", "b", "c"]);
      assert.deepEqual([failed.code, failed.message], [Code.notFound, "no more"]);
    });

    test("a slow reader stops the server, and loses nothing", async () => {
      const count = 64;
      const message = framed(Buffer.alloc(512 * 1024, 7));
      let written = 0;
      const { wire } = await serve((stream) => {
        stream.respond(head, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
        const more = () => {
          if (written === count) return void stream.end();
          written++;
          stream.write(message, more);
        };
        more();
      });
      const call = await wire.stream(EchoService.repeat, Buffer.from("x"), none);
      assert.equal((await call.take()).done, false);
      let before = -1;
      await eventually("the server to stop", async () => {
        const still = written === before;
        before = written;
        await new Promise((resolve) => setTimeout(resolve, 100));
        return still;
      });
      assert.ok(written < count / 2, `${written} of ${count} messages were written`);
      let read = 1;
      while (!(await call.take()).done) read++;
      assert.equal(read, count);
    });

    test("both halves of a call flow at once, and end by themselves", async () => {
      const { wire } = await serve((stream) => {
        stream.respond(head, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
        stream.on("data", (piece: Buffer) => stream.write(piece));
        stream.on("end", () => stream.end());
      });
      const call = await wire.duplex(EchoService.chat, none);
      const large = Buffer.alloc(1_000_000, "z");
      call.send(Buffer.from("one"));
      assert.equal((await call.take()).value?.toString(), "one");
      if (!call.send(large)) {
        const back = call.take();
        await call.ready();
        assert.equal((await back).value?.length, large.length);
      } else assert.equal((await call.take()).value?.length, large.length);
      call.endRequests();
      assert.equal((await call.take()).done, true);
    });

    test("leaving a stream, and closing the wire, end calls on both sides", async () => {
      let closed = 0;
      const { wire } = await serve((stream) => {
        stream.respond(head);
        stream.write(framed("x"));
        stream.on("close", () => closed++);
      });
      const left = await wire.stream(EchoService.repeat, Buffer.from("x"), none);
      await left.take();
      left.cancel();
      await eventually("the server to see it", () => closed === 1);
      const open = await wire.stream(EchoService.repeat, Buffer.from("x"), none);
      await open.take();
      const pending = failure(open.take());
      wire.close();
      await pending;
      await eventually("the server to see the end", () => closed === 2);
      assert.equal((await failure(say(wire))).code, Code.cancelled);
    });

    test("a wire that is drained ends when its last stream has ended", async () => {
      const end = deferred();
      const { wire, server } = await serve((stream) => {
        stream.respond(head, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
        stream.write(framed("x"));
        void end.promise.then(() => stream.end(framed("last")));
      });
      const call = await wire.stream(EchoService.repeat, Buffer.from("x"), none);
      assert.equal((await call.take()).value?.toString(), "x");
      wire.drain();
      end.resolve();
      assert.equal((await call.take()).value?.toString(), "last");
      assert.equal((await call.take()).done, true);
      await eventually("the connection's end", () => server.sessions.size === 0);
    });

    test("what is no HTTP/2 at all is unavailable", async () => {
      const shouting = createServer((socket) => {
        socket.on("error", () => {});
        socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
      });
      shouting.listen(0, "127.0.0.1");
      await once(shouting, "listening");
      closing.push(() => shouting.close());
      const { port } = shouting.address() as { port: number };
      const failed = await failure(say(wireTo(`127.0.0.1:${port}`)));
      assert.deepEqual([failed.code, failed.unanswered], [Code.unavailable, true]);
    });
  });
}
