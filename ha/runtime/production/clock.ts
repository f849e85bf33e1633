import { assert } from "../assert.ts";
import type { Cancel, Clock } from "../types.ts";

/** Node fires a longer timer at once instead (`setTimeout` holds an int32). */
const timerMillisMax = 2 ** 31 - 1;

/**
 * The real time. A pending {@link Clock.after} keeps the process alive, since something waits for
 * it; {@link Clock.every} does not, since housekeeping is no reason to run.
 */
export const productionClock: Clock = {
  monotonicMillis: () => performance.now(),
  wallMillis: () => Date.now(),

  after(millis: number, callback: () => void): Cancel {
    assertTimer(millis);
    const timer = setTimeout(callback, millis);
    return () => clearTimeout(timer);
  },

  every(millis: number, callback: () => void): Cancel {
    assertTimer(millis);
    const timer = setInterval(callback, millis);
    timer.unref();
    return () => clearInterval(timer);
  },

  // The check phase follows the poll phase: every socket and disk completion of this turn of the
  // event loop has been handled by then.
  soon(callback: () => void): void {
    setImmediate(callback);
  },
};

function assertTimer(millis: number): void {
  assert(
    millis >= 0 && millis <= timerMillisMax,
    `a timer of ${millis} ms is outside 0..${timerMillisMax} ms`,
  );
}
