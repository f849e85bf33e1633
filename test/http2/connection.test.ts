/** What a server answers to frames: RFC 9113, sections 5 to 8. h2spec (test/foreign) asks for more. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FrameType as T } from "../../ha/http2/codes.ts";
import { Connection, encodeHeaders, type Http2Limits } from "../../ha/http2/mod.ts";
import {
  describeFrame,
  exchange,
  frame,
  hello,
  parse,
  Recorder,
  settings,
  uint32,
} from "./wire.ts";

const post = [":method", "POST", ":scheme", "http", ":path", "/a.B/C", ":authority", "x"];
const request = encodeHeaders(post);
const ok = encodeHeaders([":status", "200"]);
const end = 1;
const endHeaders = 4;

/** A server that has been greeted, and what it answers. */
function server(limits: Partial<Http2Limits> = {}) {
  let time = 0;
  const recorder = new Recorder();
  const connection = new Connection("server", recorder, { limits, now: () => time });
  recorder.connection = connection;
  const send = (...frames: Buffer[]): string[] => {
    for (const each of frames) connection.receive(each);
    return parse(connection.takeOutput()).map(describeFrame);
  };
  send(hello);
  const pass = (millis: number) => {
    time += millis;
    connection.tick();
    return send();
  };
  return { connection, recorder, send, pass };
}

const open = (id: number, flags = endHeaders, block: Uint8Array = request) =>
  frame(T.headers, flags, id, block);

