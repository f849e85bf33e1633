/** One thread of `pool.ts`: a run per message, its outcome in return. */
import { parentPort, workerData } from "node:worker_threads";
import { breakBuild } from "./broken.ts";
import type { Outcome } from "./pool.ts";
import { type RunOptions, runSeed } from "./run.ts";

if (!parentPort) throw new Error("test/sim/thread.ts runs as a worker thread");
const port = parentPort;

const { broken } = workerData as { readonly broken: string | undefined };
if (broken !== undefined) breakBuild(broken);

async function serve(options: RunOptions): Promise<void> {
  let outcome: Outcome;
  try {
    outcome = { kind: "passed", result: await runSeed(options) };
  } catch (error) {
    const story = error instanceof Error ? (error.stack ?? error.message) : String(error);
    outcome = { kind: "failed", story };
  }
  port.postMessage(outcome);
}

// One at a time: the next message comes after the answer to this one.
port.on("message", (options: RunOptions) => void serve(options));
