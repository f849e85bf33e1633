import assert from "node:assert/strict";

/** Waits for a condition of the real world, for at most ten seconds. */
export async function until(condition: () => boolean, what = "the condition"): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    assert.ok(performance.now() < deadline, `${what} did not come about within 10 s`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
