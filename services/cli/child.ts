/**
 * One supervised process: started, watched, started again after it dies, stopped in order.
 *
 *     stopped ──start──► running ──exit──► waiting ──delay──► running …
 *                           │                 │
 *                           └──────stop───────┴──► stopped
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { nameVariable, noRestartExitCode } from "../../ha/runtime/production/process.ts";
import type { Log } from "../../ha/runtime/types.ts";
import { heapOptions } from "./compiler.ts";
import { endGivingWay, giveWay } from "./yielding.ts";

export interface ChildOptions {
  readonly name: string;
  /** Arguments of `trireme`: the component and its flags. */
  readonly args: readonly string[];
  readonly logFile: string;
  readonly log: Log;
  /** Wait before a restart; `killed`: it was ended by SIGKILL from outside. */
  restartDelayMillis(killed: boolean, failuresInARow: number): number;
  /** Asked at each restart: whether it gives way to other programs until it is settled. */
  readonly givesWay?: (() => boolean) | undefined;
  /** It was ended by SIGKILL from outside. */
  readonly killed: () => void;
  readonly started?: (() => void) | undefined;
  /** It ended; `how` as in "was ended by SIGKILL". */
  readonly ended?: ((how: string) => void) | undefined;
  /** It says something to its supervisor; absent: it is not listened to. */
  readonly heard?: ((message: unknown) => void) | undefined;
  /** The pid changed, or the process is gone. */
  readonly changed: () => void;
}

/** A process that ran this long did not fail in a row. */
const steadyMillis = 30_000;
/** On a machine that is never idle a process would not get far by giving way. */
const givingWayMillisMax = 3_000;
const givingWayAgainMillis = 200;

export class Child {
  readonly name: string;
  readonly #options: ChildOptions;
  #process: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #started = false;
  #stopping = false;
  #failures = 0;
  #startedAt = 0;
  #givingWay: NodeJS.Timeout | undefined;
  #settled = false;
  restarts = 0;
  lastExit: string | undefined;

  constructor(options: ChildOptions) {
    this.#options = options;
    this.name = options.name;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** It has done what a start takes, and gives way no longer. */
  get settled(): boolean {
    return this.#settled;
  }

  settle(): void {
    this.#settled = true;
    this.#endGivingWay();
  }

  /** Nothing when it was started before. */
  startOnce(): void {
    if (this.#started || this.#stopping) return;
    this.start();
  }

  start(): void {
    this.#started = true;
    const { args, logFile, heard } = this.#options;
    const output = openSync(logFile, "a");
    // The pipe on standard input is how a child notices that its supervisor is gone.
    const program = [`${import.meta.dirname}/main.ts`, ...args];
    const child = spawn(process.execPath, [...heapOptions(args[0]), ...program], {
      stdio: ["pipe", output, output, ...(heard === undefined ? [] : ["ipc" as const])],
      // A terminal's Ctrl-C is for the supervisor alone, which ends the others in order.
      detached: true,
      env: { ...process.env, TRIREME_SUPERVISED: "1", [nameVariable]: this.name },
    });
    closeSync(output);
    if (heard !== undefined) child.on("message", heard);
    this.#process = child;
    this.#startedAt = performance.now();
    const { givesWay } = this.#options;
    if (this.restarts > 0 && child.pid !== undefined && givesWay?.() && giveWay(child.pid)) {
      this.#givingWay = setTimeout(() => this.#endGivingWay(), givingWayMillisMax);
    }
    this.#options.started?.();
    // A child that dies early closes the pipe; its exit is what counts.
    child.stdin?.on("error", () => {});
    child.once("error", (error) => this.#ended(`could not be started: ${error.message}`, false));
    child.once("exit", (code, signal) => {
      const how = signal ? `was ended by ${signal}` : `exited with ${code}`;
      this.#ended(how, signal === "SIGKILL", code === noRestartExitCode);
    });
    this.#options.changed();
  }

  #endGivingWay(): void {
    if (this.#givingWay === undefined) return;
    clearTimeout(this.#givingWay);
    this.#givingWay = undefined;
    if (this.pid === undefined || endGivingWay(this.pid)) return;
    this.#givingWay = setTimeout(() => this.#endGivingWay(), givingWayAgainMillis);
  }

  #ended(how: string, killed: boolean, forGood = false): void {
    if (!this.#process) return;
    this.#process = undefined;
    this.#settled = false;
    this.#endGivingWay();
    this.lastExit = how;
    this.#options.ended?.(how);
    this.#options.changed();
    if (this.#stopping) return;
    if (forGood) {
      const { logFile, log } = this.#options;
      log.error("a process ended for good: its log says why", { name: this.name, logFile });
      return;
    }
    if (killed) this.#options.killed();
    const steady = performance.now() - this.#startedAt >= steadyMillis;
    this.#failures = steady ? 1 : this.#failures + 1;
    const delayMillis = this.#options.restartDelayMillis(killed, this.#failures);
    this.#options.log.warn("a process ended", {
      name: this.name,
      how,
      restartInMillis: delayMillis,
    });
    this.#timer = setTimeout(() => {
      this.restarts++;
      this.start();
    }, delayMillis);
  }

  /** From now on its end is wanted: it is not started again, and nothing is said of it. */
  letEnd(): void {
    this.#stopping = true;
    clearTimeout(this.#timer);
  }

  /** SIGTERM, and SIGKILL after the grace; resolves when it is gone. */
  async stop(graceMillis: number): Promise<void> {
    this.letEnd();
    const child = this.#process;
    if (!child) return;
    const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), graceMillis);
    await gone;
    clearTimeout(timer);
  }
}
