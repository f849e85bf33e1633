import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Log } from "../../ha/runtime/types.ts";
import { type LoopClock, sleep } from "./clock.ts";
import type { WorkQueue } from "./types.ts";

export interface ReconcilerOptions {
  readonly queue: WorkQueue;
  /**
   * Brings one object from its actual towards its wanted state; idempotent. Throwing asks for a
   * repetition with backoff.
   */
  readonly reconcile: (key: string, signal: AbortSignal) => Promise<void>;
  readonly workers: number;
  readonly log: Log;
}

/**
 * Runs workers until the signal aborts, and resolves when the last has finished its key. Keys left
 * in the queue are dropped: whoever leads next finds them by listing.
 */
export async function runReconciler(
  options: ReconcilerOptions,
  signal: AbortSignal,
): Promise<void> {
  const { queue, workers } = options;
  if (!Number.isInteger(workers) || workers < 1 || workers > 100) {
    throw new StatusError(Code.invalidArgument, `workers: ${workers}, must be 1 to 100`);
  }
  const stop = () => queue.shutDown();
  if (signal.aborted) stop();
  else signal.addEventListener("abort", stop, { once: true });
  await Promise.all(Array.from({ length: workers }, () => work(options, signal)));
}

async function work(options: ReconcilerOptions, signal: AbortSignal): Promise<void> {
  const { queue, reconcile, log } = options;
  for (;;) {
    const key = await queue.next();
    if (key === undefined || signal.aborted) return;
    try {
      await reconcile(key, signal);
      queue.forget(key);
    } catch (thrown) {
      if (signal.aborted) return;
      const error = StatusError.from(thrown);
      const expected = error.code === Code.aborted || error.code === Code.unavailable;
      const fields = { key, error: error.message, code: error.code };
      if (expected) log.debug("reconciliation failed; trying again", fields);
      else log.warn("reconciliation failed; trying again", fields);
      queue.addRateLimited(key);
    } finally {
      queue.done(key);
    }
  }
}

export function isConflict(error: unknown): boolean {
  return error instanceof StatusError && error.code === Code.aborted;
}

export function isNotFound(error: unknown): boolean {
  return error instanceof StatusError && error.code === Code.notFound;
}

export function isAlreadyExists(error: unknown): boolean {
  return error instanceof StatusError && error.code === Code.alreadyExists;
}

/** Leadership has passed to another: nothing that this one still wants to write counts. */
export function isFenced(error: unknown): boolean {
  return error instanceof StatusError && error.code === Code.failedPrecondition;
}

/**
 * Repeats a read-change-write whose write met a newer object; client-go `retry.RetryOnConflict`.
 * `change` must read afresh each time. At most `attempts` times, 10 ms apart and growing.
 */
export async function retryOnConflict<T>(
  change: () => Promise<T>,
  clock: LoopClock,
  attempts = 5,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await change();
    } catch (error) {
      if (!isConflict(error) || attempt >= attempts) throw error;
      await sleep(clock, 10 * 2 ** (attempt - 1));
    }
  }
}
