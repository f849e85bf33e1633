/** What ConfigMap and Secret share: keyed data of bounded size. */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { forbidden, invalid, tooLong } from "../machinery/causes.ts";
import { equalJson, setField } from "../machinery/json.ts";
import { limits } from "../machinery/limits.ts";
import { checkConfigKey } from "../machinery/names.ts";
import type { Document } from "../machinery/resource.ts";

export type Data = Readonly<Record<string, string>>;

const lineEnds = /[\r\n]/g;

export function validateKeys(data: Data, field: string): FieldCause[] {
  return Object.keys(data).flatMap((key) =>
    checkConfigKey(key).map((problem) => invalid(`${field}[${key}]`, key, problem)),
  );
}

/** Removes line ends from base64, which a YAML block brings along and every decoder passes over. */
export function joinBase64<Name extends string>(
  holder: { [name in Name]?: Record<string, string> | undefined },
  name: Name,
): void {
  const data = holder[name];
  for (const [key, value] of Object.entries(data ?? {})) {
    if (data !== undefined && lineEnds.test(value))
      setField(data, key, value.replace(lineEnds, ""));
    lineEnds.lastIndex = 0;
  }
}

/** All values together, in the bytes they stand for. */
export function validateSize(plain: Data, encoded: Data, field: string): FieldCause[] {
  let size = 0;
  for (const value of Object.values(plain)) size += Buffer.byteLength(value);
  for (const value of Object.values(encoded)) size += Buffer.byteLength(value, "base64");
  return size > limits.dataBytes ? [tooLong(field, limits.dataBytes)] : [];
}

/** Once `immutable` is set, it stays, and so does the data. */
export function validateImmutable(
  next: Document,
  stored: Document,
  fields: readonly string[],
): FieldCause[] {
  if (stored.immutable !== true) return [];
  const detail = "field is immutable when `immutable` is set";
  const causes = next.immutable === true ? [] : [forbidden("immutable", detail)];
  for (const field of fields) {
    if (!equalJson(next[field] ?? {}, stored[field] ?? {})) causes.push(forbidden(field, detail));
  }
  return causes;
}
