import { productionClock } from "../../ha/runtime/production/clock.ts";
import type { Clock } from "../../ha/runtime/types.ts";
import type { FakeClock } from "./fake-clock.ts";

/** A server runs on the test's time. */
export function serverClock(clock: FakeClock): Clock {
  return {
    monotonicMillis: () => clock.monotonicMillis(),
    wallMillis: () => clock.wallMillis(),
    after: (millis, callback) => clock.after(millis, callback),
    every(millis, callback) {
      let cancel = () => {};
      const arm = () => {
        cancel = clock.after(millis, () => {
          arm();
          callback();
        });
      };
      arm();
      return () => cancel();
    },
    soon: productionClock.soon,
  };
}
