/** A few dozen seeds of the simulator, and the promise that a seed is all there is to a run. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runInParallel } from "./pool.ts";
import { type RunOptions, runSeed } from "./run.ts";

const seeds = 40;

test(`${seeds} seeds: every guarantee holds under faults, and progress after them`, async () => {
  const jobs = Array.from({ length: seeds }, (_, i): RunOptions => ({ seed: i + 1 }));
  const stories: string[] = [];
  let operations = 0;
  await runInParallel(jobs, ({ seed }, outcome) => {
    if (outcome.kind === "passed") operations += outcome.result.answered;
    else stories.push(`replay with: npm run sim -- --seed ${seed}\n${outcome.story}`);
    return true;
  });
  assert.deepEqual(stories, []);
  assert.ok(operations > 100 * seeds, `only ${operations} operations were answered`);
});

test("the same seed gives the same run, event by event", async () => {
  for (const seed of [3, 4]) {
    const first = await runSeed({ seed });
    assert.deepEqual(await runSeed({ seed }), first);
    assert.notEqual((await runSeed({ seed: `${seed}'` })).digest, first.digest);
  }
});
