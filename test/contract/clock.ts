import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Clock } from "../../ha/runtime/types.ts";

export interface ClockFixture {
  readonly clock: Clock;
  settle<T>(promise: Promise<T>): Promise<T>;
}

/** The guarantees of `Clock` in `ha/runtime/types.ts`, for any implementation. */
export function clockContract(name: string, open: () => ClockFixture): void {
  describe(`Clock: ${name}`, () => {
    test("after calls back once, not before its time, shorter ones first", async () => {
      const { clock, settle } = open();
      const began = clock.monotonicMillis();
      const calls: string[] = [];
      let waited = 0;
      const long = new Promise<void>((resolve) => {
        clock.after(30, () => {
          calls.push("long");
          waited = clock.monotonicMillis() - began;
          resolve();
        });
      });
      clock.after(5, () => calls.push("short"));
      const cancel = clock.after(10, () => calls.push("cancelled"));
      cancel();
      cancel();
      assert.deepEqual(calls, []);
      await settle(long);
      assert.deepEqual(calls, ["short", "long"]);
      // Node's timers round to whole milliseconds.
      assert.ok(waited >= 29, `waited ${waited} ms`);
    });

    test("every calls back until it is cancelled, also from within", async () => {
      const { clock, settle } = open();
      let calls = 0;
      // `every` alone keeps no process alive.
      const cancelGuard = clock.after(5_000, () => assert.fail("every did not call back"));
      await settle(
        new Promise<void>((resolve) => {
          const cancel = clock.every(2, () => {
            calls += 1;
            if (calls < 3) return;
            cancel();
            cancel();
            clock.after(20, resolve);
          });
        }),
      );
      cancelGuard();
      assert.equal(calls, 3);
    });

    test("soon calls back later in the same turn, in order", async () => {
      const { clock, settle } = open();
      const order: string[] = [];
      const done = new Promise<void>((resolve) => {
        clock.soon(() => order.push("first"));
        clock.soon(() => {
          order.push("second");
          clock.soon(() => {
            order.push("third");
            resolve();
          });
        });
        order.push("now");
      });
      await settle(done);
      assert.deepEqual(order, ["now", "first", "second", "third"]);
    });

    test("the monotonic clock never goes back; the wall clock shows Unix milliseconds", () => {
      const { clock } = open();
      let last = clock.monotonicMillis();
      for (let reading = 0; reading < 1_000; reading++) {
        const now = clock.monotonicMillis();
        assert.ok(now >= last);
        last = now;
      }
      assert.ok(Number.isInteger(clock.wallMillis()));
      assert.ok(clock.wallMillis() > Date.UTC(2025, 0));
    });

    test("a timer beyond what can be kept is refused, not fired at once", () => {
      const { clock } = open();
      assert.throws(() => clock.after(2 ** 31, () => {}), /outside 0\.\./);
      assert.throws(() => clock.after(-1, () => {}), /outside 0\.\./);
    });
  });
}
