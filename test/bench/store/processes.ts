/** Child processes of a benchmark: started together, measured through /proc, ended by their ids. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { openSync, readFileSync } from "node:fs";

export class Processes {
  readonly #children = new Set<ChildProcess>();
  readonly #ending = new AbortController();

  constructor() {
    // Whatever ends this process takes the children along.
    process.on("exit", () => this.#kill("SIGKILL"));
  }

  /** Aborts when the benchmark ends: ends what is waited for. */
  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  /** Output goes to the file. Answers the process id. */
  start(command: string, args: readonly string[], logFile: string): number {
    if (this.signal.aborted) throw new Error("the benchmark is ending");
    const output = openSync(logFile, "a");
    const child = spawn(command, args, { stdio: ["ignore", output, output] });
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    child.once("error", (error) => {
      this.#children.delete(child);
      console.error(`bench: ${command}: ${error.message}`);
    });
    if (child.pid === undefined) throw new Error(`${command} did not start`);
    return child.pid;
  }

  /** Ends all in order, and those that take too long at once. */
  async stop(): Promise<void> {
    this.#ending.abort();
    const gone = [...this.#children].map((child) => once(child, "exit"));
    this.#kill("SIGTERM");
    const hard = setTimeout(() => this.#kill("SIGKILL"), 5_000);
    await Promise.all(gone);
    clearTimeout(hard);
  }

  #kill(signal: NodeJS.Signals): void {
    for (const child of this.#children) child.kill(signal);
  }
}

/** In which `/proc` counts CPU time. */
export const ticksPerSecond = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/** User and system time of all threads of the processes so far. */
export function cpuMicros(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name, in parentheses, may hold spaces; utime and stime are the 14th and 15th field.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return (ticks * 1_000_000) / ticksPerSecond;
}

export function residentMegabytes(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(line?.[1]) / 1024;
}
