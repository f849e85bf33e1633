/** JSON merge patch (RFC 7386 §2): objects merge, null deletes, anything else replaces. */
import { copyJson, getField, isObject, type JsonObject, setField } from "../json.ts";

export function applyMergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return copyJson(patch);
  const result: JsonObject = isObject(target) ? copyJson(target) : {};
  for (const name of Object.keys(patch)) {
    const value = patch[name];
    if (value === null) delete result[name];
    else setField(result, name, applyMergePatch(getField(result, name), value));
  }
  return result;
}
