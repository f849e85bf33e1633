import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Log } from "../../ha/runtime/types.ts";
import type { LoopClock } from "./clock.ts";

export interface WatchdogOptions {
  readonly clock: LoopClock;
  readonly log: Log;
  /** A loop held for longer than this may have been deposed: the election's renew deadline. */
  readonly limitMillis: number;
}

/** Beats within the limit. More of them put the watchdog earlier among the timers after a stall. */
const beatsPerLimit = 100;
const beatMillisMax = 100;

/**
 * Runs a leader's work under a watchdog of its own event loop. A process that was paused, or whose
 * loop was held by one long computation, could not renew its Lease; another may lead by now. The
 * watchdog's timer is due early in such a stall and so fires among the first when it is over: it
 * aborts the work's signal before timers that became due later, and before what those would start.
 * Writes that are under way all the same carry the fence, and the store refuses them.
 *
 * Ends as the work does; after a stall it rejects with `aborted` once the work has ended.
 */
export async function watchEventLoop(
  { clock, log, limitMillis }: WatchdogOptions,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const stalled = new AbortController();
  const periodMillis = Math.min(beatMillisMax, limitMillis / beatsPerLimit);
  let stall: StatusError | undefined;
  let beatAt = clock.monotonicMillis();
  const beat = () => {
    const now = clock.monotonicMillis();
    const held = now - beatAt - periodMillis;
    beatAt = now;
    if (held > limitMillis) {
      const text =
        `the event loop was held for ${Math.round(held)} ms, longer than the renew deadline ` +
        `(${limitMillis} ms): another may lead by now`;
      stall = new StatusError(Code.aborted, text);
      log.error("gave up leadership after a stall", { heldMillis: Math.round(held), limitMillis });
      stalled.abort(stall);
      return;
    }
    cancel = clock.after(periodMillis, beat);
  };
  let cancel = clock.after(periodMillis, beat);
  try {
    await work(AbortSignal.any([signal, stalled.signal]));
  } catch (error) {
    // Work that ends because its signal aborted has not failed.
    if (!stall) throw error;
  } finally {
    cancel();
  }
  if (stall) throw stall;
}
