/** Decoders of upgraded connections against what no client would send. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createDeflate, constants as zlib } from "node:zlib";
import fc from "fast-check";
import { dictionaryId, headerDictionary } from "../../ha/rpc/spdy/dictionary.ts";
import { HeaderReader, headerLimits } from "../../ha/rpc/spdy/header-block.ts";
import {
  type Frame,
  FrameReader,
  FrameWriter,
  frameBytesMax,
  SpdyConnection,
  SpdyError,
} from "../../ha/rpc/spdy/mod.ts";
import { StatusError } from "../../ha/runtime/status-error.ts";
import {
  ChannelError,
  decodeFrame,
  encodeFrame,
  sessionProtocols,
} from "../../services/apiserver/faces/rest/streams/channels.ts";
import { requestOf } from "../../services/apiserver/faces/rest/streams/session.ts";

const kind = fc.constantFrom(...sessionProtocols);
const bytes = (maxLength = 300) => fc.uint8Array({ maxLength }).map((each) => Buffer.from(each));

describe("channels", () => {
  test("whatever comes is a frame, nothing, or a ChannelError", () => {
    fc.assert(
      fc.property(kind, bytes(), (protocol, message) => {
        try {
          const frame = decodeFrame(protocol, message);
          assert.equal(frame === undefined, message.length === 0);
        } catch (thrown) {
          assert.ok(thrown instanceof ChannelError, String(thrown));
        }
      }),
    );
  });

  test("what is encoded is decoded to the same", () => {
    const channel = fc.integer({ min: 0, max: 9 });
    fc.assert(
      fc.property(kind, channel, bytes(), (protocol, number, data) => {
        const message = Buffer.from(encodeFrame(protocol, number, data) as Buffer);
        assert.deepEqual(decodeFrame(protocol, message), { type: "data", channel: number, data });
      }),
    );
  });

  test("a session's requests are sound or refused", () => {
    const options = { stdin: true, tty: true };
    const sizes = fc.oneof(fc.json(), fc.string(), fc.constant('{"Width":1e3,"Height":0}'));
    const message = fc.oneof(
      bytes(),
      sizes.map((text) => Buffer.concat([Buffer.of(4), Buffer.from(text)])),
    );
    fc.assert(
      fc.property(kind, message, (protocol, sent) => {
        try {
          const { resize } = requestOf(protocol, sent, options) ?? {};
          for (const each of [resize?.width ?? 0, resize?.height ?? 0]) {
            assert.ok(Number.isInteger(each) && each >= 0 && each <= 65_535);
          }
        } catch (thrown) {
          assert.ok(thrown instanceof StatusError, String(thrown));
        }
      }),
    );
  });
});

/** Frames as a client may send them, with a writer whose header blocks are in one stream. */
const action = fc.oneof(
  fc.record({
    type: fc.constant("open" as const),
    headers: fc.dictionary(fc.stringMatching(/^[a-z-]{1,12}$/), fc.stringMatching(/^[ -~]{0,20}$/)),
  }),
  fc.record({ type: fc.constant("data" as const), data: bytes(), fin: fc.boolean() }),
  fc.record({ type: fc.constant("reset" as const) }),
  fc.record({ type: fc.constant("ping" as const), id: fc.integer({ min: 0, max: 9 }) }),
);

function framesOf(stream: Buffer, cuts: readonly number[]): Frame[] {
  const reader = new FrameReader();
  const frames: Frame[] = [];
  let at = 0;
  for (const cut of [...cuts, stream.length]) {
    const end = Math.min(stream.length, at + cut);
    frames.push(...reader.push(stream.subarray(at, end)));
    at = end;
  }
  frames.push(...reader.push(stream.subarray(at)));
  return frames;
}

