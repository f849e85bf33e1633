import assert from "node:assert/strict";
import { test } from "node:test";
import { judge, type Sample, slope } from "./verdict.ts";

interface Shape {
  readonly resident?: (minute: number) => number;
  readonly database?: (minute: number) => number;
  readonly p99?: (minute: number) => number;
  readonly term?: (minute: number) => number;
  readonly rate?: (minute: number) => number;
}

/** Half an hour, a sample a minute, of one member. */
function soaked(shape: Shape): readonly Sample[] {
  return Array.from({ length: 30 }, (_, minute) => ({
    seconds: minute * 60,
    perSecond: shape.rate?.(minute) ?? 1_000,
    p50: 1,
    p99: shape.p99?.(minute) ?? 10,
    members: [
      {
        residentMegabytes: shape.resident?.(minute) ?? 300,
        databaseMegabytes: shape.database?.(minute) ?? 10,
        term: shape.term?.(minute) ?? 3,
      },
    ],
  }));
}

const passes = (shape: Shape) => judge(soaked(shape)).map(({ passed }) => passed);

test("a line's slope", () => {
  assert.equal(
    slope([
      [0, 1],
      [10, 21],
      [20, 41],
    ]),
    2,
  );
  assert.equal(slope([[5, 5]]), 0);
});

test("memory that settles passes, memory that grows does not, unless the data does", () => {
  assert.deepEqual(passes({}), [true, true, true, true]);
  assert.deepEqual(passes({ resident: (minute) => 300 + Math.min(minute, 14) * 20 })[0], true);
  const growing = (minute: number) => 300 + 3 * minute;
  assert.equal(passes({ resident: growing })[0], false);
  assert.equal(passes({ resident: growing, database: (minute) => 10 + 3 * minute })[0], true);
  assert.equal(passes({ resident: growing, database: (minute) => 900 - 3 * minute })[0], false);
});

test("an election and latency that drifts fail", () => {
  assert.deepEqual(passes({ term: (minute) => (minute < 20 ? 3 : 4) }), [true, false, true, true]);
  assert.deepEqual(passes({ p99: (minute) => 10 + minute }), [true, true, false, true]);
  assert.deepEqual(passes({ p99: (minute) => 20 - minute / 3 }), [true, true, true, true]);
});

test("a sample in which little was done fails, one that is somewhat slower does not", () => {
  const dip = (to: number) => (minute: number) => (minute === 7 ? to : 1_000);
  assert.deepEqual(passes({ rate: dip(400) }), [true, true, true, false]);
  assert.deepEqual(passes({ rate: dip(700) }), [true, true, true, true]);
});
