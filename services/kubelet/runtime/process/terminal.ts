/** Pseudo-terminals, which script(1) makes: Node has no call for them. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { promisify } from "node:util";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import type { TerminalSize } from "../streams.ts";

const run = promisify(execFile);
const sizeMillis = 5_000;
const sizeMax = 10_000;
/** How long script(1) may take to make its terminal, and how often it is looked for. */
const startMillis = 2_000;
const startPollMillis = 10;

/** Processes that a process has started: script(1) gives each a session of its own. */
export function sessionsUnder(pid: number): readonly number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1")
      .split(" ")
      .filter((word) => word.trim() !== "")
      .map(Number);
  } catch {
    return []; // the process is gone
  }
}

/** Text for sh that sets the size of the terminal on its standard input. */
export function sizeCommand({ columns, rows }: TerminalSize): string {
  return `stty columns ${checked(columns)} rows ${checked(rows)}; `;
}

/**
 * Sets the size of the terminal that a script(1) process serves, or is about to: a process that has
 * just been started gets a moment to make it. A program that is gone has none.
 */
export async function setTerminalSize(scriptPid: number, size: TerminalSize): Promise<void> {
  const { columns, rows } = size;
  checked(columns);
  checked(rows);
  const terminal = await terminalOf(scriptPid);
  if (terminal === undefined) return;
  const words = ["columns", String(checked(columns)), "rows", String(checked(rows))];
  await run("stty", ["-F", terminal, ...words], { timeout: sizeMillis });
}

async function terminalOf(scriptPid: number): Promise<string | undefined> {
  for (let waited = 0; ; waited += startPollMillis) {
    const terminal = terminalUnder(scriptPid);
    const over = waited >= startMillis || !existsSync(`/proc/${scriptPid}`);
    if (terminal !== undefined || over) return terminal;
    await new Promise((resolve) => setTimeout(resolve, startPollMillis));
  }
}

function terminalUnder(scriptPid: number): string | undefined {
  // nsenter and setpriv become the program, so script(1) is the process itself.
  for (const pid of sessionsUnder(scriptPid)) {
    try {
      const target = readlinkSync(`/proc/${pid}/fd/0`);
      if (target.startsWith("/dev/pts/")) return target;
    } catch {
      // Gone between the two looks.
    }
  }
  return undefined;
}

function checked(size: number): number {
  if (Number.isInteger(size) && size > 0 && size <= sizeMax) return size;
  throw new StatusError(Code.invalidArgument, `terminal size ${size} is not within 1..${sizeMax}`);
}
