import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Condition,
  conditionOf,
  isConditionTrue,
  sameConditions,
  withCondition,
  withoutCondition,
} from "../../services/kinds/mod.ts";

const [noon, later] = [Date.UTC(2026, 0, 1, 12), Date.UTC(2026, 0, 1, 13)];

test("a condition is put in its place; its time moves with its status alone", () => {
  const other: Condition = { type: "Other", status: "True" };
  const first = withCondition([other], { type: "Ready", status: "False", reason: "A" }, noon);
  assert.equal(conditionOf(first, "Ready")?.lastTransitionTime, "2026-01-01T12:00:00Z");
  const said = withCondition(first, { type: "Ready", status: "False", reason: "B" }, later);
  assert.deepEqual(said[1], {
    type: "Ready",
    status: "False",
    reason: "B",
    lastTransitionTime: "2026-01-01T12:00:00Z",
  });
  const moved = withCondition(said, { type: "Ready", status: "True" }, later);
  assert.equal(conditionOf(moved, "Ready")?.lastTransitionTime, "2026-01-01T13:00:00Z");
  assert.deepEqual(
    [isConditionTrue(moved, "Ready"), isConditionTrue(said, "Ready")],
    [true, false],
  );
  assert.deepEqual(
    moved.map(({ type }) => type),
    ["Other", "Ready"],
  );
  assert.deepEqual(withoutCondition(moved, "Ready"), [other]);
});

test("conditions are the same whatever their order and times", () => {
  const a: Condition = { type: "A", status: "True", lastTransitionTime: "x" };
  const b: Condition = { type: "B", status: "False", message: "m" };
  assert.equal(sameConditions([a, b], [b, { ...a, lastTransitionTime: "y" }]), true);
  assert.equal(sameConditions([a, b], [a]), false);
  assert.equal(sameConditions([b], [{ ...b, message: "n" }]), false);
  assert.equal(sameConditions(undefined, []), true);
});
