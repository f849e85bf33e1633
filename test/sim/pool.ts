/** Runs on worker threads, one run at a time on each, as many threads as the machine has cores. */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { RunOptions } from "./run.ts";

/** A run of the store alone, or of a whole control plane above it. */
export interface Job extends RunOptions {
  readonly mode?: Mode;
}

export const modes = ["store", "cluster"] as const;
type Mode = (typeof modes)[number];

/** What a run has in common with every other. */
export interface Summary {
  /** Operations whose answer was judged. */
  readonly answered: number;
}

export type Outcome =
  | { readonly kind: "passed"; readonly result: Summary }
  | { readonly kind: "failed"; readonly story: string };

export interface PoolOptions {
  /** Name of a build of `broken.ts` that all threads run. */
  readonly broken?: string | undefined;
  readonly threads?: number;
}

/**
 * Resolves when all runs are over, or `each` has answered false; runs under way are then given up.
 * Outcomes come in the order in which the runs end.
 */
export async function runInParallel(
  jobs: readonly Job[],
  each: (job: Job, outcome: Outcome) => boolean,
  options: PoolOptions = {},
): Promise<void> {
  const waiting = jobs.values();
  let stopped = false;
  const serve = async (): Promise<void> => {
    const worker = new Worker(new URL("thread.ts", import.meta.url), {
      workerData: { broken: options.broken },
    });
    try {
      for (const job of waiting) {
        const outcome = await runOn(worker, job);
        if (stopped) return;
        if (!each(job, outcome)) stopped = true;
        if (stopped) return;
      }
    } finally {
      await worker.terminate();
    }
  };
  const threads = Math.min(options.threads ?? availableParallelism(), jobs.length);
  const served = Array.from({ length: threads }, serve);
  await Promise.all(served);
}

function runOn(worker: Worker, job: Job): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    worker.once("message", (outcome: Outcome) => {
      worker.off("error", reject);
      resolve(outcome);
    });
    worker.once("error", reject);
    worker.postMessage(job);
  });
}
