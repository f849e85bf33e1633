import type { StreamCall } from "./stream-call.ts";

const pauseMillis = 20;

/**
 * Moves streams a few at a time, the last of them after so long: their clients come back at once,
 * and all of them together would hold up the masters that take them.
 */
export function moveWithin(
  millis: number,
  calls: readonly Pick<StreamCall, "movable" | "move">[],
): void {
  const share = Math.ceil((calls.length * pauseMillis) / Math.max(millis, pauseMillis));
  let at = 0;
  const step = () => {
    for (const call of calls.slice(at, at + share)) if (call.movable) call.move();
    at += share;
    if (at < calls.length) setTimeout(step, pauseMillis).unref();
  };
  step();
}
