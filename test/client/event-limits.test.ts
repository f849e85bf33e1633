/** What is remembered of events goes with time, and is bounded besides. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EventAggregator } from "../../services/client/event-aggregator.ts";
import { EventBudget } from "../../services/client/event-budget.ts";
import { FakeClock } from "./fake-clock.ts";

const pods = (count: number) => Array.from({ length: count }, (_, index) => `pod-${index}`);

test("groups of events are forgotten after ten minutes of silence", () => {
  const clock = new FakeClock();
  const aggregator = new EventAggregator(clock);
  for (const pod of pods(100)) aggregator.isOneOfMany(pod, "assigned");
  for (let message = 0; message < 9; message++) {
    assert.equal(aggregator.isOneOfMany("busy", `${message}`), false);
  }
  assert.equal(aggregator.isOneOfMany("busy", "9"), true);
  assert.equal(aggregator.isOneOfMany("busy", "3"), false, "one that was told before");
  clock.jump(599_000);
  assert.equal(aggregator.isOneOfMany("busy", "10"), true);
  assert.equal(aggregator.size, 101);
  clock.jump(2_000);
  assert.equal(aggregator.isOneOfMany("other", "1"), false);
  assert.equal(aggregator.size, 2);
  assert.equal(aggregator.isOneOfMany("busy", "11"), true);
  clock.jump(600_001);
  assert.equal(aggregator.isOneOfMany("busy", "12"), false, "it begins anew");
});

test("an object whose budget is full again is forgotten", () => {
  const clock = new FakeClock();
  const budget = new EventBudget(clock);
  for (const pod of pods(100)) assert.ok(budget.take(pod));
  for (let event = 0; event < 25; event++) assert.ok(budget.take("busy"));
  assert.equal(budget.take("busy"), false);
  assert.equal(budget.size, 101);
  clock.jump(300_001);
  assert.ok(budget.take("busy"));
  assert.equal(budget.take("busy"), false);
  assert.equal(budget.size, 1);
});

test("no more than 4,096 are remembered, the longest silent ones go first", () => {
  const clock = new FakeClock();
  const budget = new EventBudget(clock);
  const aggregator = new EventAggregator(clock);
  for (const pod of pods(5_000)) {
    budget.take(pod);
    aggregator.isOneOfMany(pod, "assigned");
  }
  assert.equal(budget.size, 4_096);
  assert.equal(aggregator.size, 4_096);
});
