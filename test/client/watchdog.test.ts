import assert from "node:assert/strict";
import { test } from "node:test";
import { watchEventLoop } from "../../services/client/mod.ts";
import { FakeClock, settle } from "./fake-clock.ts";
import { quietLog } from "./quiet-log.ts";

const limitMillis = 10_000;

function watched(clock: FakeClock, signal: AbortSignal) {
  const seen: string[] = [];
  const done = watchEventLoop({ clock, log: quietLog, limitMillis }, signal, async (guarded) => {
    // Work that became due during the stall, and a reconciler that waits for its end.
    clock.after(5_000, () => seen.push(guarded.aborted ? "skipped" : "worked"));
    await new Promise((resolve) => guarded.addEventListener("abort", resolve, { once: true }));
    seen.push("ended");
  });
  return { seen, done };
}

test("a stall beyond the renew deadline aborts the work before what was queued meanwhile", async () => {
  const clock = new FakeClock();
  const { seen, done } = watched(clock, new AbortController().signal);
  const refused = assert.rejects(done, /held for 19900 ms, longer than the renew deadline/);
  await clock.advance(1_000);
  clock.jump(20_000);
  await clock.advance(0);
  await refused;
  assert.deepEqual(seen, ["ended", "skipped"]);
  assert.equal(clock.timers, 0);
});

test("a shorter stall, and an ordinary stop, are no failure", async () => {
  const [clock, stop] = [new FakeClock(), new AbortController()];
  const { seen, done } = watched(clock, stop.signal);
  await clock.advance(1_000);
  clock.jump(9_000);
  await clock.advance(30_000);
  assert.deepEqual(seen, ["worked"]);
  stop.abort();
  await done;
  await settle();
  assert.equal(clock.timers, 0);
});

test("work that fails by itself fails the watch", async () => {
  const clock = new FakeClock();
  const work = () => Promise.reject(new Error("broken"));
  const options = { clock, log: quietLog, limitMillis };
  await assert.rejects(watchEventLoop(options, new AbortController().signal, work), /broken/);
  assert.equal(clock.timers, 0);
});
