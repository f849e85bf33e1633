/** One thread of `pool.ts`: a run per message, its outcome in return. */
import { parentPort, workerData } from "node:worker_threads";
import { breakBuild } from "./broken.ts";
import { runControlPlane } from "./control-plane/run.ts";
import type { Job, Outcome, Summary } from "./pool.ts";
import { runSeed } from "./run.ts";

if (!parentPort) throw new Error("test/sim/thread.ts runs as a worker thread");
const port = parentPort;

const { broken } = workerData as { readonly broken: string | undefined };
if (broken !== undefined) breakBuild(broken);

async function serve(job: Job): Promise<void> {
  let outcome: Outcome;
  try {
    const result = await (job.mode === "cluster" ? clusterResult(job) : runSeed(job));
    outcome = { kind: "passed", result };
  } catch (error) {
    const story = error instanceof Error ? (error.stack ?? error.message) : String(error);
    outcome = { kind: "failed", story };
  }
  port.postMessage(outcome);
}

// One at a time: the next message comes after the answer to this one.
port.on("message", (job: Job) => void serve(job));

/** In the words of the store's mode, so that one pool counts both. */
async function clusterResult(job: Job): Promise<Summary> {
  const { calls } = await runControlPlane(job);
  return { answered: calls };
}
