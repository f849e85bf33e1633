import type { Lease } from "../../proto/gen/coordination.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import { retryJitterFactor } from "../runtime/timers.ts";
import type { Clock } from "../runtime/types.ts";
import type { ElectionOptions } from "./types.ts";

export interface RunElectionOptions extends ElectionOptions {
  /**
   * Changes of the Lease as a watch tells them; only a hint, so it may miss some or end early. A
   * candidate that sees the Lease released here takes it at once instead of at its next poll.
   */
  readonly changes?: AsyncIterable<Lease> | undefined;
  /** Uniform in 0..1, for jitter. */
  readonly random?: (() => number) | undefined;
}

export type ElectionClock = Pick<Clock, "monotonicMillis" | "wallMillis" | "after">;

/**
 * Refuses durations whose relations cannot work, naming the relation (client-go
 * `NewLeaderElector`).
 */
export function validateElectionOptions(
  options: Omit<ElectionOptions, "client" | "log" | "lead" | "observed" | "prospect">,
): void {
  const { leaseMillis, renewDeadlineMillis, retryMillis, identity, name, namespace } = options;
  const refuse = (message: string) => {
    throw new StatusError(Code.invalidArgument, `leader election: ${message}`);
  };
  for (const [field, value] of Object.entries({ identity, name, namespace })) {
    if (value === "") refuse(`${field} is empty`);
  }
  for (const [field, value] of Object.entries({ leaseMillis, renewDeadlineMillis, retryMillis })) {
    if (!(Number.isFinite(value) && value > 0)) refuse(`${field} is ${value}, must be above 0`);
  }
  if (leaseMillis <= renewDeadlineMillis) {
    refuse(
      `leaseMillis (${leaseMillis}) must be greater than renewDeadlineMillis (${renewDeadlineMillis})`,
    );
  }
  if (renewDeadlineMillis <= retryMillis * retryJitterFactor) {
    refuse(
      `renewDeadlineMillis (${renewDeadlineMillis}) must be greater than ` +
        `retryMillis × ${retryJitterFactor} (${retryMillis * retryJitterFactor})`,
    );
  }
}
