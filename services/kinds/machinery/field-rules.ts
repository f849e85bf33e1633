/** Checks of single fields that the validation of many kinds shares. */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { invalid, required, tooLong } from "./causes.ts";
import { equalJson } from "./json.ts";
import { checkSubdomain } from "./names.ts";

/** `Invalid value` for each problem that a check of `names.ts` has found with a value. */
export function wrong(field: string, value: unknown, problems: readonly string[]): FieldCause[] {
  return problems.map((problem) => invalid(field, value, problem));
}

/** The field has the value that it was created with (apimachinery `ValidateImmutableField`). */
export function unchanged(field: string, next: unknown, stored: unknown): FieldCause[] {
  return equalJson(next, stored) ? [] : [invalid(field, next, "field is immutable")];
}

const driverNameLengthMax = 63;

/** The name of a storage driver (core `ValidateCSIDriverName`). */
export function validateDriverName(name: string, field: string): FieldCause[] {
  const causes = name === "" ? [required(field)] : [];
  if (name.length > driverNameLengthMax) causes.push(tooLong(field, driverNameLengthMax));
  return [...causes, ...wrong(field, name, checkSubdomain(name.toLowerCase()))];
}

/** Absent is allowed (apimachinery `ValidateNonnegativeField`). */
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
