/** Laying a configuration over a document, and taking fields out of one, by their types. */
import type { FieldType } from "../field-type.ts";
import { getField, isObject, type JsonObject, setField } from "../json.ts";
import { entryType, itemType, listOf, viewOf } from "./compare.ts";
import {
  childOf,
  emptySet,
  type FieldSet,
  type GrowingSet,
  hasChildren,
  isMember,
  self,
} from "./field-set.ts";
import { fieldElement, itemElement } from "./path-element.ts";

type ListType = Extract<FieldType, { kind: "set" | "list-map" }>;

/**
 * The document with the configuration laid over it: what the configuration says wins, entries and
 * elements it does not mention stay. Shares parts with both. `plain`: documents of the kind hold no
 * nulls, so that null where there is nothing changes nothing. Throws MisfitError.
 */
export function merge(
  type: FieldType,
  live: unknown,
  applied: unknown,
  plain: boolean = false,
): unknown {
  if (applied === undefined) return live;
  if (live === undefined) return applied;
  const view = viewOf(type, applied ?? live);
  if (view.as === "entries") return mergeEntries(view.type, live, applied, plain);
  if (view.as === "items") {
    const [left, right] = [listOf(live), listOf(applied)];
    if (left.length === 0 && right.length === 0) return applied;
    return mergeItems(view.type, left, right, plain);
  }
  return applied;
}

function mergeEntries(
  type: Parameters<typeof entryType>[0],
  live: unknown,
  applied: unknown,
  plain: boolean,
): unknown {
  const left = isObject(live) ? live : {};
  const right = isObject(applied) ? applied : {};
  if (Object.keys(left).length === 0 && Object.keys(right).length === 0) return applied;
  const result: JsonObject = {};
  for (const name of Object.keys(left)) {
    const next = getField(right, name);
    const value =
      next === undefined ? left[name] : merge(entryType(type, name), left[name], next, plain);
    setField(result, name, value);
  }
  for (const name of Object.keys(right)) {
    if (Object.hasOwn(left, name) || (plain && right[name] === null)) continue;
    setField(result, name, right[name]);
  }
  return result;
}

/**
 * Both lists keep their own order; elements of both stand in the order of the configuration, and
 * elements of the document alone stay behind the ones they followed.
 */
function mergeItems(
  type: ListType,
  live: readonly unknown[],
  applied: readonly unknown[],
  plain: boolean,
) {
  const lives = live.map((item) => itemElement(type, item));
  const wanted = applied.map((item) => itemElement(type, item));
  const liveBy = new Map<string, unknown>();
  // An element that stands there twice has no single value to merge with.
  lives.forEach((element, at) => {
    liveBy.set(element, liveBy.has(element) ? undefined : live[at]);
  });
  const appliedBy = new Map(wanted.map((element, at) => [element, applied[at]]));
  const shared = wanted.filter((element) => liveBy.has(element));
  const below = itemType(type);
  const result: unknown[] = [];
  const done = new Set<string>();
  let [left, right, next] = [0, 0, 0];
  while (left < lives.length || right < wanted.length) {
    const [present, want] = [lives[left], wanted[right]];
    if (present !== undefined && want !== undefined) {
      if (present === want) {
        result.push(merge(below, liveBy.get(present), appliedBy.get(want), plain));
        done.add(present);
        left += 1;
        right += 1;
        next += 1;
        continue;
      }
      const awaited = shared[next];
      if (appliedBy.has(present) && awaited !== undefined && awaited !== present) {
        left += 1;
        continue;
      }
    }
    if (present !== undefined) {
      if (!appliedBy.has(present)) {
        result.push(live[left]);
        left += 1;
        continue;
      }
      if (done.has(present)) left += 1;
    }
    if (want !== undefined) {
      result.push(merge(below, liveBy.get(want), appliedBy.get(want), plain));
      done.add(want);
      right += 1;
      if (shared[next] === want) next += 1;
    }
  }
  return result;
}

/**
 * The value without the members of `taken` and all below them. What is no member but loses all it
 * had becomes null: its owner goes on owning it. An object that `applied` has too, and so as an
 * empty one, stays as an empty one.
 */
export function withoutFields(
  type: FieldType,
  value: unknown,
  taken: FieldSet,
  applied?: unknown,
): unknown {
  const view = viewOf(type, value);
  if (view.as === "items") {
    const left: unknown[] = [];
    for (const item of listOf(value)) {
      const element = itemElement(view.type, item);
      const node = childOf(taken, element);
      if (node === undefined) left.push(item);
      if (node === undefined || isMember(node)) continue;
      const named = listOf(applied).find((each) => itemElement(view.type, each) === element);
      const kept = withoutFields(itemType(view.type), item, node, named);
      // Without its keys it would be no element any more.
      if (kept !== null) left.push(kept);
    }
    return left.length === 0 ? null : left;
  }
  if (view.as !== "entries" || !isObject(value)) return value;
  const left: JsonObject = {};
  let any = false;
  for (const name of Object.keys(value)) {
    const node = childOf(taken, fieldElement(name));
    if (node !== undefined && isMember(node)) continue;
    const part = value[name];
    any = true;
    if (node === undefined) setField(left, name, part);
    else {
      const named = isObject(applied) ? getField(applied, name) : undefined;
      setField(left, name, withoutFields(entryType(view.type, name), part, node, named));
    }
  }
  return any || isObject(applied) ? left : null;
}

/** With the named fields on the way to every member as members too: they go when all below goes. */
export function withNamedFields(type: FieldType, set: FieldSet): FieldSet {
  const result: GrowingSet = {};
  for (const element in set) {
    const node = set[element];
    if (element === self || node === undefined) continue;
    if (!hasChildren(node)) {
      result[element] = node as GrowingSet;
      continue;
    }
    const below = belowElement(type, element);
    const inner: GrowingSet = { ...withNamedFields(below ?? { kind: "leaf" }, node) };
    const named = type.kind === "struct" && element.startsWith("f:") && below !== undefined;
    if (named || isMember(node)) inner[self] = emptySet;
    result[element] = inner;
  }
  return result;
}

/** Undefined: the type knows no such field or element. */
function belowElement(type: FieldType, element: string): FieldType | undefined {
  if (type.kind === "list-map") return element.startsWith("k:") ? type.element : undefined;
  if (!element.startsWith("f:")) return undefined;
  if (type.kind === "struct") return type.field(element.slice(2));
  if (type.kind === "map") return type.element;
  return type.kind === "untyped" ? type : undefined;
}
