/** What changed between two documents, and what a document says, as sets of fields. */
import type { FieldType } from "../field-type.ts";
import { equalJson, getField, isObject, type JsonObject } from "../json.ts";
import { emptySet, type FieldSet, type GrowingSet, insert, isEmpty, self } from "./field-set.ts";
import { fieldElement, itemElement } from "./path-element.ts";

const untyped: FieldType = { kind: "untyped" };

type MapType = Extract<FieldType, { kind: "struct" | "map" | "untyped" }>;
type ListType = Extract<FieldType, { kind: "set" | "list-map" }>;

interface Entry {
  /** The same text each time, which costs least as the name of a property. */
  readonly element: string;
  readonly type: FieldType;
}

const entries = new WeakMap<FieldType, Map<string, Entry>>();

/** An entry of an object; what a type does not know is untyped. */
function entryOf(type: MapType, name: string): Entry {
  if (type.kind === "map") return { element: fieldElement(name), type: type.element };
  if (type.kind === "untyped") return { element: fieldElement(name), type };
  let known = entries.get(type);
  if (known === undefined) {
    known = new Map();
    entries.set(type, known);
  }
  let entry = known.get(name);
  if (entry === undefined) {
    const below = type.field(name);
    entry = { element: fieldElement(name), type: below ?? untyped };
    // Names that the type does not know come from outside, any number of them.
    if (below !== undefined) known.set(name, entry);
  }
  return entry;
}

export function entryType(type: MapType, name: string): FieldType {
  return entryOf(type, name).type;
}

const scalar: FieldType = { kind: "leaf" };

export function itemType(type: ListType): FieldType {
  return type.kind === "set" ? scalar : type.element;
}

/** How a value is seen: as an object of entries, a list of items, or one whole. */
export type View =
  | { readonly as: "entries"; readonly type: MapType }
  | { readonly as: "items"; readonly type: ListType }
  | { readonly as: "whole" };

const whole: View = { as: "whole" };
const views = new WeakMap<FieldType, View>();

export function viewOf(type: FieldType, value: unknown): View {
  if (type.kind === "untyped") {
    return isObject(value) ? { as: "entries", type } : whole;
  }
  let view = views.get(type);
  if (view === undefined) {
    if (type.kind === "leaf") view = whole;
    else if (type.kind === "set" || type.kind === "list-map") view = { as: "items", type };
    else view = { as: "entries", type };
    views.set(type, view);
  }
  return view;
}

export interface Comparison {
  readonly added: FieldSet;
  readonly modified: FieldSet;
  readonly removed: FieldSet;
}

/** Throws MisfitError for a list whose elements cannot be told apart. */
export function compare(type: FieldType, before: unknown, after: unknown): Comparison {
  const comparer = new Comparer();
  comparer.value(type, before, after);
  return comparer;
}

class Comparer implements Comparison {
  readonly added: GrowingSet = {};
  readonly modified: GrowingSet = {};
  readonly removed: GrowingSet = {};
  readonly #path: string[] = [];

  /** Both are there. Null counts as an object or list without entries. */
  value(type: FieldType, before: unknown, after: unknown): void {
    if (before === after) return;
    const [left, right] = [viewOf(type, before ?? after), viewOf(type, after ?? before)];
    if (left.as !== right.as) this.#reshaped(type, left, before, right, after);
    else if (right.as === "entries") this.#entries(right.type, before, after);
    else if (right.as === "items") this.#items(right.type, before, after);
    else if (!equalJson(before, after)) insert(this.modified, this.#path);
  }

  /** Only untyped values become something of another kind. */
  #reshaped(type: FieldType, left: View, before: unknown, right: View, after: unknown): void {
    insert(this.modified, this.#path);
    if (left.as === "entries") this.#below(this.removed, type, before);
    if (right.as === "entries") this.#below(this.added, type, after);
  }

  #below(set: GrowingSet, type: FieldType, value: unknown): void {
    if (!isObject(value)) return;
    for (const name of Object.keys(value)) {
      const entry = entryOf(type as MapType, name);
      this.#at(entry.element, () => insert(set, this.#path, everyField(entry.type, value[name])));
    }
  }

