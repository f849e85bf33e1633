/** One of upstream's own components as a process of the test. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { RestWorld } from "../rest/harness.ts";
import { kubeconfigFile } from "../rest/kubeconfig.ts";

export interface UpstreamComponent extends AsyncDisposable {
  readonly name: string;
  /** Lines of level E and F that are in the log so far. */
  errors(): string[];
  /** The end of the log, for failures. */
  tail(): string;
}

const logBytesMax = 16 * 1_024 * 1_024;
const killAfterMillis = 5_000;

/** Runs as the user that upstream's bootstrap policy has a role for, `system:<name>`. */
export async function startUpstream(
  world: RestWorld,
  name: string,
  flags: readonly string[],
): Promise<UpstreamComponent> {
  const user = `system:${name}`;
  const config = await kubeconfigFile(world, await world.user(user), user);
  const child = spawn(name, [`--kubeconfig=${config.file}`, "--secure-port=0", "--v=2", ...flags], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let log = "";
  child.stderr?.setEncoding("utf8");
  child.stderr?.on("data", (text: string) => {
    if (log.length < logBytesMax) log += text;
  });
  await once(child, "spawn");
  return {
    name,
    errors: () => log.split("\n").filter((line) => /^[EF]\d{4} /.test(line)),
    tail: () => log.slice(-4_000),
    async [Symbol.asyncDispose]() {
      await ended(child);
      await config[Symbol.asyncDispose]();
    },
  };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  const timer = setTimeout(() => child.kill("SIGKILL"), killAfterMillis);
  child.kill("SIGTERM");
  await exit;
  clearTimeout(timer);
}
