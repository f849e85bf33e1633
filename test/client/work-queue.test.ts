import assert from "node:assert/strict";
import { test } from "node:test";
import { createWorkQueue, runReconciler } from "../../services/client/mod.ts";
import { FakeClock, settle } from "./fake-clock.ts";
import { quietLog } from "./quiet-log.ts";

test("a key added many times is handed out once", async () => {
  const queue = createWorkQueue({ clock: new FakeClock() });
  for (const key of ["a", "b", "a", "a"]) queue.add(key);
  assert.equal(queue.length, 2);
  assert.deepEqual([await queue.next(), await queue.next()], ["a", "b"]);
});

test("a key added while it is processed is handed out again, after it is done", async () => {
  const queue = createWorkQueue({ clock: new FakeClock() });
  queue.add("a");
  assert.equal(await queue.next(), "a");
  queue.add("a");
  assert.equal(queue.length, 0);
  queue.done("a");
  assert.equal(await queue.next(), "a");
  queue.done("a");
  assert.equal(queue.length, 0);
});

test("a delayed key comes when it is due; the earliest of several delays counts", async () => {
  const clock = new FakeClock();
  const queue = createWorkQueue({ clock });
  queue.addAfter("a", 1_000);
  queue.addAfter("a", 300);
  queue.addAfter("a", 5_000);
  queue.addAfter("b", 0);
  assert.equal(await queue.next(), "b");
  await clock.advance(299);
  assert.equal(queue.length, 0);
  await clock.advance(1);
  assert.equal(await queue.next(), "a");
  queue.done("a");
  await clock.advance(10_000);
  assert.equal(queue.length, 0);
  assert.equal(clock.timers, 0);
});

test("backoff doubles from 5 ms to a minute, per key, until it is forgotten", async () => {
  const clock = new FakeClock();
  const queue = createWorkQueue({ clock });
  const waits: number[] = [];
  for (let failure = 0; failure < 16; failure++) {
    const began = clock.monotonicMillis();
    queue.addRateLimited("a");
    await clock.until(() => queue.length === 1, "the key is due");
    waits.push(clock.monotonicMillis() - began);
    queue.done((await queue.next()) ?? "");
  }
  // The fake clock moves in steps of 50 ms.
  assert.equal(waits[0], 50);
  assert.equal(waits[10], 5_150);
  assert.equal(waits[15], 60_000);
  queue.forget("a");
  queue.addRateLimited("a");
  await clock.advance(5);
  assert.equal(queue.length, 1);
});

test("after shut down what waits is drained, and takers end", async () => {
  const queue = createWorkQueue({ clock: new FakeClock() });
  queue.add("a");
  queue.shutDown();
  queue.add("b");
  assert.deepEqual([await queue.next(), await queue.next()], ["a", undefined]);
});

test("a failing key is tried again, and never by two workers at once", async () => {
  const clock = new FakeClock();
  const queue = createWorkQueue({ clock });
  const stop = new AbortController();
  let [running, most, calls] = [0, 0, 0];
  const done = runReconciler(
    {
      queue,
      workers: 4,
      log: quietLog,
      async reconcile() {
        most = Math.max(most, ++running);
        await settle();
        running--;
        if (++calls < 4) throw new Error("not yet");
      },
    },
    stop.signal,
  );
  queue.add("a");
  queue.add("a");
  await clock.until(() => calls === 4, "the fourth attempt");
  assert.equal(most, 1);
  stop.abort();
  await done;
});
