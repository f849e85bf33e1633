/** The programs that speak to the kernel: nft(8) and conntrack(8). */
import { spawn } from "node:child_process";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { dialects, type Family } from "../family.ts";

export interface ProgramResult {
  readonly code: number | undefined;
  readonly stderr: string;
}

/** Runs a program to its end with a text as its input. */
export type RunProgram = (
  name: string,
  args: readonly string[],
  input: string,
) => Promise<ProgramResult>;

const runMillisMax = 30_000;
const stderrBytesMax = 4_096;

export const runProgram: RunProgram = (name, args, input) =>
  new Promise((resolve) => {
    const child = spawn(name, [...args], {
      stdio: ["pipe", "ignore", "pipe"],
      timeout: runMillisMax,
      killSignal: "SIGKILL",
    });
    let stderr = "";
    child.stderr.setEncoding("utf8");
    child.stderr.on("data", (piece: string) => {
      if (stderr.length < stderrBytesMax) stderr += piece.slice(0, stderrBytesMax);
    });
    child.on("error", (error) => resolve({ code: undefined, stderr: error.message }));
    child.on("close", (code, signal) => {
      const ended = signal === null ? stderr : `ended by ${signal} ${stderr}`;
      resolve({ code: code ?? undefined, stderr: ended.trim() });
    });
    // A program that ends before it has read everything says why itself.
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
  });

/** One transaction. Throws a StatusError that says what nft said. */
export async function nft(run: RunProgram, text: string): Promise<void> {
  const { code, stderr } = await run("nft", ["-f", "-"], text);
  if (code !== 0) throw new StatusError(Code.internal, `nft: ${firstLines(stderr)}`);
}

function firstLines(text: string): string {
  return text.split("\n").slice(0, 3).join(" ").slice(0, 500);
}

/** Why nftables cannot be used here for the family; undefined: it can. */
export async function nftObstacle(run: RunProgram, family: Family): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return "nftables needs root";
  const name = `kube-proxy-probe-${process.pid}`;
  const at = `${dialects[family].ip} ${name}`;
  const hook = "type nat hook output priority -100 ;";
  const text = `add table ${at}\nadd chain ${at} c { ${hook} }\ndelete table ${at}\n`;
  const { code, stderr } = await run("nft", ["-f", "-"], text);
  if (code === 0) return undefined;
  if (code === undefined) return `the program nft cannot be run: ${firstLines(stderr)}`;
  return `nft: ${firstLines(stderr)}`;
}
