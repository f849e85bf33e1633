/** Helpers for fields that hold a number or a string such as "25%" (apimachinery `intstr`). */

/** True for a percentage as Kubernetes reads it: digits and a percent sign, e.g. "25%". */
export function isPercent(value: unknown): value is string {
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
