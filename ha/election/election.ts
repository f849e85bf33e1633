/**
 * The loop of one candidate (Kubernetes leader election, client-go `leaderelection`).
 *
 *   candidate ──Lease free──▶ leader ──stop, or lead() ended──▶ release, end
 *       ▲                        │
 *       └── not renewed in time, or taken by another: lead() is aborted and awaited
 */

import type { Lease } from "../../proto/gen/coordination.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import { retryJitterFactor } from "../runtime/timers.ts";
import { Candidate } from "./candidate.ts";
import { holderOf } from "./lease-record.ts";
import { type ElectionClock, type RunElectionOptions, validateElectionOptions } from "./options.ts";
import type { FencingToken } from "./types.ts";

/**
 * Campaigns and leads until the signal aborts or `lead` ends by itself; the Lease is released then,
 * so that another takes over at once. Lost leadership is campaigned for again. Rejects when `lead`
 * rejects, and with `invalidArgument` when the durations' relations do not hold.
 */
export async function runElection(
  options: RunElectionOptions,
  signal: AbortSignal,
  clock: ElectionClock,
): Promise<void> {
  validateElectionOptions(options);
  const { log, retryMillis, random = Math.random } = options;
  const candidate = new Candidate(options, clock);
  const wake = new Wake(clock);
  const hints = new AbortController();
  const stop = () => wake.now();
  signal.addEventListener("abort", stop);
  const following = options.changes && follow(options.changes, candidate, wake, hints.signal);
  following?.catch((error: unknown) => {
    log.debug("the watch on the Lease ended", { error: StatusError.from(error).message });
  });
  let standingBy: string | undefined;
  try {
    while (!signal.aborted) {
      let token: FencingToken | undefined;
      try {
        token = await within(candidate.take(), options.renewDeadlineMillis, clock, signal);
      } catch (thrown) {
        log.warn("could not ask for leadership", { error: StatusError.from(thrown).message });
      }
      const { holder } = candidate;
      if (token === undefined && holder !== "" && holder !== standingBy) {
        standingBy = holder;
        log.info("stands by", { lease: `${options.namespace}/${options.name}`, holder });
      }
      if (token && (await lead(options, candidate, token, signal, clock)) === "ended") return;
      if (signal.aborted) return;
      const wait = retryMillis * (1 + (retryJitterFactor - 1) * random());
      const free = candidate.millisUntilFree();
      await wake.after(free > 0 ? Math.min(wait, free) : wait / failedRetriesPerPeriod);
    }
  } finally {
    candidate.close();
    hints.abort();
    signal.removeEventListener("abort", stop);
  }
}

/** What has failed is tried again sooner than the period says. */
const failedRetriesPerPeriod = 4;

