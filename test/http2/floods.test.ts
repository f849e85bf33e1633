/** What a hostile peer may do for free: so much, and no more. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FrameType as T } from "../../ha/http2/codes.ts";
import { Connection, encodeHeaders, type Http2Limits } from "../../ha/http2/mod.ts";
import { describeFrame, frame, hello, parse, Recorder, settings, uint32 } from "./wire.ts";

const request = encodeHeaders([":method", "POST", ":scheme", "http", ":path", "/"]);
const few = { burst: 50, perSecond: 10 };

/** Sends until the connection dies, or so often; tells the number and the last word. */
function flood(make: (n: number) => Buffer, limits: Partial<Http2Limits>, most = 1_000) {
  let time = 0;
  const recorder = new Recorder();
  const connection = new Connection("server", recorder, { limits, now: () => time });
  recorder.connection = connection;
  connection.receive(hello);
  connection.receive(frame(T.headers, 4, 1, request));
  const output: Buffer[] = [];
  let sent = 0;
  while (sent < most && !connection.dead) {
    connection.receive(make(sent++));
    output.push(...connection.takeOutput());
  }
  output.push(...connection.takeOutput());
  const last = describeFrame(parse(output).at(-1)!);
  const wait = (millis: number) => {
    time += millis;
  };
  return { sent, last, connection, wait };
}

describe("a flood ends the connection with ENHANCE_YOUR_CALM", () => {
  const floods: Readonly<Record<string, [Partial<Http2Limits>, (n: number) => Buffer]>> = {
    "rapid resets": [
      { resets: few },
      (n) =>
        Buffer.concat([
          frame(T.headers, 4, 2 * n + 3, request),
          frame(T.rstStream, 0, 2 * n + 3, uint32(8)),
        ]),
    ],
    "resets that we are made to send": [
      { resets: few },
      (n) =>
        Buffer.concat([
          frame(T.headers, 4, 2 * n + 3, request),
          frame(T.windowUpdate, 0, 2 * n + 3, uint32(0)),
        ]),
    ],
    "malformed requests": [{ resets: few }, (n) => frame(T.headers, 4, 2 * n + 3)],
    pings: [{ pings: few }, () => frame(T.ping, 0, 0, Buffer.alloc(8))],
    settings: [{ settings: few }, () => settings([4, 70_000])],
    "empty DATA": [{ emptyFrames: few }, () => frame(T.data, 0, 1)],
    "window updates": [{ windowUpdates: few }, () => frame(T.windowUpdate, 0, 1, uint32(1))],
    priorities: [{ ignoredFrames: few }, () => frame(T.priority, 0, 1, Buffer.alloc(5))],
    "unknown frames": [{ ignoredFrames: few }, () => frame(0xee, 0, 1)],
    "streams over the limit": [
      { refusals: few, concurrentStreams: 1 },
      (n) => frame(T.headers, 4, 2 * n + 3, request),
    ],
    "empty CONTINUATION": [
      { continuationFrames: 49 },
      (n) => (n === 0 ? frame(T.headers, 0, 3, request) : frame(T.continuation, 0, 3)),
    ],
    "an endless header block": [
      { headerBlockBytesMax: 500_000, continuationFrames: 1_000 },
      (n) => frame(n === 0 ? T.headers : T.continuation, 0, 3, Buffer.alloc(10_000)),
    ],
  };
  for (const [name, [limits, make]] of Object.entries(floods)) {
    test(name, () => {
      const { sent, last } = flood(make, limits);
      assert.equal(last, "goaway code 11");
      // The greeting's SETTINGS count as well, and so does what changes every stream.
      assert.equal(sent, name === "settings" ? 49 : 51);
    });
  }
});

