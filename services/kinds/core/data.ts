/** What ConfigMap and Secret share: keyed data of bounded size. */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { forbidden, invalid, tooLong } from "../machinery/causes.ts";
import { equalJson, setField } from "../machinery/json.ts";
import { limits } from "../machinery/limits.ts";
import { checkConfigKey } from "../machinery/names.ts";
import type { Document } from "../machinery/resource.ts";

export type Data = Readonly<Record<string, string>>;

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const lineEnds = /[\r\n]/g;

export function validateKeys(data: Data, field: string): FieldCause[] {
  return Object.keys(data).flatMap((key) =>
    checkConfigKey(key).map((problem) => invalid(`${field}[${key}]`, key, problem)),
  );
}

export function validateBase64(data: Data, field: string): FieldCause[] {
  return Object.entries(data).flatMap(([key, value]) =>
    checkBase64(value).map((problem) => invalid(`${field}[${key}]`, "", problem)),
  );
}

/** What is wrong with a text that should be base64; nothing: valid. */
export function checkBase64(text: string): string[] {
  return base64.test(text) ? [] : [`illegal base64 data at input byte ${faultOffset(text)}`];
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

/** Where Go's decoder would stop in a text that is no base64 (`base64.CorruptInputError`). */
function faultOffset(text: string): number {
  const strange = text.search(/[^A-Za-z0-9+/]/);
  // Whole groups of four are fine, so the fault is the group that was begun.
  if (strange < 0) return text.length - (text.length % 4);
  if (text[strange] !== "=" || strange % 4 < 2) return strange;
  if (strange % 4 === 3) return strange + 1;
  const second = strange + 1;
  if (second >= text.length) return text.length;
  return text[second] === "=" ? second + 1 : strange;
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