async function lead(
  options: RunElectionOptions,
  candidate: Candidate,
  token: FencingToken,
  signal: AbortSignal,
  clock: ElectionClock,
): Promise<"ended" | "lost"> {
  const { log, retryMillis, renewDeadlineMillis } = options;
  const leading = new AbortController();
  const wake = new Wake(clock);
  const stop = () => {
    leading.abort(new StatusError(Code.cancelled, "leadership is being handed over"));
    wake.now();
  };
  if (signal.aborted) stop();
  else signal.addEventListener("abort", stop, { once: true });
  log.info("took leadership", { lease: token.lease, token: token.token });

  let lost = false;
  const lose = (why: string) => {
    if (lost) return;
    lost = true;
    log.warn("lost leadership", { lease: token.lease, why });
    leading.abort(new StatusError(Code.aborted, `leadership was lost: ${why}`));
    wake.now();
  };
  const missed = () => lose(`not renewed within ${renewDeadlineMillis} ms`);
  let renewed = clock.monotonicMillis();
  let cancelDeadline = clock.after(renewDeadlineMillis, missed);

  let pause = retryMillis;
  let outcome: { readonly error?: unknown } | undefined;
  const work = (async () => options.lead(token, leading.signal))().then(
    () => {
      outcome = {};
      wake.now();
    },
    (error: unknown) => {
      // Work that ends because its signal aborted has not failed.
      outcome = leading.signal.aborted ? {} : { error };
      wake.now();
    },
  );
  while (!lost && !outcome) {
    await wake.after(pause);
    pause = retryMillis;
    if (lost || outcome) break;
    const asked = clock.monotonicMillis();
    try {
      const left = renewed + renewDeadlineMillis - asked;
      if (!(await within(candidate.renew(), Math.max(1, left), clock, signal))) {
        const { holder } = candidate;
        lose(holder ? `${holder} holds the Lease` : "the Lease has no holder");
        break;
      }
      // The deadline runs from before the request: from then on the others count.
      renewed = asked;
      cancelDeadline();
      const untilDeadline = renewed + renewDeadlineMillis - clock.monotonicMillis();
      cancelDeadline = clock.after(Math.max(0, untilDeadline), missed);
    } catch (thrown) {
      pause = retryMillis / failedRetriesPerPeriod;
      log.warn("could not renew the Lease", { error: StatusError.from(thrown).message });
    }
  }
  cancelDeadline();
  signal.removeEventListener("abort", stop);
  await work;
  if (!lost) await handOver(options, candidate, clock);
  if (outcome?.error !== undefined) throw outcome.error;
  return lost && !signal.aborted ? "lost" : "ended";
}

async function handOver(
  options: RunElectionOptions,
  candidate: Candidate,
  clock: ElectionClock,
): Promise<void> {
  try {
    await within(candidate.release(), Math.min(stopMillisMax, options.renewDeadlineMillis), clock);
    options.log.info("released leadership", { lease: `${options.namespace}/${options.name}` });
  } catch (thrown) {
    // The Lease then runs out by itself.
    options.log.warn("could not release the Lease", { error: StatusError.from(thrown).message });
  }
}

async function follow(
  changes: AsyncIterable<Lease>,
  candidate: Candidate,
  wake: Wake,
  signal: AbortSignal,
): Promise<void> {
  for await (const lease of changes) {
    if (signal.aborted) return;
    candidate.note(lease);
    if (holderOf(lease) === "") wake.now();
  }
}

/** A pause that can be cut short, also before it begins. */
class Wake {
  readonly #clock: ElectionClock;
  #pending = false;
  #resolve: (() => void) | undefined;

  constructor(clock: ElectionClock) {
    this.#clock = clock;
  }

  now(): void {
    if (this.#resolve) this.#resolve();
    else this.#pending = true;
  }

  async after(millis: number): Promise<void> {
    if (!this.#pending) {
      await new Promise<void>((resolve) => {
        const cancel = this.#clock.after(millis, resolve);
        this.#resolve = () => {
          cancel();
          resolve();
        };
      });
      this.#resolve = undefined;
    }
    this.#pending = false;
  }
}

/** How long each request may still take once this candidate stops: no server may be there. */
const stopMillisMax = 500;

/**
 * The promise's outcome, or `deadlineExceeded`: after `millis`, or soon after `stopping` aborts. A
 * late outcome is dropped.
 */
function within<T>(
  promise: Promise<T>,
  millis: number,
  clock: ElectionClock,
  stopping?: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const deadline = (limit: number) => () => {
      reject(new StatusError(Code.deadlineExceeded, `no answer within ${Math.round(limit)} ms`));
    };
    let cancelStop = () => {};
    const stop = () => {
      cancelStop = clock.after(stopMillisMax, deadline(stopMillisMax));
    };
    const cancel = clock.after(millis, deadline(millis));
    if (stopping?.aborted) stop();
    else stopping?.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject);
    const settled = () => {
      cancel();
      cancelStop();
      stopping?.removeEventListener("abort", stop);
    };
    promise.then(settled, settled);
  });
}
