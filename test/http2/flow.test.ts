/** Flow control, both ways; what waits, and for how long. */
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
  seeded,
  settings,
  uint32,
} from "./wire.ts";

const request = encodeHeaders([":method", "POST", ":scheme", "http", ":path", "/"]);
const ok = encodeHeaders([":status", "200"]);
const tail = encodeHeaders(["grpc-status", "0"]);

function server(limits: Partial<Http2Limits> = {}) {
  const recorder = new Recorder();
  const connection = new Connection("server", recorder, { limits });
  recorder.connection = connection;
  const send = (...frames: Buffer[]): string[] => {
    for (const each of frames) connection.receive(each);
    return parse(connection.takeOutput()).map(describeFrame);
  };
  send(hello);
  return { connection, recorder, send };
}

describe("sending", () => {
  test("waits for the stream's window, then says that it may go on", () => {
    const { connection, recorder, send } = server();
    send(settings([4, 10]), frame(T.headers, 5, 1, request));
    const stream = recorder.streams.get(1)!;
    connection.headers(stream, ok, false);
    assert.equal(connection.data(stream, Buffer.alloc(25), false), false);
    assert.deepEqual(send(), ["headers 1", "data 1 10"]);
    assert.deepEqual(send(frame(T.windowUpdate, 0, 1, uint32(10))), ["data 1 10"]);
    assert.deepEqual(recorder.events.slice(1), []);
    assert.deepEqual(send(frame(T.windowUpdate, 0, 1, uint32(10))), ["data 1 5"]);
    assert.deepEqual(recorder.events.slice(1), ["writable 1"]);
    assert.equal(connection.data(stream, Buffer.alloc(5), true), true);
    assert.deepEqual(send(), ["data 1 5 end"]);
  });

  test("a short answer goes before the pieces of long ones, in the output and in the window", () => {
    const { connection, recorder, send } = server({ outputHighBytes: 20_000 });
    const open = [1, 3, 5, 7].map((id) => frame(T.headers, 5, id, request));
    send(settings([4, 1_000_000]), ...open);
    const [long, other, short, last] = [1, 3, 5, 7].map((id) => recorder.streams.get(id)!);
    connection.headers(long!, ok, false);
    connection.headers(other!, ok, false);
    assert.equal(connection.data(long!, Buffer.alloc(100_000), false), false);
    assert.equal(connection.data(other!, Buffer.alloc(100_000), false), false);
    // The output is full of the long ones; a short answer is written all the same.
    connection.reply(short!, ok, Buffer.alloc(95), tail);
    const frames = send();
    const whole = ["headers 5", "data 5 100", "headers 5 end"];
    assert.deepEqual(frames.slice(4, 7), whole, String(frames));
    assert.deepEqual(frames.slice(0, 4).sort(), [
      "data 1 16384",
      "data 1 16384",
      "headers 1",
      "headers 3",
    ]);
    // The window of the connection is used up: what is short goes first when it opens.
    while (send().length > 0);
    connection.reply(last!, ok, Buffer.alloc(95), tail);
    assert.deepEqual(send(), ["headers 7"]);
    const opened = send(frame(T.windowUpdate, 0, 0, uint32(200)));
    assert.deepEqual(opened, ["data 7 100", "headers 7 end", "data 1 100"]);
  });

  test("follows a change of the initial window, down below nothing and up again", () => {
    const { connection, recorder, send } = server();
    send(settings([4, 10]), frame(T.headers, 5, 1, request));
    const stream = recorder.streams.get(1)!;
    connection.headers(stream, ok, false);
    connection.data(stream, Buffer.alloc(20), true);
    assert.deepEqual(send(), ["headers 1", "data 1 10"]);
    assert.deepEqual(send(settings([4, 5])), ["settings ack"]);
    assert.equal(stream.sendWindow, -5);
    assert.deepEqual(send(frame(T.windowUpdate, 0, 1, uint32(5))), []);
    assert.deepEqual(send(settings([4, 15])), ["settings ack", "data 1 10 end"]);
  });

  test("serves streams in turn when the connection's window is what they wait for", () => {
    const { connection, recorder, send } = server();
    send(settings([4, 1_000_000]));
    for (const id of [1, 3, 5]) {
      send(frame(T.headers, 5, id, request));
      connection.headers(recorder.streams.get(id)!, ok, false);
      connection.data(recorder.streams.get(id)!, Buffer.alloc(60_000), true);
    }
    send();
    const served = send(frame(T.windowUpdate, 0, 0, uint32(114_465)));
    assert.deepEqual(
      served.map((text) => text.replace(/ \d+( end)?$/, "$1")),
      [3, 5, 3, 5, 3, 5].map((id) => `data ${id}`).concat(["data 3 end", "data 5 end"]),
    );
    assert.equal(connection.openStreams, 0);
  });

  test("trailers and the end wait behind the data", () => {
    const { connection, recorder, send } = server();
    send(settings([4, 4]), frame(T.headers, 5, 1, request), frame(T.headers, 5, 3, request));
    const [first, second] = [recorder.streams.get(1)!, recorder.streams.get(3)!];
    connection.reply(first, ok, Buffer.from("abc"), tail);
    connection.headers(second, ok, false);
    connection.data(second, Buffer.alloc(6), false);
    connection.data(second, Buffer.alloc(0), true);
    assert.deepEqual(send(), ["headers 1", "data 1 4", "headers 3", "data 3 4"]);
    const grown = [1, 3].map((id) => frame(T.windowUpdate, 0, id, uint32(4)));
    assert.deepEqual(send(...grown), ["data 1 4", "headers 1 end", "data 3 2 end"]);
    assert.equal(connection.openStreams, 0);
  });

  test("data waits in its stream while too much output waits for the socket", () => {
    const { connection, recorder, send } = server();
    const wide = frame(T.windowUpdate, 0, 0, uint32(2 ** 30));
    send(settings([4, 2 ** 30]), wide, frame(T.headers, 5, 1, request));
    const stream = recorder.streams.get(1)!;
    connection.headers(stream, ok, false);
    const piece = Buffer.alloc(64 * 1024);
    let taken = 0;
    while (connection.data(stream, piece, false)) taken++;
    assert.ok(taken * piece.length <= connection.limits.outputHighBytes, `${taken} pieces`);
    assert.ok(connection.outputBytes < 2 * connection.limits.outputHighBytes);
    while (connection.outputBytes > 0) connection.takeOutput();
    assert.equal(recorder.events.at(-1), "writable 1");
  });

  test("a stream that ends early leaves nothing behind", () => {
    const { connection, recorder, send } = server();
    send(settings([4, 0]), frame(T.headers, 5, 1, request));
    const stream = recorder.streams.get(1)!;
    connection.headers(stream, ok, false);
    connection.data(stream, Buffer.alloc(1_000), true);
    send(frame(T.rstStream, 0, 1, uint32(8)));
    assert.equal(stream.queuedBytes, 0);
    assert.deepEqual(send(frame(T.windowUpdate, 0, 1, uint32(5_000))), []);
    assert.equal(connection.data(stream, Buffer.alloc(1), false), true);
    assert.deepEqual(send(), []);
  });

  test("a block over the frame limit goes out in several frames", () => {
    const { connection, recorder, send } = server();
    send(frame(T.headers, 5, 1, request));
    const long = encodeHeaders([":status", "200", "long", "\x01".repeat(40_000)]);
    connection.headers(recorder.streams.get(1)!, long, true);
    const frames = parse(connection.takeOutput());
    assert.deepEqual(
      frames.map(({ type, flags, payload }) => [type, flags, payload.length]),
      [
        [T.headers, 1, 16_384],
        [T.continuation, 0, 16_384],
        [T.continuation, 4, long.length + 1 - 2 * 16_384],
      ],
    );
  });
});

