/** Checks that the validation of several parts of a pod shares. */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import { invalid, notSupported, notSupportedInOrder, required } from "../../machinery/causes.ts";

export const imagePullPolicies = ["Always", "IfNotPresent", "Never"];

/** Absent is allowed. */
export function oneOf(
  value: string | undefined,
  supported: readonly string[],
  path: string,
): FieldCause[] {
  if (value === undefined || supported.includes(value)) return [];
  return [notSupported(path, value, supported)];
}

/** As {@link oneOf}; a refusal lists the values in the order given. */
export function among(
  value: string | undefined,
  supported: readonly string[],
  path: string,
): FieldCause[] {
  if (value === undefined || supported.includes(value)) return [];
  return [notSupportedInOrder(path, value, supported)];
}

/** As {@link among}; the value must be there. */
export function requiredAmong(
  value: string | undefined,
  supported: readonly string[],
  path: string,
): FieldCause[] {
  return value ? among(value, supported, path) : [required(path)];
}

/** A path that stays below where it starts. */
export function relativePath(path: string, field: string): FieldCause[] {
  const causes = path.startsWith("/") ? [invalid(field, path, "must be a relative path")] : [];
  return [...causes, ...withoutBacksteps(path, field)];
}

export function withoutBacksteps(path: string, field: string): FieldCause[] {
  if (!path.split("/").includes("..")) return [];
  return [invalid(field, path, "must not contain '..'")];
}

/** A relative path of a file that a volume is given, whose own files begin with "..". */
export function unreservedPath(path: string, field: string): FieldCause[] {
  const causes = relativePath(path, field);
  if (!path.startsWith("..") || path.startsWith("../")) return causes;
  return [...causes, invalid(field, path, "must not start with '..'")];
}

export function fileMode(mode: number | undefined, path: string): FieldCause[] {
  if (mode === undefined || (mode >= 0 && mode <= 0o777)) return [];
  return [invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive")];
}
