import type { FieldCause } from "../../../../ha/runtime/status-error.ts";

/** As upstream, with the values in the order in which they are given. */
export function unsupported(
  field: string,
  value: unknown,
  supported: readonly string[],
): FieldCause {
  const list = supported.map((each) => JSON.stringify(each)).join(", ");
  const message = `Unsupported value: ${JSON.stringify(value)}: supported values: ${list}`;
  return { reason: "FieldValueNotSupported", field, message };
}
