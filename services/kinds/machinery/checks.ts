/** Checks that many kinds share, in upstream's words. */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { invalid } from "./causes.ts";

/** Absent is allowed. */
export function notNegative(value: number | undefined, path: string): FieldCause[] {
  if (value === undefined || value >= 0) return [];
  return [invalid(path, value, "must be greater than or equal to 0")];
}

/** Whether a counter went down, where absent counts as 0; upstream's words for such a status. */
export function notDecremented(
  next: number | undefined,
  stored: number | undefined,
  path: string,
): FieldCause[] {
  if ((next ?? 0) >= (stored ?? 0)) return [];
  return [invalid(path, next ?? 0, "cannot be decremented")];
}

/** Every counter of a status is at least 0. */
export function countersNotNegative(
  status: object,
  names: readonly string[],
  path: string,
): FieldCause[] {
  const counters = new Map<string, unknown>(Object.entries(status));
  return names.flatMap((name) => {
    const value = counters.get(name);
    return typeof value === "number" ? notNegative(value, `${path}.${name}`) : [];
  });
}
