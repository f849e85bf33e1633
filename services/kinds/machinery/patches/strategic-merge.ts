/**
 * Strategic merge patch: a merge patch that knows lists. Lists with a merge key in the contract
 * merge element by element, sets unite, others are replaced (apimachinery `strategicpatch`).
 *
 * Directives in a patch: `$patch: replace | delete | merge` in a map or list element,
 * `$retainKeys: [...]`, `$deleteFromPrimitiveList/<field>: [...]`,
 * `$setElementOrder/<field>: [...]`.
 */
import { copyJson, getField, isObject, type JsonObject, setField } from "../json.ts";
import { fieldSchema } from "../schema.ts";
import { badPatch } from "./errors.ts";
import { mergeSorted, orderBy } from "./list-order.ts";

const patchMarker = "$patch";
const retainMarker = "$retainKeys";
const deleteMarker = "$deleteFromPrimitiveList/";
const orderMarker = "$setElementOrder/";

/** How one field merges; everything absent: as plain JSON. */
interface Part {
  readonly message?: string | undefined;
  readonly mergeKey?: string | undefined;
  readonly set?: boolean | undefined;
  /** A map from string to messages: its own keys are no fields. */
  readonly map?: boolean | undefined;
}

export function applyStrategicMerge(
  message: string,
  document: JsonObject,
  patch: JsonObject,
): JsonObject {
  return mergeMap({ message }, copyJson(document), patch, "");
}

function partOf(parent: Part, field: string): Part {
  if (parent.map) return { message: parent.message };
  if (parent.message === undefined) return {};
  const schema = fieldSchema(parent.message, field);
  if (schema === undefined) return {};
  const { message, mergeKey, listSet, map } = schema;
  return { message, mergeKey, set: listSet, map };
}

/** Changes and returns `original`. */
function mergeMap(part: Part, original: JsonObject, patch: JsonObject, path: string): JsonObject {
  const directive = getField(patch, patchMarker);
  if (directive === "replace") return withoutDirectives(omit(patch, patchMarker)) as JsonObject;
  if (directive === "delete") return {};
  if (directive !== undefined && directive !== "merge") {
    throw badPatch(`${at(path)}: unknown $patch ${JSON.stringify(directive)}`);
  }
  retainKeys(original, patch, path);
  for (const name of Object.keys(patch)) {
    if (name === patchMarker || name === retainMarker || name.startsWith(orderMarker)) continue;
    if (name.startsWith(deleteMarker)) {
      deletePrimitives(original, patch, name, path);
      continue;
    }
    const where = path === "" ? name : `${path}.${name}`;
    mergeField(partOf(part, name), original, patch, name, where);
  }
  for (const name of Object.keys(patch)) {
    if (name.startsWith(orderMarker)) orderList(part, original, patch, name, path);
  }
  return original;
}

function mergeField(
  part: Part,
  original: JsonObject,
  patch: JsonObject,
  name: string,
  path: string,
): void {
  const value = patch[name];
  const before = getField(original, name);
  if (value === null) {
    delete original[name];
  } else if (isObject(value)) {
    const marked = getField(value, patchMarker) === "delete";
    if (marked) delete original[name];
    else setField(original, name, mergeMap(part, isObject(before) ? before : {}, value, path));
  } else if (Array.isArray(value)) {
    const order = getField(patch, `${orderMarker}${name}`);
    if (Array.isArray(order)) checkOrder(part, value, order, path);
    setField(original, name, mergeList(part, Array.isArray(before) ? before : [], value, path));
  } else {
    setField(original, name, value);
  }
}

function mergeList(
  part: Part,
  original: readonly unknown[],
  patch: readonly unknown[],
  path: string,
): unknown[] {
  if (part.mergeKey !== undefined) return mergeKeyed(part, part.mergeKey, original, patch, path);
  if (!part.set) return patch.filter((each) => !isMarker(each)).map(withoutDirectives);
  if (patch.some((each) => typeof each === "object")) {
    throw badPatch(`${at(path)}: elements must be scalars`);
  }
  return arrange([...new Set([...original, ...patch])], patch, original, (each) => each);
}

function isMarker(element: unknown): boolean {
  return isObject(element) && getField(element, patchMarker) !== undefined;
}

function mergeKeyed(
  part: Part,
  mergeKey: string,
  original: readonly unknown[],
  patch: readonly unknown[],
  path: string,
): unknown[] {
  const elements = patch.map((element, index) => readElement(element, `${path}[${index}]`));
  const replaces = elements.some((element) => getField(element, patchMarker) === "replace");
  const keyOf = keyReader(mergeKey);
  const merged: unknown[] = replaces ? [] : [...original];
  const places = new Map<unknown, number>();
  merged.forEach((each, index) => {
    if (!places.has(keyOf(each))) places.set(keyOf(each), index);
  });
  const deleted = new Set<unknown>();
  const patched: unknown[] = [];
  elements.forEach((element, index) => {
    const directive = getField(element, patchMarker);
    if (directive === "replace") {
      // Alone it clears the list; with fields it is an element of the new one as well.
      if (Object.keys(element).length === 1) return;
      element = omit(element, patchMarker);
    }
    const where = `${path}[${index}]`;
    const key = getField(element, mergeKey);
    if (key === undefined || key === null) {
      throw badPatch(`${where}: does not contain the declared merge key: ${mergeKey}`);
    }
    if (directive === "delete") {
      deleted.add(key);
      places.delete(key);
      return;
    }
    patched.push(element);
    const found = places.get(key);
    const before = found === undefined ? undefined : merged[found];
    const target = isObject(before) ? before : {};
    const next = mergeMap({ message: part.message }, target, element, where);
    if (found !== undefined) merged[found] = next;
    else places.set(key, merged.push(next) - 1);
  });
  const kept = merged.filter((each, index) => {
    const key = keyOf(each);
    return !deleted.has(key) || places.get(key) === index;
  });
  return arrange(kept, patched, original, keyOf);
}

