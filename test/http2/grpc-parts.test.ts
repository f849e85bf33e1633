/** Small parts of the gRPC engine. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DeadlineWheel } from "../../ha/rpc/engine/deadline-wheel.ts";
import { MessageReader } from "../../ha/rpc/engine/messages.ts";
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

test("messages are cut out of any pieces", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 30 })),
      fc.infiniteStream(fc.boolean()),
      (messages, cuts, asks) => {
        const body = Buffer.concat(
          messages.map((message) =>
            Buffer.concat([Buffer.of(0, 0, 0, 0, message.length), message]),
          ),
        );
        const reader = new MessageReader(0, 100);
        const read: Buffer[] = [];
        const readAll = () => {
          for (let next = reader.next(); next !== undefined; next = reader.next()) read.push(next);
        };
        for (let at = 0; at < body.length; ) {
          const end = Math.min(body.length, at + (cuts.next().value as number));
          reader.add(body.subarray(at, end));
          if (asks.next().value) readAll();
          at = end;
        }
        readAll();
        assert.deepEqual(
          read.map((message) => message.toString("hex")),
          messages.map((message) => Buffer.from(message).toString("hex")),
        );
        assert.equal(reader.bytes, 0);
      },
    ),
  );
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
