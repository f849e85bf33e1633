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
