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

/** The field is there: for values of which `false` and 0 say something. */
export function present(field: string, value: unknown): FieldCause[] {
  return value === undefined ? [required(field)] : [];
}

const driverNameLengthMax = 63;

/** The name of a storage driver (core `ValidateCSIDriverName`). */
export function validateDriverName(name: string, field: string): FieldCause[] {
  const causes = name === "" ? [required(field)] : [];
  if (name.length > driverNameLengthMax) causes.push(tooLong(field, driverNameLengthMax));
  return [...causes, ...wrong(field, name, checkSubdomain(name.toLowerCase()))];
}
