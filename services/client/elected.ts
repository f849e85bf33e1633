/** Leader election over the typed Lease client. */

import { type RunElectionOptions, runElection } from "../../ha/election/mod.ts";
import type { LeaseClient } from "../../ha/election/types.ts";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import type { Lease } from "../../proto/gen/coordination.ts";
import { Backoff, jittered, type LoopClock, sleep } from "./clock.ts";
import type { InformerFactory } from "./informer-factory.ts";
import { isNotFound } from "./reconcile.ts";
import type { ResourceClient } from "./types.ts";

export type RunElectedOptions = Omit<RunElectionOptions, "client" | "changes" | "prospect"> & {
  readonly leases: ResourceClient<Lease>;
  /**
   * Filled while leadership is near or held. A standby whose leader renews its Lease watches nothing
   * else: every watch on a busy kind costs the masters something with each write.
   */
  readonly informers: Pick<InformerFactory, "start" | "ended">;
};

/**
 * Runs for leadership until the signal aborts; watches the Lease, so that a released one is taken
 * at once. Options as {@link RunElectionOptions}. The informers have ended when it resolves.
 */
export async function runElected(
  options: RunElectedOptions,
  signal: AbortSignal,
  clock: LoopClock = productionClock,
): Promise<void> {
  const { leases, informers, ...rest } = options;
  const timeoutMillis = options.renewDeadlineMillis;
  const ended = new AbortController();
  const watching = AbortSignal.any([signal, ended.signal]);
  const client: LeaseClient = {
    async get(namespace, name) {
      try {
        return await leases.get(name, namespace, { timeoutMillis });
      } catch (error) {
        if (isNotFound(error)) return undefined;
        throw error;
      }
    },
    create: (lease) => leases.create(lease, { timeoutMillis }),
    update: (lease) => leases.update(lease, { timeoutMillis }),
  };
  let filling: AbortController | undefined;
  const prospect = (near: boolean) => {
    filling?.abort();
    filling = near ? new AbortController() : undefined;
    if (filling) informers.start(filling.signal);
  };
  const changes = leaseChanges(leases, options.namespace, options.name, clock, watching);
  try {
    await runElection({ ...rest, client, changes, prospect }, signal, clock);
  } finally {
    ended.abort();
    prospect(false);
    await informers.ended();
  }
}

/** Changes of one Lease, for ever. Only a hint: what is missed is found by polling. */
async function* leaseChanges(
  leases: ResourceClient<Lease>,
  namespace: string,
  name: string,
  clock: LoopClock,
  signal: AbortSignal,
): AsyncGenerator<Lease, void, undefined> {
  const backoff = new Backoff(100, 5_000);
  while (!signal.aborted) {
    try {
      const fieldSelector = `metadata.name=${name}`;
      for await (const event of leases.watch({ namespace, fieldSelector, signal })) {
        backoff.reset();
        if (event.type !== "BOOKMARK") yield event.object;
      }
    } catch {
      // The election polls in any case; the watch is only asked for again.
    }
    await sleep(clock, jittered(backoff.next()), signal);
  }
}