  #entries(type: MapType, before: unknown, after: unknown): void {
    const left = isObject(before) ? before : {};
    const right = isObject(after) ? after : {};
    let empty = true;
    for (const name of Object.keys(left)) {
      const value = left[name];
      if (value === undefined) continue;
      empty = false;
      const next = getField(right, name);
      if (next === value) continue;
      const entry = entryOf(type, name);
      this.#path.push(entry.element);
      if (next !== undefined) this.value(entry.type, value, next);
      else insert(this.removed, this.#path, everyField(entry.type, value));
      this.#path.pop();
    }
    for (const name of Object.keys(right)) {
      const value = right[name];
      if (value === undefined) continue;
      empty = false;
      if (getField(left, name) !== undefined) continue;
      const entry = entryOf(type, name);
      this.#path.push(entry.element);
      insert(this.added, this.#path, everyField(entry.type, value));
      this.#path.pop();
    }
    if (empty && !equalJson(before, after)) insert(this.modified, this.#path);
  }

  #items(type: ListType, before: unknown, after: unknown): void {
    const left = listOf(before);
    const right = listOf(after);
    if (left.length === 0 && right.length === 0) {
      if (!equalJson(before, after)) insert(this.modified, this.#path);
      return;
    }
    if (equalJson(left, right)) return;
    const [lefts, rights] = [byElement(type, left), byElement(type, right)];
    for (const [element, items] of lefts) {
      this.#at(element, () => this.#item(type, items, rights.get(element) ?? []));
    }
    for (const [element, items] of rights) {
      if (!lefts.has(element)) this.#at(element, () => this.#item(type, [], items));
    }
  }

  /** Elements that cannot be told apart are held as one, without their fields. */
  #item(type: ListType, left: readonly unknown[], right: readonly unknown[]): void {
    const below = itemType(type);
    const [first] = left;
    const [next] = right;
    if (left.length > 1 && right.length > 1) {
      if (!equalJson(left, right)) insert(this.modified, this.#path);
    } else if (left.length > 1) {
      if (right.length > 0) insert(this.added, this.#path, everyField(below, next));
      insert(this.removed, this.#path);
    } else if (right.length > 1) {
      if (left.length > 0) insert(this.removed, this.#path, everyField(below, first));
      insert(this.added, this.#path);
    } else if (left.length === 0) insert(this.added, this.#path, everyField(below, next));
    else if (right.length === 0) insert(this.removed, this.#path, everyField(below, first));
    else this.value(below, first, next);
  }

  #at(element: string, visit: () => void): void {
    this.#path.push(element);
    visit();
    this.#path.pop();
  }
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Throws MisfitError. */
function byElement(type: ListType, list: readonly unknown[]): Map<string, unknown[]> {
  const found = new Map<string, unknown[]>();
  for (const item of list) {
    const element = itemElement(type, item);
    const same = found.get(element);
    if (same === undefined) found.set(element, [item]);
    else same.push(item);
  }
  return found;
}

/** A value that is there now and was not before, or the other way round: it and all below it. */
function everyField(type: FieldType, value: unknown): FieldSet {
  const view = viewOf(type, value);
  if (view.as === "whole") return emptySet;
  const set: GrowingSet = { [self]: emptySet };
  let empty = true;
  if (view.as === "entries") {
    if (!isObject(value)) return emptySet;
    for (const name of Object.keys(value)) {
      const part = value[name];
      if (part === undefined) continue;
      const entry = entryOf(view.type, name);
      set[entry.element] = everyField(entry.type, part);
      empty = false;
    }
  } else {
    const below = itemType(view.type);
    for (const item of listOf(value)) {
      const element = itemElement(view.type, item);
      set[element] = Object.hasOwn(set, element) ? emptySet : everyField(below, item);
      empty = false;
    }
  }
  return empty ? emptySet : set;
}

/**
 * The fields that a configuration claims: scalars and whatever is atomic, entries of maps and
 * elements of lists, and objects without entries; the named objects around them are not claimed.
 */
export function claimedFields(type: FieldType, value: unknown): FieldSet {
  return claimedBelow(type, value);
}

function claimedBelow(type: FieldType, value: unknown): GrowingSet {
  const set: GrowingSet = {};
  const view = viewOf(type, value);
  if (view.as === "entries" && isObject(value)) {
    for (const name of Object.keys(value)) claimEntry(view.type, value, name, set);
  } else if (view.as === "items") {
    for (const item of listOf(value)) {
      const node = claimedBelow(itemType(view.type), item);
      if (!isEmpty(node)) node[self] = emptySet;
      insert(set, [itemElement(view.type, item)], node);
    }
  }
  return set;
}

function claimEntry(type: MapType, value: JsonObject, name: string, set: GrowingSet): void {
  const part = value[name];
  if (part === undefined) return;
  const { element, type: below } = entryOf(type, name);
  const node = claimedBelow(below, part);
  const named = type.kind === "struct" && type.field(name) !== undefined;
  const view = viewOf(below, part);
  const bare = part === null || (isObject(part) && Object.keys(part).length === 0);
  if (isEmpty(node)) {
    // A named field with nothing claimed below it, e.g. an empty list of a map type, claims nothing.
    if (view.as === "whole" || bare || !named) set[element] = emptySet;
    return;
  }
  if (!named) node[self] = emptySet;
  set[element] = node;
}
