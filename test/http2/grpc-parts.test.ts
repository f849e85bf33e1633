/** Small parts of the gRPC engine. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DeadlineWheel } from "../../ha/rpc/engine/deadline-wheel.ts";
import { frameMessage, MessageReader, prefixBytes } from "../../ha/rpc/engine/messages.ts";
import { RequestBytes } from "../../ha/rpc/engine/request-bytes.ts";
import { parseTimeout, tailOf } from "../../ha/rpc/engine/wire-metadata.ts";
import { percentEncode } from "../../ha/rpc/percent-encoding.ts";
import { Code } from "../../ha/runtime/status-error.ts";

test("deadlines come in time, in any order, also beyond a turn of the wheel", (context) => {
  context.mock.timers.enable({ apis: ["Date", "setInterval"], now: 1_000_000 });
  const wheel = new DeadlineWheel();
  const ended: number[] = [];
  const entry = (millis: number) => ({
    expiresAt: 1_000_000 + millis,
    previous: undefined,
    next: undefined,
    expire: () => void ended.push(millis),
  });
  for (const millis of [25, 5, 0, 25_000, 100, 10_300, 10_240]) wheel.add(entry(millis));
  const gone = entry(50);
  wheel.add(gone);
  wheel.remove(gone);
  wheel.remove(gone);
  wheel.add(entry(Number.POSITIVE_INFINITY));
  assert.equal(wheel.size, 7);
  context.mock.timers.tick(10);
  assert.deepEqual(ended.sort(), [0, 5]);
  wheel.add({ ...entry(3), expiresAt: 999_000 });
  for (const [elapsed, expected] of [
    [20, 4],
    [70, 5],
    [10_130, 5],
    [10, 6],
    [60, 7],
    [14_690, 7],
    [10, 8],
  ] as const) {
    context.mock.timers.tick(elapsed);
    assert.equal(ended.length, expected, `after ${Date.now() - 1_000_000} ms: ${ended}`);
  }
  assert.equal(wheel.size, 0);
});

test("a deadline that ends other calls leaves the rest in place", (context) => {
  context.mock.timers.enable({ apis: ["Date", "setInterval"], now: 0 });
  const wheel = new DeadlineWheel();
  const ended: string[] = [];
  const make = (name: string) => ({
    expiresAt: 20,
    previous: undefined,
    next: undefined,
    expire: () => {
      ended.push(name);
      for (const other of [a, b]) wheel.remove(other);
    },
  });
  const a = make("a");
  const b = make("b");
  wheel.add(a);
  wheel.add(b);
  wheel.add(make("c"));
  context.mock.timers.tick(50);
  assert.deepEqual(ended, ["c"]);
});

test("timeouts in all units; anything else is refused", () => {
  const parsed = ["2H", "3M", "4S", "5m", "1500u", "1n", "0S", "99999999H"].map(parseTimeout);
  assert.deepEqual(parsed, [7_200_000, 180_000, 4_000, 5, 2, 1, 0, 99_999_999 * 3_600_000]);
  for (const text of ["", "S", "1", "-1S", "1s", "123456789S", "1 S"]) {
    assert.throws(() => parseTimeout(text), { name: "StatusError" }, text);
  }
});

test("any text survives percent-encoding as a legal field value", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 60 }), (text) => {
      const encoded = percentEncode(text);
      assert.match(encoded, /^(?:[!-~](?:[ -~]*[!-~])?)?$/);
      assert.equal(decodeURIComponent(encoded), text.toWellFormed());
    }),
  );
});

/** Lengths and cuts that are small, and such that a piece is kept as it comes. */
for (const { bytesMax, cutMax } of [
  { bytesMax: 40, cutMax: 30 },
  { bytesMax: 9_000, cutMax: 12_000 },
]) {
  test(`messages up to ${bytesMax} bytes are cut out of any pieces`, () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: bytesMax }), { maxLength: 8 }),
        fc.infiniteStream(
          fc.oneof(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: cutMax })),
        ),
        fc.infiniteStream(fc.boolean()),
        (lengths, cuts, asks) => {
          const messages = lengths.map((length, index) => Buffer.alloc(length, `${index}abc`));
          const body = Buffer.concat(messages.map(frameMessage));
          const reader = new MessageReader(0, bytesMax);
          const read: Buffer[] = [];
          const readAll = () => {
            for (let next = reader.next(); next !== undefined; next = reader.next()) {
              read.push(next);
            }
          };
          let given = 0;
          while (given < body.length) {
            const end = Math.min(body.length, given + (cuts.next().value as number));
            reader.add(body.subarray(given, end));
            if (asks.next().value) readAll();
            given = end;
            const taken = read.reduce((sum, { length }) => sum + prefixBytes + length, 0);
            assert.equal(reader.bytes, given - taken);
          }
          readAll();
          assert.deepEqual(
            read.map((message) => message.toString("hex")),
            messages.map((message) => message.toString("hex")),
          );
          assert.equal(reader.bytes, 0);
        },
      ),
    );
  });
}

test("frames of a byte that nobody asks for are collected, whole messages among them", () => {
  const messages = Array.from({ length: 20_000 }, (_, index) => Buffer.of(index, index >> 8));
  const body = Buffer.concat(messages.map(frameMessage));
  const reader = new MessageReader(0, 100);
  for (let at = 0; at < body.length; at++) reader.add(body.subarray(at, at + 1));
  assert.equal(reader.bytes, body.length);
  for (const message of messages) assert.deepEqual(reader.next(), message);
  assert.equal(reader.next(), undefined);
});

test("a single message is told from more than one, and from one that is too large", () => {
  const prefix = (length: number) => Buffer.of(0, 0, 0, 0, length);
  const reader = new MessageReader(0, 100);
  for (const piece of [prefix(3), Buffer.of(1, 2), Buffer.of(3)]) {
    reader.add(piece);
    reader.checkSingle();
  }
  reader.add(Buffer.of(0));
  assert.throws(() => reader.checkSingle(), { code: Code.internal });
  const large = new MessageReader(0, 100);
  large.add(prefix(101));
  assert.throws(() => large.checkSingle(), { code: Code.resourceExhausted });
});

test("requests under way hold so much of their connection, and of the server", () => {
  const server = new RequestBytes(100, "this server");
  const [a, b] = [0, 1].map(() => new RequestBytes(70, "this connection", server));
  assert.ok(a !== undefined && b !== undefined);
  a.take(70);
  const refusal = { code: Code.resourceExhausted };
  const message = "the requests under way on this connection hold 70 bytes, of at most 70";
  assert.throws(() => a.take(1), { ...refusal, message });
  assert.throws(() => b.take(31), { ...refusal, message: /on this server hold 70 bytes/ });
  b.take(30);
  a.give(70);
  b.take(40);
  assert.deepEqual([a.held, b.held, server.held], [0, 70, 70]);
});

test("an error's text takes only so much of its header block", () => {
  const status = { code: 13, message: "é".repeat(100_000), metadata: undefined };
  assert.ok(tailOf(status, true, 16 * 1024).length < 4 * 1024);
  const short = tailOf({ ...status, message: "short" }, true, 16 * 1024);
  assert.ok(Buffer.from(short).includes("short"));
});