describe("an HTTP/2 server", () => {
  test("greets with its settings and answers a request", () => {
    const recorder = new Recorder();
    const connection = new Connection("server", recorder);
    recorder.connection = connection;
    connection.receive(hello);
    const greeting = parse(connection.takeOutput()).map(describeFrame);
    assert.deepEqual(greeting, ["settings", "windowUpdate 0 4128769", "settings ack"]);
    connection.receive(open(1));
    connection.receive(frame(T.data, end, 1, Buffer.from("ping")));
    const stream = recorder.streams.get(1)!;
    connection.headers(stream, ok, false);
    connection.data(stream, Buffer.from("pong"), false);
    connection.trailers(stream, encodeHeaders(["grpc-status", "0"]));
    assert.deepEqual(recorder.events, [`headers 1 ${post.join("|")}`, "data 1 end"]);
    assert.equal(String(recorder.bodies.get(1)), "ping");
    assert.deepEqual(parse(connection.takeOutput()).map(describeFrame), [
      "headers 1",
      "data 1 4",
      "headers 1 end",
    ]);
    assert.equal(connection.openStreams, 0);
  });

  test("an early answer stops the request, and what is still on its way is ignored", () => {
    const { connection, recorder, send } = server();
    send(open(1));
    connection.headers(recorder.streams.get(1)!, ok, true);
    assert.deepEqual(send(), ["headers 1 end", "rstStream 1 code 0"]);
    assert.deepEqual(send(frame(T.data, end, 1, Buffer.from("late"))), []);
    assert.deepEqual(send(open(1, endHeaders | end, encodeHeaders(["a", "b"]))), []);
    assert.equal(connection.dead, false);
  });

  test("padding, priorities and CONTINUATION change nothing", () => {
    const { recorder, send } = server();
    const padded = Buffer.concat([Buffer.of(3), uint32(0), Buffer.of(9), request, Buffer.alloc(3)]);
    send(frame(T.headers, endHeaders | 0x8 | 0x20, 1, padded));
    send(
      frame(T.headers, 0, 3, request.subarray(0, 3)),
      frame(T.continuation, 0, 3, request.subarray(3, 7)),
      frame(T.continuation, endHeaders, 3, request.subarray(7)),
    );
    send(frame(T.data, 0x8 | end, 3, Buffer.of(2, 0x61, 0, 0)), frame(0xfa, 0, 3));
    assert.deepEqual(recorder.events, [
      `headers 1 ${post.join("|")}`,
      `headers 3 ${post.join("|")}`,
      "data 3 end",
    ]);
    assert.equal(String(recorder.bodies.get(3)), "a");
  });

  test("a fault of the connection is answered by GOAWAY, and ends it", () => {
    const faults: Readonly<Record<string, [code: number, ...frames: Buffer[]]>> = {
      "DATA on stream 0": [1, frame(T.data, 0, 0)],
      "DATA on an idle stream": [1, frame(T.data, 0, 5)],
      "HEADERS on stream 0": [1, open(0)],
      "an even stream": [1, open(2)],
      "a lower stream that was never opened": [1, open(5), open(3)],
      "a frame within a header block": [1, open(1, 0), frame(T.ping, 0, 0, Buffer.alloc(8))],
      "a stray CONTINUATION": [1, frame(T.continuation, endHeaders, 1)],
      PUSH_PROMISE: [1, open(1), frame(T.pushPromise, endHeaders, 1, uint32(2))],
      "RST_STREAM of an idle stream": [1, frame(T.rstStream, 0, 1, uint32(8))],
      "a short RST_STREAM": [6, open(1), frame(T.rstStream, 0, 1, Buffer.alloc(3))],
      "a short PING": [6, frame(T.ping, 0, 0, Buffer.alloc(7))],
      "a short GOAWAY": [6, frame(T.goaway, 0, 0, Buffer.alloc(4))],
      "SETTINGS of a broken length": [6, frame(T.settings, 0, 0, Buffer.alloc(5))],
      "SETTINGS of a stream": [1, frame(T.settings, 0, 1)],
      "an acknowledgement with content": [6, frame(T.settings, 1, 0, Buffer.alloc(6))],
      "a window over 2^31-1": [3, settings([4, 2 ** 31])],
      "a frame size under 16,384": [1, settings([5, 16_383])],
      "ENABLE_PUSH of 2": [1, settings([2, 2])],
      "a connection window over 2^31-1": [3, frame(T.windowUpdate, 0, 0, uint32(2 ** 31 - 1))],
      "WINDOW_UPDATE by 0": [1, frame(T.windowUpdate, 0, 0, uint32(0))],
      "padding beyond its frame": [1, open(1), frame(T.data, 0x8, 1, Buffer.of(9, 0, 0))],
      "a frame over the limit": [6, frame(T.data, 0, 1, Buffer.alloc(16_385))],
      "a broken header block": [9, open(1, endHeaders, Buffer.of(0x80))],
      "more than the connection's window": [
        3,
        open(1),
        ...Array.from({ length: 257 }, () => frame(T.data, 0, 1, Buffer.alloc(16_384))),
      ],
    };
    for (const [what, [code, ...frames]] of Object.entries(faults)) {
      const { connection, recorder, send } = server({ streamWindowBytes: 4 * 1024 * 1024 });
      recorder.consumes = false;
      assert.equal(send(...frames).at(-1), `goaway code ${code}`, what);
      assert.equal(connection.dead, true, what);
      assert.match(recorder.events.at(-1) ?? "", /^close ./, what);
      assert.deepEqual(send(open(99)), [], what);
    }
  });

  test("a fault of one stream resets it, and no other", () => {
    const block = (...fields: string[]) => encodeHeaders(fields);
    const rest = post.slice(2);
    const requests: Readonly<Record<string, Uint8Array>> = {
      "an upper-case name": block(...post, "Name", "x"),
      "a pseudo field after others": block("a", "b", ...post),
      "an unknown pseudo field": block(...post.slice(0, 6), ":other", "x"),
      "a pseudo field twice": block(...post, ":path", "/"),
      "a response's pseudo field": block(...post, ":status", "200"),
      "no :method": block(...rest),
      "no :path": block(":method", "GET", ":scheme", "http"),
      "an empty :path": block(":method", "GET", ":scheme", "http", ":path", ""),
      "a connection-specific field": block(...post, "connection", "close"),
      "te other than trailers": block(...post, "te", "gzip"),
      "a line break in a value": block(...post, "a", "b\r\nc: d"),
      "a value that begins with a space": block(...post, "a", " b"),
      "two lengths": block(...post, "content-length", "1", "content-length", "2"),
      "another host": block(...post, "host", "y"),
    };
    const { connection, recorder, send } = server();
    let id = 1;
    for (const [what, bad] of Object.entries(requests)) {
      assert.deepEqual(send(open(id, endHeaders, bad)), [`rstStream ${id} code 1`], what);
      id += 2;
    }
    assert.deepEqual(recorder.events, []);
    const late: Readonly<Record<string, [code: number, ...frames: Buffer[]]>> = {
      "DATA after the end": [5, open(101, endHeaders | end), frame(T.data, 0, 101)],
      "HEADERS after the end": [5, open(103, endHeaders | end), open(103)],
      "a window over 2^31-1": [3, open(105), frame(T.windowUpdate, 0, 105, uint32(2 ** 31 - 1))],
      "a window update by 0": [1, open(107), frame(T.windowUpdate, 0, 107, uint32(0))],
      "trailers without an end": [1, open(109), open(109, endHeaders, block("a", "b"))],
      "a pseudo field in trailers": [1, open(111), open(111, endHeaders | end)],
      "a body longer than declared": [
        1,
        open(113, endHeaders, block(...post, "content-length", "2")),
        frame(T.data, 0, 113, Buffer.from("abc")),
      ],
      "a body shorter than declared": [
        1,
        open(115, endHeaders, block(...post, "content-length", "2")),
        frame(T.data, end, 115, Buffer.from("a")),
      ],
    };
    for (const [what, [code, ...frames]] of Object.entries(late)) {
      const id = frames[0]!.readUInt32BE(5);
      assert.deepEqual(send(...frames), [`rstStream ${id} code ${code}`], what);
      assert.equal(recorder.events.at(-1), `reset ${id} code ${code} violation`, what);
    }
    assert.equal(connection.dead, false);
    assert.equal(connection.openStreams, 0);
  });

  test("refuses streams and header lists over the limit, and stays up", () => {
    const { recorder, send } = server({ concurrentStreams: 2, headerListBytes: 300 });
    assert.deepEqual(send(open(1), open(3), open(5)), ["rstStream 5 code 7"]);
    send(frame(T.rstStream, 0, 1, uint32(8)));
    assert.equal(recorder.events.at(-1), "reset 1 code 8 peer");
    const big = encodeHeaders([...post, "big", "x".repeat(300)]);
    assert.deepEqual(send(open(7, endHeaders, big)), ["rstStream 7 code 11"]);
    assert.deepEqual(send(open(9)), []);
  });

  test("takes leave in two steps, and ends with its last stream", () => {
    const { connection, recorder, send } = server();
    send(open(1));
    connection.shutdown();
    const farewell = parse(connection.takeOutput());
    assert.deepEqual(farewell.map(describeFrame), ["goaway code 0", "ping"]);
    assert.equal(farewell[0]!.payload.readUInt32BE(0), 2 ** 31 - 1);
    // A request that was on its way is still taken …
    send(open(3));
    connection.receive(frame(T.ping, 1, 0, farewell[1]!.payload));
    const second = parse(connection.takeOutput());
    assert.deepEqual(second.map(describeFrame), ["goaway code 0"]);
    assert.equal(second[0]!.payload.readUInt32BE(0), 3);
    // … one after the second step is not.
    assert.deepEqual(send(open(5)), []);
    for (const id of [1, 3]) connection.headers(recorder.streams.get(id)!, ok, true);
    assert.equal(connection.dead, true);
    assert.equal(recorder.events.at(-1), "close ");
  });
});

