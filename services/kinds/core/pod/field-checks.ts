/** Checks that the validation of several parts of a pod shares. */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import { invalid, notSupported } from "../../machinery/causes.ts";

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

/** A path that stays below where it starts. */
export function relativePath(path: string, field: string): FieldCause[] {
  if (path.startsWith("/")) return [invalid(field, path, "must be a relative path")];
  if (path.split("/").includes("..")) return [invalid(field, path, "must not contain '..'")];
  return [];
}
