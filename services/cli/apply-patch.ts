/**
 * The patch by which `apply` brings a live object to its manifest: what the manifest says wins,
 * what an earlier manifest said and this one does not is removed, everything else stays.
 * (Kubernetes, "Declarative Management of Kubernetes Objects", how apply calculates differences.)
 */
import { messages } from "../../proto/gen/schema.ts";

export const lastAppliedAnnotation = "kubectl.kubernetes.io/last-applied-configuration";

type Json = unknown;
type JsonMap = { readonly [field: string]: Json };

function isMap(value: Json): value is JsonMap {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * A strategic merge patch; `message` is the full name of the object's message, or undefined where
 * nothing is known and lists are replaced whole. Undefined: nothing to change.
 */
export function threeWayPatch(
  message: string | undefined,
  previous: Json,
  next: JsonMap,
  live: Json,
): JsonMap | undefined {
  const patch: Record<string, Json> = {};
  const fields = message === undefined ? undefined : messages[message]?.fields;
  const before = isMap(previous) ? previous : {};
  const now = isMap(live) ? live : {};
  for (const [name, wanted] of Object.entries(next)) {
    if (wanted === undefined) continue;
    const field = fields?.[name];
    const inner = field?.type === "message" ? field.message : undefined;
    if (isMap(wanted)) {
      if (!isMap(now[name])) patch[name] = wanted;
      else {
        const nested = threeWayPatch(
          field?.map ? undefined : inner,
          before[name],
          wanted,
          now[name],
        );
        if (nested) patch[name] = nested;
      }
    } else if (Array.isArray(wanted) && field?.mergeKey !== undefined && inner !== undefined) {
      const nested = listPatch(inner, field.mergeKey, before[name], wanted, now[name]);
      if (nested.length > 0) patch[name] = nested;
    } else if (!same(wanted, now[name])) patch[name] = wanted;
  }
  for (const name of Object.keys(before)) {
    if (next[name] === undefined && now[name] !== undefined) patch[name] = null;
  }
  return Object.keys(patch).length > 0 ? patch : undefined;
}

function listPatch(
  message: string,
  key: string,
  previous: Json,
  next: readonly Json[],
  live: Json,
): Json[] {
  const patch: Json[] = [];
  const elements = (list: Json): JsonMap[] => (Array.isArray(list) ? list.filter(isMap) : []);
  const find = (list: Json, id: Json) => elements(list).find((element) => same(element[key], id));
  for (const wanted of elements(next)) {
    const id = wanted[key];
    const now = find(live, id);
    if (!now) patch.push(wanted);
    else {
      const nested = threeWayPatch(message, find(previous, id), wanted, now);
      if (nested) patch.push({ [key]: id, ...nested });
    }
  }
  for (const element of elements(previous)) {
    const id = element[key];
    if (!find(next, id) && find(live, id)) patch.push({ $patch: "delete", [key]: id });
  }
  return patch;
}

/** Deep equality of JSON values, whatever the order of fields. */
function same(left: Json, right: Json): boolean {
  if (left === right) return true;
  if (Array.isArray(left) && Array.isArray(right)) {
    return left.length === right.length && left.every((value, i) => same(value, right[i]));
  }
  if (!isMap(left) || !isMap(right)) return false;
  const names = Object.keys(left);
  return (
    names.length === Object.keys(right).length &&
    names.every((name) => same(left[name], right[name]))
  );
}
