/** Whether a shim that was started comes to run its program, and what to say if it does not. */
import type { ChildProcess } from "node:child_process";
import { readFile } from "node:fs/promises";
import type { ContainerEnd } from "./records.ts";

/** From the start of the shim to the start of the program; mounts are made in between. */
const launchMillis = 30_000;

/** How much of its output explains why a container could not be started. */
export const startOutputBytesMax = 1_024;

export function startError(message: string): ContainerEnd {
  return { exitCode: 128, finishedAt: Date.now(), reason: "StartError", message };
}

/** False: no such process, or not ours to signal. */
export function kill(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

/**
 * Waits for the shim's word on descriptor 3; resolves to what went wrong instead. A program that
 * ends at once exits before its word has been read, so the exit alone decides nothing: only an exit
 * with the descriptor read to its end does (`close`).
 */
export function firstWord(child: ChildProcess): Promise<string | undefined> {
  return new Promise((resolve) => {
    const pipe = child.stdio[3] as NodeJS.ReadableStream & { destroy(): void };
    const done = (problem?: string) => {
      clearTimeout(timer);
      child.removeAllListeners();
      // Node throws on an error event without a listener.
      child.on("error", () => undefined);
      pipe.destroy();
      resolve(problem);
    };
    const timer = setTimeout(() => {
      if (child.pid !== undefined) kill(-child.pid, "SIGKILL");
      done(`the shim said nothing within ${launchMillis} ms`);
    }, launchMillis);
    pipe.once("data", () => done());
    child.once("error", (error) => done(`/bin/sh: ${error.message}`));
    child.once("close", () => done("the container could not be set up"));
  });
}

/** For messages: the last lines a container wrote. */
export async function lastOutput(path: string, bytesMax: number): Promise<string> {
  const bytes = await readFile(path).catch(() => Buffer.alloc(0)); // nothing written
  return bytes.subarray(Math.max(0, bytes.length - bytesMax)).toString("utf8");
}
