import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";

export interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

const millisMax = 60_000;

/** Runs kubectl to its end; `input`: its standard input. */
export async function kubectl(
  kubeconfig: string,
  args: readonly string[],
  { input = "", env = {} }: { input?: string; env?: Record<string, string> } = {},
): Promise<Outcome> {
  const child = spawn("kubectl", ["--kubeconfig", kubeconfig, ...args], {
    env: { ...process.env, ...env },
    timeout: millisMax,
  });
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  return { code, out, err };
}
