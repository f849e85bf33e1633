/** Runs a program of the repository to its end. */
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";

const root = dirname(dirname(import.meta.dirname));

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export async function runProgram(file: string, ...args: readonly string[]): Promise<Ended> {
  const child = spawn(process.execPath, [join(root, file), ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject).once("exit", resolve);
  });
  const [code, stdout, stderr] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  return { code, stdout, stderr };
}

export const trireme = (...args: readonly string[]): Promise<Ended> =>
  runProgram("services/cli/main.ts", ...args);
