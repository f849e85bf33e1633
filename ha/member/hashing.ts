/** Computes hashes of a whole state in steps, so that the member can send heartbeats in between. */
import { StatusError } from "../runtime/status-error.ts";
import type { Clock } from "../runtime/types.ts";
import { storeErrors as errors, type StateMachine } from "../store/mod.ts";

/** A member, as far as hashing is concerned. */
export interface HashHost {
  readonly runtime: { readonly clock: Clock };
  readonly machine: StateMachine;
  /** How many snapshots have been installed. */
  readonly installations: number;
  /** Why the member serves no callers; undefined while it does serve them. */
  readonly failure: StatusError | undefined;
}

/**
 * Runs the steps of `machine.hashKvSteps` and its like, one per turn. Rejects with what they throw,
 * with the member's failure, or when a snapshot took the place of what was being read.
 */
export async function hashInSteps(host: HashHost, steps: Generator<void, number>): Promise<number> {
  const release = host.machine.holdHistory();
  const { installations } = host;
  try {
    for (;;) {
      const step = steps.next();
      if (step.done) return step.value;
      await new Promise<void>((resolve) => host.runtime.clock.soon(resolve));
      if (host.failure) throw StatusError.from(host.failure);
      if (host.installations !== installations) throw errors.leaderChanged();
    }
  } finally {
    release();
  }
}
