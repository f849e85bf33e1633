/** Programs run beside a container's own: to the end with bounded output, or as a session. */
import { type ChildProcess, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import type { ExecSession, StreamOptions } from "../streams.ts";
import type { ExecResult } from "../types.ts";
import { sessionsUnder, setTerminalSize } from "./terminal.ts";

const outputBytesMax = 10 * 1024;
/** From the program's exit to giving up on its output, when no more of it comes. */
const drainMillis = 500;

export interface ExecPlan {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // No process of the group is left, which was the aim.
  }
}

/** 128 + n after signal n, as a shell tells it. */
function exitCodeOf(code: number | null, signal: NodeJS.Signals | null): number {
  if (code !== null) return code;
  return 128 + (signal === null ? 9 : (signalNumbers[signal] ?? 9));
}

const signalNumbers: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
};

/**
 * Calls `done` once the program has exited and its output has been read to the end. A process that
 * the program left behind may hold the pipes open: then the output is over when none has come for
 * a while. A look that finds data does not count, so a busy event loop loses nothing.
 */
function whenDrained(child: ChildProcess, done: () => void): void {
  let finished = false;
  let heard = false;
  const finish = () => {
    if (finished) return;
    finished = true;
    clearTimeout(timer);
    done();
  };
  const look = () => {
    // Timers run before input is read: data that waits since long is seen in between.
    setImmediate(() => {
      if (finished) return;
      if (!heard) return finish();
      heard = false;
      timer = setTimeout(look, drainMillis);
    });
  };
  let timer = setTimeout(look, drainMillis);
  for (const pipe of [child.stdout, child.stderr]) pipe?.on("data", () => (heard = true));
  child.once("close", finish);
}

/** Runs a program in its own session with bounded output and time; kills the session at the end. */
export function runExec(plan: ExecPlan, timeoutMillis: number): Promise<ExecResult> {
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
    const timer = setTimeout(() => {
      timedOut = true;
      killGroup(child.pid);
    }, timeoutMillis);
    const finish = (exitCode: number, note = "") => {
      clearTimeout(timer);
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
    child.on("exit", (code, signal) => {
      clearTimeout(timer);
      killGroup(child.pid);
      if (length >= outputBytesMax) return finish(exitCodeOf(code, signal));
      whenDrained(child, () => finish(exitCodeOf(code, signal)));
    });
  });
}

/** Runs a program as a session of streams; the signal, or the end of the program, ends it. */
export async function openExec(plan: ExecPlan, options: StreamOptions): Promise<ExecSession> {
  const [program = "", ...args] = plan.command;
  const child = spawn(program, args, {
    cwd: plan.cwd,
    env: plan.env,
    detached: true,
    stdio: [options.stdin ? "pipe" : "ignore", "pipe", "pipe"],
  });
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", reject);
  });
  const killAll = () => {
    if (child.pid === undefined) return;
    for (const session of sessionsUnder(child.pid)) killGroup(session);
    killGroup(child.pid);
  };
  options.signal.addEventListener("abort", killAll, { once: true });
  if (options.signal.aborted) killAll();
  // What the program left behind may hold its output open for ever.
  const letGo = () => {
    child.stdout?.destroy();
    child.stderr?.destroy();
  };
  options.signal.addEventListener("abort", letGo, { once: true });
  child.once("close", () => options.signal.removeEventListener("abort", letGo));
  const exitCode = new Promise<number>((resolve) => {
    child.once("exit", (code, signal) => {
      options.signal.removeEventListener("abort", killAll);
      killGroup(child.pid);
      resolve(exitCodeOf(code, signal));
    });
  });
  const { stdin } = child;
  // A program that does not read its input closes the pipe; its exit is what counts.
  stdin?.on("error", () => undefined);
  return {
    stdout: bytesOf(child.stdout),
    stderr: bytesOf(child.stderr),
    write: (data) => writeTo(stdin, data),
    endInput: () => void stdin?.end(),
    resize: async (size) => {
      if (options.tty && child.pid !== undefined) await setTerminalSize(child.pid, size);
    },
    exitCode,
  };
}

/** What a stream brings; a broken one ends. */
export async function* bytesOf(stream: Readable | null): AsyncGenerator<Uint8Array> {
  if (stream === null) return;
  for await (const piece of stream) yield piece as Buffer;
}

/** Resolves when the stream takes more, or has ended. */
export function writeTo(stream: Writable | null, data: Uint8Array): Promise<void> {
  if (stream === null || !stream.writable) return Promise.resolve();
  return new Promise((resolve) => {
    if (stream.write(data)) return resolve();
    const done = () => {
      stream.off("drain", done);
      stream.off("close", done);
      resolve();
    };
    stream.once("drain", done);
    stream.once("close", done);
  });
}