const elementDirectives: ReadonlySet<unknown> = new Set(["replace", "delete", "merge"]);

function readElement(element: unknown, path: string): JsonObject {
  if (!isObject(element)) throw badPatch(`${path}: must be an object`);
  const directive = getField(element, patchMarker);
  if (directive === undefined || elementDirectives.has(directive)) return element;
  throw badPatch(`${path}: unknown $patch ${JSON.stringify(directive)}`);
}

function keyReader(mergeKey: string): (element: unknown) => unknown {
  return (element) => (isObject(element) ? getField(element, mergeKey) : element);
}

/** Patched elements in the patch's order, the others woven in by where they stood before. */
function arrange(
  merged: readonly unknown[],
  order: readonly unknown[],
  original: readonly unknown[],
  keyOf: (element: unknown) => unknown,
): unknown[] {
  const ordered = new Set(order.map(keyOf));
  const named = merged.filter((each) => ordered.has(keyOf(each)));
  const others = merged.filter((each) => !ordered.has(keyOf(each)));
  return mergeSorted(others, orderBy(named, order, keyOf), original, keyOf);
}

function orderList(
  part: Part,
  original: JsonObject,
  patch: JsonObject,
  marker: string,
  path: string,
): void {
  const name = marker.slice(orderMarker.length);
  const order = patch[marker];
  const where = path === "" ? marker : `${path}.${marker}`;
  if (!Array.isArray(order)) throw badPatch(`${where}: must be a list`);
  const { mergeKey, set } = partOf(part, name);
  if (mergeKey === undefined && !set) throw badPatch(`${where}: ${name} does not merge`);
  const list = getField(original, name);
  if (!Array.isArray(list)) return;
  const keyOf = mergeKey === undefined ? (each: unknown) => each : keyReader(mergeKey);
  setField(original, name, arrange(list, order, list, keyOf));
}

/** The patch's own elements must stand in the order that it declares. */
function checkOrder(
  part: Part,
  list: readonly unknown[],
  order: readonly unknown[],
  path: string,
): void {
  const keyOf = part.mergeKey === undefined ? (each: unknown) => each : keyReader(part.mergeKey);
  const places = new Map(order.map((each, index) => [keyOf(each), index]));
  let last = -1;
  for (const element of list) {
    if (isMarker(element)) continue;
    const place = places.get(keyOf(element));
    if (place === undefined || place < last) {
      throw badPatch(`${at(path)}: the order in the patch doesn't match its $setElementOrder list`);
    }
    last = place;
  }
}

function deletePrimitives(
  original: JsonObject,
  patch: JsonObject,
  marker: string,
  path: string,
): void {
  const name = marker.slice(deleteMarker.length);
  const doomed = patch[marker];
  const where = path === "" ? marker : `${path}.${marker}`;
  if (!Array.isArray(doomed)) throw badPatch(`${where}: must be a list`);
  const list = getField(original, name);
  if (!Array.isArray(list)) return;
  const gone = new Set<unknown>(doomed);
  setField(
    original,
    name,
    list.filter((each) => !gone.has(each)),
  );
}

function retainKeys(original: JsonObject, patch: JsonObject, path: string): void {
  const retained = getField(patch, retainMarker);
  if (retained === undefined) return;
  if (!Array.isArray(retained)) throw badPatch(`${at(path)}: $retainKeys must be a list`);
  const keys = new Set<unknown>(retained);
  for (const name of Object.keys(patch)) {
    if (name.startsWith("$") || patch[name] === null || keys.has(name)) continue;
    throw badPatch(`${at(path)}: ${name} is patched but not in $retainKeys`);
  }
  for (const name of Object.keys(original)) if (!keys.has(name)) delete original[name];
}

function omit(value: JsonObject, name: string): JsonObject {
  const rest: JsonObject = {};
  for (const each of Object.keys(value)) if (each !== name) setField(rest, each, value[each]);
  return rest;
}

/** What replaces wholesale: nulls delete nothing there, and directives mean nothing. */
function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) return value.filter((each) => !isMarker(each)).map(withoutDirectives);
  if (!isObject(value)) return value;
  const result: JsonObject = {};
  for (const name of Object.keys(value)) {
    const isDirective =
      name === patchMarker ||
      name === retainMarker ||
      name.startsWith(orderMarker) ||
      name.startsWith(deleteMarker);
    if (isDirective || value[name] === null) continue;
    setField(result, name, withoutDirectives(value[name]));
  }
  return result;
}

function at(path: string): string {
  return path === "" ? "patch" : path;
}
