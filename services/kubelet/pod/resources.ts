/** Quantities as plain numbers. */
import type { ResourceRequirements } from "../../../proto/gen/core.ts";
import { parseQuantity } from "../../kinds/facts.ts";

const nanosPerUnit = 1_000_000_000n;
const nanosPerMilli = 1_000_000n;

function ceilDivide(value: bigint, by: bigint): number {
  return Number((value + by - 1n) / by);
}

/** Thousandths, rounded up; 0 for what is absent or no quantity. */
function millisOf(text: string | undefined): number {
  const quantity = text === undefined ? undefined : parseQuantity(text);
  return quantity === undefined ? 0 : ceilDivide(quantity.nanos, nanosPerMilli);
}

/** Whole units, rounded up; 0 for what is absent or no quantity. */
export function unitsOf(text: string | undefined): number {
  const quantity = text === undefined ? undefined : parseQuantity(text);
  return quantity === undefined ? 0 : ceilDivide(quantity.nanos, nanosPerUnit);
}

/** What a runtime enforces; undefined where nothing is asked for. */
export function limitsOf({ limits = {}, requests = {} }: ResourceRequirements) {
  const memory = unitsOf(limits["memory"]);
  const cpu = millisOf(limits["cpu"]);
  const share = millisOf(requests["cpu"]);
  return {
    cpuRequestMillis: share > 0 ? share : undefined,
    memoryLimitBytes: memory > 0 ? memory : undefined,
    cpuLimitMillis: cpu > 0 ? cpu : undefined,
  };
}
