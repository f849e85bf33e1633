/** Whether a runtime can make containers and give pods a network. */
import { call } from "../../../../ha/rpc/mod.ts";
import { StatusError } from "../../../../ha/runtime/status-error.ts";
import type { RuntimeCondition } from "../../../../proto/gen/cri.ts";
import type { RuntimeStatus } from "../types.ts";
import { type CriConnection, criLimits } from "./connection.ts";

type Verdict = RuntimeStatus["runtimeReady"];

export async function criStatus({ runtime }: CriConnection): Promise<RuntimeStatus> {
  try {
    const settings = { deadlineMillis: criLimits.statusMillis };
    const { status } = await call(runtime, "status", {}, settings);
    const conditions = status?.conditions ?? [];
    return {
      runtimeReady: verdict(conditions, "RuntimeReady"),
      networkReady: verdict(conditions, "NetworkReady"),
    };
  } catch (error) {
    const { message } = StatusError.from(error);
    const down = {
      reason: "ContainerRuntimeDown",
      message: `container runtime is down: ${message}`,
    };
    return { runtimeReady: down, networkReady: down };
  }
}

function verdict(conditions: readonly RuntimeCondition[], type: string): Verdict {
  const found = conditions.find((condition) => condition.type === type);
  if (found?.status === true) return true;
  return {
    reason: found?.reason || `${type}Unknown`,
    message: found?.message || `the runtime does not say that it is ${type}`,
  };
}
