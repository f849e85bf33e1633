/** How a program runs that works only while it leads: scheduler and controller-manager alike. */

import type { FencingToken } from "../../ha/election/mod.ts";
import { processMetrics } from "../../ha/runtime/metrics.ts";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { type metricsFlags, serveMetrics } from "../../ha/runtime/production/metrics-server.ts";
import type { FlagValues, Running } from "../../ha/runtime/production/process.ts";
import { announceTimers, type TimerValues } from "../../ha/runtime/timers.ts";
import type { Tracer } from "../../ha/runtime/trace.ts";
import type { Log } from "../../ha/runtime/types.ts";
import type { TriremeClient } from "./client.ts";
import type { LoopClock } from "./clock.ts";
import {
  type anyClientFlags,
  connectByAnyFlags,
  electionByFlags,
  type electionFlags,
} from "./component.ts";
import { runElected } from "./elected.ts";
import { InformerFactory } from "./informer-factory.ts";
import { watchEventLoop } from "./watchdog.ts";

/** What a program is made on. Its caches are filled when leadership is near ({@link runElected}). */
export interface ElectedContext {
  readonly client: TriremeClient;
  readonly informers: InformerFactory;
  readonly clock: LoopClock;
  readonly log: Log;
}

export interface ElectedWork {
  /**
   * Works until the signal aborts, and resolves soon after. Called once for each leadership;
   * `fence` is undefined when no leader is elected. Rejecting ends the process: the supervisor starts
   * it anew, and a standby leads meanwhile.
   */
  lead(fence: FencingToken | undefined, signal: AbortSignal): Promise<void>;
  /** Called when the last leadership has ended, while the API can still be reached. */
  flush(): Promise<void>;
  /** Called last but for the connection itself. */
  close?(): void;
}

export interface ElectedProgramOptions {
  readonly values: FlagValues<
    typeof anyClientFlags & typeof electionFlags & typeof metricsFlags
  > & {
    readonly "leader-elect-resource-name": string;
  };
  /** Names the client to the API, e.g. kube-scheduler. */
  readonly identity: string;
  /** As in `trireme <program>`, and the times that it has by flags of its own. */
  readonly program: string;
  readonly timers?: Partial<TimerValues>;
  readonly log: Log;
  /** Makes spans of the calls to the API; absent: there are none. */
  readonly tracer?: Tracer | undefined;
  /** Makes the work and asks for its informers; they start after it. */
  readonly make: (context: ElectedContext) => ElectedWork;
}

/** What is still to be written informs only; with no server there, it must not hold the end up. */
const flushMillisMax = 1_000;

async function withinMillis(work: Promise<void>, millis: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, millis);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

let leadership: ReturnType<typeof processMetrics.gauge> | undefined;

/** One for the process, however many elected programs it runs. */
function leadershipGauge(): ReturnType<typeof processMetrics.gauge> {
  leadership ??= processMetrics.gauge(
    "leader_election_master_status",
    "Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 master.",
    ["name"],
  );
  return leadership;
}

async function leadAlone(
  informers: InformerFactory,
  signal: AbortSignal,
  lead: () => Promise<void>,
): Promise<void> {
  informers.start(signal);
  try {
    await lead();
  } finally {
    await informers.ended();
  }
}

/**
 * Connects, campaigns, and works while it leads. `stop` goes the other way: the work ends and the
 * Lease is released, the caches end, what it still wants to write is written, the connection closes.
 * Rejects when flags are wrong.
 */
export async function runElectedProgram(options: ElectedProgramOptions): Promise<Running> {
  const { values, identity, log, make, tracer } = options;
  const election = electionByFlags(values, values["leader-elect-resource-name"]);
  const client = await connectByAnyFlags(values, identity, log, { tracer });
  const own = {
    leaderLease: election.leaseMillis,
    leaderRenew: election.renewDeadlineMillis,
    leaderRetry: election.retryMillis,
    ...options.timers,
  };
  announceTimers(options.program, own, { log, metrics: processMetrics });
  const leads = leadershipGauge().labels(values["leader-elect-resource-name"]);
  const clock = productionClock;
  const stopping = new AbortController();
  const informers = new InformerFactory({ client, log, clock });
  const work = make({ client, informers, clock, log });
  const ready = () =>
    informers.started && !informers.synced ? "the caches are not filled" : undefined;
  const metrics = await serveMetrics({
    address: values["metrics-bind-address"],
    ready: { "informer-sync": ready },
  });
  const lead = async (fence: FencingToken | undefined, signal: AbortSignal) => {
    leads.set(1);
    try {
      await work.lead(fence, signal);
    } finally {
      leads.set(0);
    }
  };
  const running = election.enabled
    ? runElected(
        {
          ...election,
          leases: client.leases,
          informers,
          log,
          lead: (fence, signal) => {
            const limit = election.renewDeadlineMillis;
            return watchEventLoop({ clock, log, limitMillis: limit }, signal, (guarded) =>
              lead(fence, guarded),
            );
          },
          observed: (holder) => log.info("another leads", { holder }),
        },
        stopping.signal,
        clock,
      )
    : leadAlone(informers, stopping.signal, () => lead(undefined, stopping.signal));
  running.catch((error: unknown) => {
    if (stopping.signal.aborted) return;
    queueMicrotask(() => {
      throw error;
    });
  });
  return {
    async stop() {
      stopping.abort();
      await Promise.allSettled([running]);
      await withinMillis(work.flush(), flushMillisMax);
      work.close?.();
      await metrics?.close();
      client.close();
    },
  };
}