describe("an HTTP/2 server's timeouts", () => {
  test("settings must come, and be acknowledged", () => {
    for (const [greeting, code] of [
      [hello.subarray(0, 10), 1],
      [hello.subarray(0, hello.length - 9), 4],
    ] as const) {
      let time = 0;
      const recorder = new Recorder();
      const connection = new Connection("server", recorder, { now: () => time });
      connection.receive(greeting);
      connection.tick();
      assert.equal(connection.dead, false);
      time = 30_000;
      connection.tick();
      const last = parse(connection.takeOutput()).at(-1)!;
      assert.equal(describeFrame(last), `goaway code ${code}`);
    }
  });

  test("a header block must end", () => {
    const { pass, send } = server();
    send(open(1, 0));
    assert.deepEqual(pass(9_000), []);
    assert.deepEqual(pass(1_000), ["goaway code 11"]);
  });

  test("an over-long header block costs its own stream, and the table stays in step", () => {
    const { connection, recorder, send } = server();
    send(open(1, endHeaders));
    const value = Buffer.alloc(150_000, 0x78);
    // x-long: a literal that is not indexed; then "a: b", which is.
    const long = Buffer.concat([
      request,
      Buffer.from("0006782d6c6f6e67", "hex"),
      Buffer.from("7ff19209", "hex"),
      value,
      Buffer.from("4001610162", "hex"),
    ]);
    const frames = [frame(T.headers, 0, 3, long.subarray(0, 16_000))];
    for (let at = 16_000; at < long.length; at += 16_000) {
      const last = at + 16_000 >= long.length;
      const part = long.subarray(at, at + 16_000);
      frames.push(frame(T.continuation, last ? endHeaders : 0, 3, part));
    }
    assert.deepEqual(send(...frames), ["rstStream 3 code 11"]);
    assert.equal(connection.dead, false);
    assert.equal(connection.openStreams, 1);
    send(frame(T.headers, endHeaders | end, 5, Buffer.concat([request, Buffer.of(0xbe)])));
    assert.match(recorder.events.at(-1) ?? "", /^headers 5 .*\|a\|b end$/);
  });

  test("a silent peer is asked for a sign of life, then given up", () => {
    const { connection, pass, send } = server({ keepaliveMillis: 5_000 });
    send(open(1));
    pass(1_000);
    assert.deepEqual(pass(5_000), ["ping"]);
    send(frame(T.ping, 1, 0, Buffer.alloc(8)));
    assert.deepEqual(pass(3_000), []);
    assert.deepEqual(pass(5_000), ["ping"]);
    assert.deepEqual(pass(3_000), ["goaway code 0"]);
    assert.equal(connection.dead, true);
  });
});

