import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Log } from "../../ha/runtime/types.ts";
import { type LoopClock, sleep } from "./clock.ts";
import { askedPauseMillis } from "./retryable.ts";
import type { WorkQueue } from "./types.ts";

/** When a reconciler wants to look at its key again although nothing has changed. */
export interface Again {
  /** Milliseconds from now; a change of the object brings its key back earlier. */
  readonly after: number;
}

/**
 * Brings what one key names a step from its actual towards its wanted state (controller-runtime
 * `pkg/reconcile`).
 *
 * - Order: keys come in any order, each as often as something about it changed, several changes as
 *   one call. One key is never worked on by two workers at a time.
 * - Idempotence: the key says only where to look. The reconciler reads the cache, compares and
 *   writes what differs; called twice in a row it writes nothing the second time.
 * - Errors: a rejection repeats the key with exponential backoff (5 ms to 60 s), or after the pause
 *   that an overloaded server asks for. Conflicts and lost
 *   connections are expected and logged at debug level, everything else as a warning. What a
 *   terminating namespace refuses is given up: nothing can be made there any more.
 * - Answer: nothing, or `{ after }`, which brings the key back after so many milliseconds. Both mean
 *   success and reset the backoff.
 * - Cost: the call holds one of the controller's workers until it ends. It may await API calls; it
 *   must not wait for a state of the cluster, and must end soon after the signal aborts.
 *
 * @example
 * async function reconcile(key: string): Promise<Again | undefined> {
 *   const job = lister.get(splitKey(key).name, splitKey(key).namespace);
 *   if (!job) return undefined; // gone: there is nothing to do
 *   const left = job.deadlineMillis - clock.wallMillis();
 *   if (left > 0) return { after: left };
 *   await client.delete(job.name, job.namespace, write);
 *   return undefined;
 * }
 */
export type Reconcile = (
  key: string,
  signal: AbortSignal,
  // biome-ignore lint/suspicious/noConfusingVoidType: most reconcilers have nothing to answer.
) => Promise<Again | undefined | void>;

export interface ReconcilerOptions {
  readonly queue: WorkQueue;
  readonly reconcile: Reconcile;
  readonly workers: number;
  readonly log: Log;
}

/**
 * Runs workers until the signal aborts, and resolves when the last has finished its key. Keys left
 * in the queue are dropped: the next leader finds them by listing.
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
      const again = await reconcile(key, signal);
      queue.forget(key);
      if (again) queue.addAfter(key, Math.max(minPauseMillis, again.after));
    } catch (thrown) {
      if (signal.aborted) return;
      if (isNamespaceTerminating(thrown)) {
        queue.forget(key);
        continue;
      }
      const error = StatusError.from(thrown);
      const expected = error.code === Code.aborted || error.code === Code.unavailable;
      const fields = { key, error: error.message, code: error.code };
      if (expected) log.debug("reconciliation failed; trying again", fields);
      else log.warn("reconciliation failed; trying again", fields);
      const pauseMillis = askedPauseMillis(error);
      if (pauseMillis === 0) queue.addRateLimited(key);
      else queue.addAfter(key, pauseMillis * (1 + pauseSpread * Math.random()));
    } finally {
      queue.done(key);
    }
  }
}

/** An answer of `{ after: 0 }` must not turn a worker into a busy loop. */
const minPauseMillis = 1;
/** Loops that were all asked to wait as long do not come back at the same moment. */
const pauseSpread = 0.4;

export function isConflict(error: unknown): boolean {
  return error instanceof StatusError && error.code === Code.aborted;
}

export function isNotFound(error: unknown): boolean {
  return error instanceof StatusError && error.code === Code.notFound;
}

export function isAlreadyExists(error: unknown): boolean {
  return error instanceof StatusError && error.code === Code.alreadyExists;
}

/** The API refused to create something in a namespace that is going away. */
export function isNamespaceTerminating(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const causes = error instanceof StatusError ? error.detail?.causes : undefined;
  const told = causes?.some(({ reason }) => reason === "NamespaceTerminating") ?? false;
  return told || isNamespaceTerminating(error.cause);
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
