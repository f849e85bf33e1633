/**
 * The life of one container's processes.
 *
 *     created ──launch──▶ running ──▶ exited          (the shim wrote `exit`)
 *        └──no program, spawn failed──▶ exited        (StartError)
 *     running ──shim and program gone without a word──▶ exited (ContainerStatusUnknown)
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, type FSWatcher, openSync, statSync, watch } from "node:fs";
import { join } from "node:path";
import type { Log } from "../../../../ha/runtime/types.ts";
import type { Container } from "../types.ts";
import { cgroupProcesses, oomKills, removeCgroups } from "./cgroup.ts";
import { readIfThere } from "./files.ts";
import { imageIdOf } from "./images.ts";
import { firstWord, kill, lastOutput, startError, startOutputBytesMax } from "./launch-watch.ts";
import { LogTimes } from "./log-times.ts";
import { isAlive, type ProcessStat, parseStat, processesOfSessionSoon } from "./proc.ts";
import { systemPath } from "./program.ts";
import type { ContainerEnd, ContainerRecord, StateDir } from "./records.ts";
import { sessionsUnder } from "./terminal.ts";

const processLimits = {
  /** How often an adopted container is looked at; its `exit` file is also watched. */
  adoptedPollMillis: 1_000,
  /** From SIGKILL to giving up on the shim's word. */
  killWaitMillis: 5_000,
} as const;

export interface Launch {
  /** Program and arguments. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export class ProcessContainer {
  readonly record: ContainerRecord;
  readonly #state: StateDir;
  readonly #log: Log;
  readonly #onExit: (container: ProcessContainer) => void;
  #shim: ProcessStat | undefined;
  #child: ProcessStat | undefined;
  #startedAt: number | undefined;
  #process: ChildProcess | undefined;
  #watcher: FSWatcher | undefined;
  #poll: NodeJS.Timeout | undefined;
  #settling: Promise<void> | undefined;
  #exitWaiters: (() => void)[] = [];
  #stopDeadline: number | undefined;
  #stopTimer: NodeJS.Timeout | undefined;
  #closed = false;
  /** When the log grew. */
  readonly logTimes: LogTimes;

  constructor(
    record: ContainerRecord,
    state: StateDir,
    log: Log,
    onExit: (container: ProcessContainer) => void,
  ) {
    this.record = record;
    this.#state = state;
    this.#log = log;
    this.#onExit = onExit;
    this.logTimes = new LogTimes(this.logPath, (error) =>
      this.#log.debug("the times of a log could not be kept", { id: record.id, error }),
    );
  }

  get dir(): string {
    return this.#state.containerDir(this.record.id);
  }

  get logPath(): string {
    return join(this.dir, "log");
  }

  get exited(): boolean {
    return this.record.end !== undefined;
  }

  /** Session of the program, for counting what it uses. */
  get session(): number | undefined {
    return this.exited ? undefined : this.#child?.pid;
  }