test("a peer that is not listened to is not taken for silent", () => {
  const [atClient, atServer] = [new Recorder(), new Recorder()];
  let now = 0;
  const client = new Connection("client", atClient);
  const far = new Connection("server", atServer, {
    limits: { keepaliveMillis: 5_000 },
    now: () => now,
  });
  exchange(client, far);
  for (; now < 60_000; now += 1_000) far.tick(false);
  assert.equal(far.dead, false);
  for (; now < 80_000; now += 1_000) far.tick(true);
  assert.equal(far.dead, true);
});

describe("an HTTP/2 client", () => {
  function pair(limits: Partial<Http2Limits> = {}) {
    const [atClient, atServer] = [new Recorder(), new Recorder()];
    const client = new Connection("client", atClient);
    const far = new Connection("server", atServer, { limits });
    atClient.connection = client;
    atServer.connection = far;
    exchange(client, far);
    return { client, far, atClient, atServer };
  }

  test("asks and is answered; informational responses are passed over", () => {
    const { client, far, atClient, atServer } = pair();
    const stream = client.request(request, false)!;
    client.data(stream, Buffer.from("hi"), true);
    exchange(client, far);
    const asked = atServer.streams.get(1)!;
    far.headers(asked, encodeHeaders([":status", "103"]), false);
    far.reply(asked, ok, Buffer.from("yes"), encodeHeaders(["grpc-status", "0"]));
    exchange(client, far);
    assert.deepEqual(atClient.events, ["headers 1 :status|200", "trailers 1 grpc-status|0"]);
    assert.deepEqual(atClient.bodies.get(1), Buffer.from("\0\0\0\0\x03yes", "latin1"));
    assert.deepEqual([client.openStreams, far.openStreams], [0, 0]);
  });

  test("keeps to the peer's number of streams", () => {
    const { client, far } = pair({ concurrentStreams: 1 });
    const stream = client.request(request, true)!;
    assert.equal(client.hasCapacity, false);
    assert.equal(client.request(request, true), undefined);
    client.reset(stream, 8);
    assert.equal(client.hasCapacity, true);
    exchange(client, far);
    assert.equal(far.openStreams, 0);
  });

  test("learns from GOAWAY which calls were not touched", () => {
    const { client, far, atClient, atServer } = pair();
    client.request(request, true);
    exchange(client, far);
    far.shutdown();
    exchange(client, far);
    assert.equal(client.closing, true);
    assert.equal(client.hasCapacity, false);
    far.headers(atServer.streams.get(1)!, ok, true);
    exchange(client, far);
    assert.deepEqual(atClient.events, [
      "goaway 2147483647 code 0",
      "goaway 1 code 0",
      "headers 1 :status|200 end",
      "close ",
    ]);
    const other = pair();
    other.client.request(request, true);
    other.client.request(request, true);
    other.client.receive(frame(T.goaway, 0, 0, uint32(1, 0)));
    assert.deepEqual(other.atClient.events, ["goaway 1 code 0", "reset 3 code 7 refused"]);
    other.client.disconnected();
    assert.deepEqual(other.atClient.events.slice(2), ["reset 1 code 8 closed", "close "]);
  });

  test("refuses pushes and malformed responses, ignores answers to what it has given up", () => {
    const { client, atClient } = pair();
    const malformed = client.request(request, true)!;
    client.receive(open(malformed.id, endHeaders, encodeHeaders([":status", "2"])));
    assert.deepEqual(atClient.events, [`reset ${malformed.id} code 1 violation`]);
    const stream = client.request(request, true)!;
    client.reset(stream, 8);
    client.receive(open(stream.id, endHeaders, ok));
    client.receive(frame(T.data, end, stream.id, Buffer.from("x")));
    assert.equal(client.dead, false);
    client.request(request, true);
    client.receive(frame(T.pushPromise, endHeaders, 5, Buffer.concat([uint32(2), request])));
    assert.equal(client.dead, true);
  });
});