describe("a server that floods its client is left", () => {
  const status = encodeHeaders([":status", "200"]);
  const hint = encodeHeaders([":status", "103"]);
  const floods: Readonly<Record<string, [string, Partial<Http2Limits>, () => Buffer]>> = {
    pings: ["goaway code 11", { pings: few }, () => frame(T.ping, 0, 0, Buffer.alloc(8))],
    settings: ["goaway code 11", { settings: few }, () => settings([4, 70_000])],
    "empty DATA": ["goaway code 11", { emptyFrames: few }, () => frame(T.data, 0, 1)],
    "window updates": [
      "goaway code 11",
      { windowUpdates: few },
      () => frame(T.windowUpdate, 0, 1, uint32(1)),
    ],
    priorities: [
      "goaway code 11",
      { ignoredFrames: few },
      () => frame(T.priority, 0, 1, Buffer.alloc(5)),
    ],
    "an endless header block": [
      "goaway code 11",
      { headerBlockBytesMax: 500_000, continuationFrames: 1_000 },
      () => frame(T.continuation, 0, 3, Buffer.alloc(10_000)),
    ],
    "data beyond the window": [
      "goaway code 3",
      { streamWindowBytes: 65_535, connectionWindowBytes: 65_535 },
      () => frame(T.data, 0, 1, Buffer.alloc(10_000)),
    ],
    "a stream that nobody asked for": ["goaway code 1", {}, () => frame(T.headers, 4, 2, status)],
    "a promise, which was refused": [
      "goaway code 1",
      {},
      () => frame(T.pushPromise, 4, 1, Buffer.concat([uint32(2), request])),
    ],
  };
  for (const [name, [word, limits, make]] of Object.entries(floods)) {
    test(name, () => {
      const { client, events, flood } = flooded(limits);
      if (name === "an endless header block") client.receive(frame(T.headers, 0, 3, status));
      else client.receive(frame(T.headers, 4, 1, status));
      assert.equal(flood(make), word);
      assert.ok(client.dead && client.openStreams === 0, "its streams have ended");
      assert.equal(events.filter((each) => /^reset [13] /.test(each)).length, 2);
    });
  }

  test("informational responses without end cost their stream alone", () => {
    const { client, events, flood } = flooded({ informationalResponses: 16 });
    assert.match(
      flood(() => frame(T.headers, 4, 1, hint), 100),
      /^rstStream 1 code /,
    );
    assert.deepEqual([client.dead, client.openStreams], [false, 1]);
    assert.equal(events.length, 1);
  });
});

/** A client with two streams under way, whose server sends until it is left, or so often. */
function flooded(limits: Partial<Http2Limits>) {
  const recorder = new Recorder();
  recorder.consumes = false;
  const client = new Connection("client", recorder, { limits, now: () => 0 });
  recorder.connection = client;
  client.receive(Buffer.concat([settings(), frame(T.settings, 1, 0)]));
  client.request(request, true);
  client.request(request, true);
  const flood = (make: () => Buffer, most = 1_000) => {
    const output = client.takeOutput();
    for (let sent = 0; sent < most && !client.dead; sent++) {
      client.receive(make());
      output.push(...client.takeOutput());
    }
    output.push(...client.takeOutput());
    return describeFrame(parse(output, true).at(-1)!);
  };
  return { client, events: recorder.events, flood };
}

test("what comes slowly enough is no flood", () => {
  const limits = { pings: few };
  const ping = () => frame(T.ping, 0, 0, Buffer.alloc(8));
  const { connection, wait } = flood(ping, limits, 50);
  for (let second = 0; second < 100; second++) {
    wait(1_000);
    for (let n = 0; n < 10; n++) connection.receive(ping());
  }
  assert.equal(connection.dead, false);
  for (let n = 0; n <= 50; n++) connection.receive(ping());
  assert.equal(connection.dead, true);
});

test("a peer that reads nothing is not read from any more", () => {
  const recorder = new Recorder();
  const connection = new Connection("server", recorder, {
    limits: { outputHighBytes: 1_000, outputStopBytes: 3_000 },
  });
  connection.receive(hello);
  assert.equal(connection.overfull, false);
  for (let n = 0; n < 200; n++) connection.receive(frame(T.ping, 0, 0, Buffer.alloc(8)));
  assert.equal(connection.overfull, true);
  connection.takeOutput();
  assert.equal(connection.overfull, false);
});
