/** Lifecycle hooks: postStart and preStop by exec, httpGet or sleep. */
import type { LifecycleHandler } from "../../../proto/gen/core.ts";
import { type LoopClock, sleep } from "../../client/mod.ts";
import type { ContainerRuntime } from "../runtime/types.ts";
import { httpProbe } from "./probe-actions.ts";
import type { ProbeTarget } from "./probes.ts";

/** Resolves to what went wrong, or undefined. Ends early, without a complaint, on abort. */
export async function runHook(
  handler: LifecycleHandler,
  target: ProbeTarget,
  runtime: ContainerRuntime,
  clock: LoopClock,
  timeoutMillis: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const action = async (): Promise<string | undefined> => {
    if (handler.exec !== undefined) {
      const result = await runtime.exec(target.id, handler.exec.command ?? [], timeoutMillis);
      if (result.timedOut) return `command timed out after ${timeoutMillis} ms`;
      if (result.exitCode === 0) return undefined;
      return `command exited with ${result.exitCode}: ${result.output.trim()}`;
    }
    if (handler.httpGet !== undefined) {
      const outcome = await httpProbe(handler.httpGet, target, timeoutMillis);
      return outcome.ok ? undefined : outcome.message;
    }
    if (handler.sleep !== undefined) {
      const millis = Math.min((handler.sleep.seconds ?? 0) * 1000, timeoutMillis);
      await sleep(clock, millis, signal);
    }
    return undefined;
  };
  const aborted = new Promise<undefined>((resolve) => {
    if (signal.aborted) resolve(undefined);
    signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
  try {
    return await Promise.race([action(), aborted]);
  } catch (error) {
    return (error as Error).message;
  }
}