describe("SPDY", () => {
  test("the dictionary is the one that SPDY/3 names", () => {
    assert.equal(dictionaryId, 0xe3c6a7c2);
  });

  test("header blocks that zlib has compressed in one stream", async () => {
    const deflate = createDeflate({ dictionary: headerDictionary, level: 9 });
    const pieces: Buffer[] = [];
    deflate.on("data", (piece: Buffer) => pieces.push(piece));
    const reader = new HeaderReader();
    for (let index = 0; index < 2_000; index++) {
      const headers = new Map([
        ["streamtype", index % 2 === 0 ? "error" : "data"],
        ["port", "8080"],
        ["requestid", String(index >> 1)],
      ]);
      deflate.write(blockOf(headers));
      await new Promise<void>((resolve) => deflate.flush(zlib.Z_SYNC_FLUSH, () => resolve()));
      assert.deepEqual(reader.read(Buffer.concat(pieces.splice(0))), headers);
    }
  });

  test("a block that unpacks to too much is refused", async () => {
    const deflate = createDeflate({ dictionary: headerDictionary });
    const pieces: Buffer[] = [];
    deflate.on("data", (piece: Buffer) => pieces.push(piece));
    deflate.write(Buffer.alloc(50 * headerLimits.blockBytes));
    await new Promise<void>((resolve) => deflate.flush(zlib.Z_SYNC_FLUSH, () => resolve()));
    assert.throws(() => new HeaderReader().read(Buffer.concat(pieces)), SpdyError);
  });

  test("frames come out as they went in, however they are cut", () => {
    const actions = fc.array(action, { maxLength: 12 });
    const cuts = fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 60 });
    fc.assert(
      fc.property(actions, cuts, (sent, where) => {
        const writer = new FrameWriter();
        const stream = Buffer.concat(
          sent.map((each) => {
            if (each.type === "open")
              return writer.synStream(1, new Map(Object.entries(each.headers)));
            if (each.type === "data") return writer.data(3, each.data, each.fin);
            return each.type === "reset" ? writer.rstStream(5, 5) : writer.ping(each.id);
          }),
        );
        const expected = sent.map((each): Frame => {
          if (each.type === "open") {
            const headers = new Map(Object.entries(each.headers));
            return { type: "synStream", stream: 1, headers, fin: false };
          }
          if (each.type === "data") return { ...each, stream: 3 };
          if (each.type === "reset") return { type: "rstStream", stream: 5, status: 5 };
          return { ...each };
        });
        assert.deepEqual(framesOf(stream, where), expected);
      }),
    );
  });

  test("bytes of any kind end in frames or in a SpdyError, and are not kept", () => {
    const hostile = fc.oneof(
      bytes(2_000),
      // A control frame's head before anything.
      fc.tuple(fc.integer({ min: 0, max: 12 }), bytes(60)).map(([type, body]) => {
        const head = Buffer.of(0x80, 3, 0, type, 0, 0, 0, body.length);
        return Buffer.concat([head, body]);
      }),
    );
    fc.assert(
      fc.property(fc.array(hostile, { maxLength: 10 }), (pieces) => {
        const connection = new SpdyConnection(
          {
            opened: () => true,
            data: () => undefined,
            ended: () => undefined,
            reset: () => undefined,
            leaving: () => undefined,
          },
          () => undefined,
        );
        try {
          for (const piece of pieces) connection.receive(piece);
        } catch (thrown) {
          assert.ok(thrown instanceof SpdyError, String((thrown as Error).stack));
        }
      }),
      { numRuns: 500 },
    );
  });

  test("a frame that is too long is refused by its head", () => {
    const head = Buffer.alloc(8);
    head.writeUInt32BE(1);
    head.writeUIntBE(frameBytesMax + 1, 5, 3);
    assert.throws(() => framesOf(head, []), /at most 262144 are taken/);
  });

  test("streams beyond the limit are refused, and the rest is served", () => {
    const writer = new FrameWriter();
    const out: Frame[] = [];
    const reader = new FrameReader();
    const connection = new SpdyConnection(
      {
        opened: () => true,
        data: () => undefined,
        ended: () => undefined,
        reset: () => undefined,
        leaving: () => undefined,
      },
      (frame) => void out.push(...reader.push(frame)),
    );
    for (let index = 0; index < 1_030; index++) {
      connection.receive(writer.synStream(2 * index + 1, new Map()));
    }
    assert.equal(connection.streams, 1_024);
    const refused = out.filter((frame) => frame.type === "rstStream");
    assert.equal(refused.length, 6);
    connection.receive(writer.rstStream(1, 5));
    connection.receive(writer.synStream(3_001, new Map()));
    assert.equal(connection.streams, 1_024);
  });

  const crimes: [string, (writer: FrameWriter) => Buffer, RegExp][] = [
    ["an even stream", (w) => w.synStream(2, new Map()), /odd ids/],
    ["stream 0", (w) => w.data(0, Buffer.of(1)), /stream 0/],
    ["data before the stream", (w) => w.data(9, Buffer.of(1)), /not yet opened/],
    ["a reply", (w) => w.synReply(1, new Map()), /did not open/],
    ["another version", () => Buffer.of(0x80, 2, 0, 6, 0, 0, 0, 0), /version 2/],
    ["another dictionary", () => synStreamOf(Buffer.of(0x78, 0xbb, 0, 0, 0, 0)), /dictionary/],
    ["no dictionary", () => synStreamOf(Buffer.of(0x78, 0x9c, 0, 0, 0, 0)), /dictionary/],
  ];
  for (const [name, make, message] of crimes) {
    test(`refused: ${name}`, () => {
      const nothing = () => undefined;
      const connection = new SpdyConnection(
        { opened: () => true, data: nothing, ended: nothing, reset: nothing, leaving: nothing },
        nothing,
      );
      assert.throws(() => connection.receive(make(new FrameWriter())), message);
    });
  }
});

function synStreamOf(block: Buffer): Buffer {
  const head = Buffer.alloc(18);
  head.writeUInt32BE(0x80030001);
  head.writeUInt32BE(10 + block.length, 4);
  head.writeUInt32BE(1, 8);
  return Buffer.concat([head, block]);
}

function blockOf(headers: ReadonlyMap<string, string>): Buffer {
  const number = (value: number) => {
    const out = Buffer.alloc(4);
    out.writeUInt32BE(value);
    return out;
  };
  const fields = [...headers].flat().flatMap((text) => [number(text.length), Buffer.from(text)]);
  return Buffer.concat([number(headers.size), ...fields]);
}
