import { spawn } from "node:child_process";
import type { ExecResult } from "../types.ts";

const outputBytesMax = 10 * 1024;
/** From the program's exit to giving up on its output. */
const drainMillis = 500;

export interface ExecPlan {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly timeoutMillis: number;
}

/** Runs a program in its own session with bounded output and time; kills the session at the end. */
export function runExec(plan: ExecPlan): Promise<ExecResult> {
  const [program, ...args] = plan.command;
  if (program === undefined) {
    return Promise.resolve({ exitCode: 127, output: "no command", timedOut: false });
  }
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    let length = 0;
    let timedOut = false;
    const child = spawn(program, args, {
      cwd: plan.cwd,
      env: plan.env,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const killAll = () => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // Nobody is left, which was the aim.
      }
    };
    const timer = setTimeout(() => {
      timedOut = true;
      killAll();
    }, plan.timeoutMillis);
    const finish = (exitCode: number, note = "") => {
      clearTimeout(timer);
      // A child left in the background may hold the pipes: its output is nobody's any more.
      child.stdout?.destroy();
      child.stderr?.destroy();
      const output = Buffer.concat(pieces).toString("utf8") + note;
      resolve({ exitCode: timedOut ? -1 : exitCode, output, timedOut });
    };
    const collect = (piece: Buffer) => {
      if (length >= outputBytesMax) return;
      pieces.push(piece.subarray(0, outputBytesMax - length));
      length += piece.length;
    };
    child.stdout?.on("data", collect);
    child.stderr?.on("data", collect);
    child.on("error", (error) => finish(127, error.message));
    child.on("exit", (code) => {
      killAll();
      // The pipes close once they have been read, unless one that left the group still holds them.
      const drain = setTimeout(() => finish(code ?? 137), drainMillis);
      child.once("close", () => {
        clearTimeout(drain);
        finish(code ?? 137);
      });
    });
  });
}
