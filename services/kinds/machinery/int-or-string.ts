/** Helpers for fields that hold a number or a string such as "25%" (apimachinery `intstr`). */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { invalid } from "./causes.ts";
import { notNegative } from "./field-rules.ts";

/** True for a percentage as Kubernetes reads it: digits and a percent sign, e.g. "25%". */
function isPercent(value: unknown): value is string {
  return typeof value === "string" && /^[0-9]+%$/.test(value);
}

/**
 * The number meant by `value`: itself, or its percentage of `total`, rounded as asked. Undefined
 * when it is neither a whole number nor a percentage.
 */
export function percentOf(value: unknown, total: number, roundUp: boolean): number | undefined {
  if (typeof value === "number") return Number.isInteger(value) ? value : undefined;
  if (!isPercent(value)) return undefined;
  const exact = (Number(value.slice(0, -1)) * total) / 100;
  return roundUp ? Math.ceil(exact) : Math.floor(exact);
}

/** A whole number or a string: what an int-or-string field may hold. */
export function isIntOrString(value: unknown): value is number | string {
  return typeof value === "string" || Number.isInteger(value);
}

/** A number from 0, or a percentage; absent is allowed (upstream `ValidatePositiveIntOrPercent`). */
export function validateAmount(amount: unknown, path: string): FieldCause[] {
  if (typeof amount === "number") return notNegative(amount, path);
  if (amount === undefined || isPercent(amount)) return [];
  const detail =
    "a valid percent string must be a numeric string followed by an ending '%' " +
    "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
  return [invalid(path, amount, detail)];
}

/** Upstream's `IsNotMoreThan100Percent`. */
export function validatePercentage(amount: unknown, path: string): FieldCause[] {
  if (!isPercent(amount) || Number(amount.slice(0, -1)) <= 100) return [];
  return [invalid(path, amount, "must not be greater than 100%")];
}

/** 0 or "0%"; what is no amount counts as 0, as upstream reads it. */
export function isZeroAmount(amount: unknown): boolean {
  if (typeof amount !== "string") return amount === 0;
  if (isPercent(amount)) return Number(amount.slice(0, -1)) === 0;
  return !/^[+-]?\d+$/.test(amount) || Number(amount) === 0;
}
