import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { createWorkQueue, type Reconcile, runReconciler } from "../../services/client/mod.ts";
import { FakeClock, settle } from "./fake-clock.ts";
import { quietLog } from "./quiet-log.ts";

async function run(reconcile: Reconcile) {
  const [clock, stop] = [new FakeClock(), new AbortController()];
  const queue = createWorkQueue({ clock });
  const running = runReconciler({ queue, reconcile, workers: 1, log: quietLog }, stop.signal);
  queue.add("a");
  await settle();
  const end = async () => {
    stop.abort();
    await running;
  };
  return { clock, queue, end };
}

test("a reconciler that answers { after } gets its key again then, and earlier by a change", async () => {
  let calls = 0;
  const { clock, queue, end } = await run(async () => {
    calls++;
    return { after: 1_000 };
  });
  assert.equal(calls, 1);
  await clock.advance(999);
  assert.equal(calls, 1);
  await clock.advance(1);
  assert.equal(calls, 2);
  queue.add("a");
  await settle();
  assert.equal(calls, 3);
  await end();
});

test("an answer of no time at all is no busy loop", async () => {
  let calls = 0;
  const { clock, end } = await run(async () => {
    calls++;
    return { after: -5 };
  });
  await settle();
  assert.equal(calls, 1);
  await clock.advance(3);
  assert.equal(calls, 4);
  await end();
});

test("errors back off, success resets; an overloaded server's pause is kept", async () => {
  const times: number[] = [];
  const overloaded = new StatusError(Code.resourceExhausted, "later", {
    reason: "TooManyRequests",
    retryAfterSeconds: 10,
  });
  const gone = new StatusError(Code.unavailable, "gone", { reason: "x", retryAfterSeconds: 10 });
  const answers = [gone, gone, undefined, gone, overloaded];
  let now = () => 0;
  const { clock, queue, end } = await run(async () => {
    times.push(now());
    const error = answers.shift();
    if (error) throw error;
  });
  now = () => clock.monotonicMillis();
  await clock.advance(100);
  assert.deepEqual(times, [0, 5, 15]);
  queue.add("a");
  await clock.advance(9_000);
  assert.deepEqual(times.slice(3), [100, 105]);
  await clock.advance(6_000);
  const last = times[5] ?? 0;
  assert.ok(last >= 10_105 && last <= 14_105, `${last}`);
  await end();
});
