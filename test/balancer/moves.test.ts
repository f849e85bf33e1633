import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { moveWithin } from "../../ha/balancer/moves.ts";

/** How many of so many streams have moved at the beginning, and after each pause. */
function moves(count: number, millis: number, gone: readonly number[] = []): number[] {
  const moved = new Set<number>();
  const calls = Array.from({ length: count }, (_, n) => ({
    movable: !gone.includes(n),
    move: () => moved.add(n),
  }));
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    moveWithin(millis, calls);
    const seen = [moved.size];
    for (let passed = 0; passed < millis; passed += 20) {
      mock.timers.tick(20);
      seen.push(moved.size);
    }
    return seen;
  } finally {
    mock.timers.reset();
  }
}

test("streams move a few at a time, and all of them in time", () => {
  assert.deepEqual(moves(5, 100), [1, 2, 3, 4, 5, 5]);
  assert.deepEqual(moves(12, 100), [3, 6, 9, 12, 12, 12]);
  assert.deepEqual(moves(1, 100), [1, 1, 1, 1, 1, 1]);
  assert.deepEqual(moves(0, 100), [0, 0, 0, 0, 0, 0]);
  assert.deepEqual(moves(7, 0), [7]);
});

test("a stream that has ended meanwhile is left out", () => {
  assert.deepEqual(moves(4, 80, [1, 2]), [1, 1, 1, 2, 2]);
});
