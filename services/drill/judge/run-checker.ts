/** Runs the checker in a process of its own, bounded in time and memory. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import type { CheckerResult } from "../checker/main.ts";

const program = join(import.meta.dirname, "../checker/main.ts");
const millisMax = 60_000;
const mebibytesMax = 1_024;

/** Never rejects: what the checker could not do leaves the history undecided. */
export function runChecker(folder: string): Promise<CheckerResult> {
  const args = [`--max-old-space-size=${mebibytesMax}`, program, folder];
  const options = {
    timeout: millisMax,
    killSignal: "SIGKILL",
    maxBuffer: 16 * 1024 * 1024,
  } as const;
  return new Promise((resolve) => {
    execFile(process.execPath, args, options, (error, stdout, stderr) => {
      if (error === null) {
        resolve(JSON.parse(stdout) as CheckerResult);
        return;
      }
      const why = error.killed
        ? `the checker had not finished after ${millisMax / 1000} s`
        : `the checker ended early: ${stderr.trim().split("\n").at(-1) ?? error.message}`;
      resolve({ linearizable: "undecided", detail: why, registerCalls: 0, watch: [] });
    });
  });
}
