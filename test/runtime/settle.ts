import assert from "node:assert/strict";
import type { World } from "../../ha/runtime/simulated/mod.ts";

/** Runs the world until a promise has settled. */
export function settleIn(world: World): <T>(promise: Promise<T>) => Promise<T> {
  return async (promise) => {
    let settled = false;
    const mark = (): void => {
      settled = true;
    };
    promise.then(mark, mark);
    assert.ok(await world.runUntil(() => settled), `never settled\n${world.report()}`);
    return promise;
  };
}
