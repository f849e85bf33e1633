/** A folder and child processes for as long as a benchmark takes, whatever ends it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Processes } from "./processes.ts";

export interface Place {
  readonly folder: string;
  readonly processes: Processes;
}

/** Ends the processes and removes the folder after `work`, or when interrupted. */
export async function withPlace(work: (place: Place) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "trireme-bench-"));
  const processes = new Processes();
  let cleaned: Promise<void> | undefined;
  const cleanOnce = async () => {
    await processes.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  const clean = () => {
    cleaned ??= cleanOnce();
    return cleaned;
  };
  const interrupted = () => {
    process.exitCode = 130;
    void clean().finally(() => process.exit());
  };
  process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
  try {
    await work({ folder, processes });
  } catch (error) {
    // What fails because it is being ended is no finding.
    if (process.exitCode !== 130) throw error;
  } finally {
    process.off("SIGINT", interrupted).off("SIGTERM", interrupted);
    await clean();
  }
}