  /** Resolves to the exit code, also when it has exited before. */
  async whenExited(): Promise<number> {
    if (!this.exited) await new Promise<void>((resolve) => this.#exitWaiters.push(resolve));
    return this.record.end?.exitCode ?? 137;
  }

  get processPid(): number | undefined {
    return this.exited ? undefined : this.#child?.pid;
  }

  status(): Container {
    const { id, config, createdAt, end } = this.record;
    return {
      id,
      podUid: config.podUid,
      name: config.name,
      attempt: config.attempt,
      image: config.image,
      imageId: imageIdOf(config.image),
      specHash: config.specHash,
      createdAt,
      state: end !== undefined ? "exited" : this.#child !== undefined ? "running" : "created",
      startedAt: this.#startedAt ?? end?.finishedAt,
      ...(end !== undefined && {
        finishedAt: end.finishedAt,
        exitCode: end.exitCode,
        reason: end.reason,
        message: end.message,
      }),
    };
  }

  /** Starts the shim and waits until the program is about to run, or has failed to. */
  async launch(launch: Launch): Promise<void> {
    this.record.launched = true;
    this.#state.writeContainer(this.record);
    const file = openSync(this.logPath, "a", 0o640);
    try {
      const [program = "", ...args] = launch.command;
      const child = spawn(program, args, {
        cwd: this.dir,
        env: { ...launch.env, PATH: systemPath },
        detached: true,
        stdio: ["ignore", file, file, "pipe", file],
      });
      this.#process = child;
      const failed = await firstWord(child);
      if (failed !== undefined) {
        const output = (await lastOutput(this.logPath, startOutputBytesMax)).trim();
        return await this.#end(startError(output === "" ? failed : `${failed}: ${output}`));
      }
      child.unref();
    } finally {
      closeSync(file);
    }
    void this.logTimes.start(false);
    this.#readIdentity();
    this.#startedAt ??= Date.now();
    const child = this.#process;
    if (child.exitCode !== null || child.signalCode !== null) await this.#settle();
    else child.once("exit", () => void this.#settle());
  }

  async failStart(message: string): Promise<void> {
    await this.#end(startError(message));
  }

  /** Takes up a container that another instance started. */
  async adopt(): Promise<void> {
    this.#readIdentity();
    if (this.exited) return;
    if (!this.record.launched) return; // created and never started: the pod worker decides
    if (await this.#look()) return;
    await this.logTimes.start(true);
    this.#watcher = watch(this.dir, { persistent: false }, (_, name) => {
      if (name === "exit") void this.#look();
    });
    this.#watcher.on("error", () => undefined); // the poll goes on without it
    this.#poll = setInterval(() => void this.#look(), processLimits.adoptedPollMillis);
    this.#poll.unref();
  }

  /** Looks whether an adopted container has ended; others tell it themselves. */
  async refresh(): Promise<void> {
    if (!this.exited && this.#poll !== undefined) await this.#look();
  }

  /** TERM to the group, then KILL when the grace is over; resolves when it has exited. */
  async stop(graceMillis: number, signal: NodeJS.Signals): Promise<void> {
    if (this.exited || this.#closed) return;
    if (!this.record.launched) {
      await this.#end({ exitCode: 137, finishedAt: Date.now(), reason: "Error" });
      return;
    }
    const exit = new Promise<void>((resolve) => this.#exitWaiters.push(resolve));
    const deadline = performance.now() + graceMillis;
    if (this.#stopDeadline === undefined && graceMillis > 0) this.#signalGroup(signal);
    if (this.#stopDeadline === undefined || deadline < this.#stopDeadline) {
      this.#stopDeadline = deadline;
      clearTimeout(this.#stopTimer);
      if (graceMillis <= 0) this.#killNow();
      else this.#stopTimer = setTimeout(() => this.#killNow(), graceMillis);
    }
    await exit;
  }

  /** Lets go; the processes run on. */
  close(): void {
    this.#closed = true;
    this.logTimes.close();
    this.#watcher?.close();
    clearInterval(this.#poll);
    clearTimeout(this.#stopTimer);
    this.#process?.removeAllListeners("exit");
    for (const resolve of this.#exitWaiters.splice(0)) resolve();
  }

  #readIdentity(): void {
    const shim = readIfThere(join(this.dir, "shim"));
    const child = readIfThere(join(this.dir, "child"));
    this.#shim = shim === undefined ? undefined : parseStat(shim);
    this.#child = child === undefined ? undefined : parseStat(child);
    if (this.#child !== undefined) {
      this.#startedAt = Math.round(statSync(join(this.dir, "child")).mtimeMs);
    }
  }

  #alive(process: ProcessStat | undefined): boolean {
    return process !== undefined && isAlive(process.pid, process.startTicks);
  }

  /** For adopted containers: whether it has ended, and if so, records it. */
  async #look(): Promise<boolean> {
    if (this.exited) return true;
    const shimAlive = this.#alive(this.#shim);
    const written = readIfThere(join(this.dir, "exit")) !== undefined;
    if (!written && (shimAlive || this.#alive(this.#child))) return false;
    await this.#settle();
    return this.exited;
  }

  #settle(): Promise<void> {
    this.#settling ??= this.#readEnd()
      .catch((error: unknown) => {
        this.#log.error("could not record the end of a container", { id: this.record.id, error });
      })
      .finally(() => {
        this.#settling = undefined;
      });
    return this.#settling;
  }

  async #readEnd(): Promise<void> {
    if (this.exited || this.#closed) return;
    if (this.#child === undefined) this.#readIdentity();
    const path = join(this.dir, "exit");
    const text = readIfThere(path);
    // The shim writes the line in one piece; without its end it is not there yet, or never will be.
    const known = text !== undefined && /^\d+\n$/.test(text);
    // The file is made before it is filled: as long as the shim lives, the next look sees more.
    if (!known && this.#alive(this.#shim)) return;
    if (!known && this.#alive(this.#child)) return this.#watchOrphan();
    await this.#killLeftOver();
    if (!known) {
      await this.#end({
        exitCode: 137,
        finishedAt: Date.now(),
        reason: "ContainerStatusUnknown",
        message: "The container could not be located when its end was looked for",
      });
      return;
    }
    const exitCode = Number(text);
    const oom = exitCode !== 0 && (await oomKills(this.record.cgroups)) > 0;
    await this.#end({
      exitCode,
      finishedAt: Math.round(statSync(path).mtimeMs),
      reason: exitCode === 0 ? "Completed" : oom ? "OOMKilled" : "Error",
    });
  }

  /** The shim was killed and the program lives: look at it until it ends, too. */
  #watchOrphan(): void {
    if (this.#poll !== undefined) return;
    this.#log.warn("a container has lost its shim; its exit code will be unknown", {
      id: this.record.id,
      pod: this.record.config.podUid,
    });
    this.#poll = setInterval(() => void this.#look(), processLimits.adoptedPollMillis);
    this.#poll.unref();
  }

  async #end(end: ContainerEnd): Promise<void> {
    if (this.exited || this.#closed) return;
    this.record.end = end;
    clearInterval(this.#poll);
    clearTimeout(this.#stopTimer);
    this.#watcher?.close();
    await this.logTimes.finish();
    this.#state.writeContainer(this.record);
    for (const pid of await cgroupProcesses(this.record.cgroups)) kill(pid, "SIGKILL");
    if (!(await removeCgroups(this.record.cgroups))) {
      this.#log.debug("a cgroup is still in use; it goes with the container's record", {
        id: this.record.id,
      });
    }
    this.#onExit(this);
    for (const resolve of this.#exitWaiters.splice(0)) resolve();
  }

  #signalGroup(signal: NodeJS.Signals): void {
    const child = this.#child;
    if (child === undefined || !this.#alive(child)) return;
    // Between fork and setsid the program is not yet the leader of a group of its own.
    if (!kill(-child.pid, signal)) kill(child.pid, signal);
  }

  #killNow(): void {
    // A terminal's program is in a session of its own, below that of script(1).
    if (this.record.config.tty && this.#child !== undefined && this.#alive(this.#child)) {
      for (const session of sessionsUnder(this.#child.pid)) kill(-session, "SIGKILL");
    }
    this.#signalGroup("SIGKILL");
    this.#killLeftOver().catch((error: unknown) => {
      this.#log.error("what a container left behind could not be ended", { error });
    });
    this.#stopTimer = setTimeout(() => {
      if (this.#shim !== undefined && this.#alive(this.#shim) && !this.#alive(this.#child)) {
        kill(this.#shim.pid, "SIGKILL");
      }
      void this.#settle();
    }, processLimits.killWaitMillis);
    this.#stopTimer.unref();
    if (!this.#alive(this.#shim)) void this.#settle();
  }

  /** What the program started and left behind, as long as its session is certainly the same. */
  async #killLeftOver(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    for (const member of await processesOfSessionSoon(child.pid)) {
      const reused = member.pid === child.pid && member.startTicks !== child.startTicks;
      if (reused) return;
      if (member.startTicks >= child.startTicks) kill(member.pid, "SIGKILL");
    }
  }
}