describe("receiving", () => {
  test("grants anew what was consumed, in large steps, and nothing that was not", () => {
    const { connection, recorder, send } = server({
      streamWindowBytes: 65_536,
      connectionWindowBytes: 131_072,
    });
    recorder.consumes = false;
    send(frame(T.headers, 4, 1, request));
    const stream = recorder.streams.get(1)!;
    const piece = frame(T.data, 0, 1, Buffer.alloc(16_384));
    assert.deepEqual(send(piece, piece, piece, piece), []);
    connection.consume(stream, 32_767);
    assert.deepEqual(send(), []);
    connection.consume(stream, 1);
    assert.deepEqual(send(), ["windowUpdate 1 32768"]);
    assert.deepEqual(send(piece, piece), []);
    assert.deepEqual(send(piece), ["rstStream 1 code 3", "windowUpdate 0 114688"]);
    assert.equal(recorder.events.at(-1), "reset 1 code 3 violation");
  });

  test("what a finished stream has not consumed is free again", () => {
    const { connection, recorder, send } = server({ connectionWindowBytes: 65_536 * 4 });
    recorder.consumes = false;
    for (let id = 1; id < 200; id += 2) {
      send(frame(T.headers, 4, id, request));
      const data = frame(T.data, 0, id, Buffer.alloc(16_000));
      send(data, frame(T.rstStream, 0, id, uint32(8)));
    }
    assert.equal(connection.dead, false);
  });

  test("padding counts, and is given back at once", () => {
    const { recorder, send } = server({ streamWindowBytes: 65_535 });
    recorder.consumes = false;
    send(frame(T.headers, 4, 1, request));
    const padded = frame(T.data, 0x8, 1, Buffer.concat([Buffer.of(255), Buffer.alloc(256)]));
    const answers = Array.from({ length: 300 }, () => send(padded)).flat();
    assert.ok(answers.some((text) => text.startsWith("windowUpdate 1")));
    assert.equal(recorder.bodies.get(1)?.length, 300);
  });
});

test("any bodies pass between two ends, however slowly they are read", () => {
  const seed = Number(process.env["SEED"] ?? 20_261);
  const random = seeded(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  const [atClient, atServer] = [new Recorder(), new Recorder()];
  const limits = { streamWindowBytes: 65_536, connectionWindowBytes: 131_072 };
  const client = new Connection("client", atClient, { limits });
  const far = new Connection("server", atServer, { limits });
  atClient.connection = client;
  atServer.connection = far;
  exchange(client, far);
  const sent = new Map<number, Buffer>();
  const streams = Array.from({ length: 20 }, () => client.request(request, false)!);
  for (const stream of streams) {
    const body = Buffer.alloc(below(300_000), stream.id);
    sent.set(stream.id, body);
    for (let at = 0; at < body.length; ) {
      const end = Math.min(body.length, at + 1 + below(70_000));
      client.data(stream, body.subarray(at, end), false);
      at = end;
    }
    client.data(stream, Buffer.of(), true);
  }
  for (let turn = 0; turn < 100_000 && client.openStreams > 0; turn++) {
    for (const chunk of client.takeOutput()) far.receive(chunk);
    for (const stream of atServer.streams.values()) {
      if (stream.remoteClosed && !stream.localClosed) far.headers(stream, ok, true);
    }
    for (const chunk of far.takeOutput()) client.receive(chunk);
  }
  assert.equal(client.openStreams, 0, `seed ${seed}`);
  for (const [id, body] of sent)
    assert.ok(
      atServer.bodies.get(id)?.equals(body) ?? body.length === 0,
      `stream ${id}, seed ${seed}`,
    );
});
