/**
 * Sets of field paths in the very form in which `metadata.managedFields[].fieldsV1` carries them, so
 * that nothing is parsed or printed between the stored document and the algebra (upstream:
 * structured-merge-diff, `fieldpath.Set`).
 *
 * A set is an object from path elements (path-element.ts) to what lies below them. An element with
 * an empty object is a member itself; one with entries below is a member only when it has the entry
 * "." among them: `{"f:spec": {"f:replicas": {}, "f:selector": {".": {}, "f:app": {}}}}` has the
 * members spec.replicas, spec.selector and spec.selector.app, but not spec. Sets are never changed:
 * every function gives a new one, which shares what it can with the old.
 */
import { isObject } from "../json.ts";
import { compareElements, normalElement } from "./path-element.ts";

export interface FieldSet {
  readonly [element: string]: FieldSet;
}

export interface GrowingSet {
  [element: string]: GrowingSet;
}

/** Beside other entries: the path so far is a member itself. */
export const self = ".";

const nothing: FieldSet = Object.freeze({});
export const emptySet = nothing;

/** Whether the element that stands for this node is a member. */
export function isMember(node: FieldSet): boolean {
  return Object.hasOwn(node, self) || !hasChildren(node);
}

export function hasChildren(node: FieldSet): boolean {
  for (const element in node) if (element !== self) return true;
  return false;
}

/** Of a whole set, whose root is no member. */
export function isEmpty(set: FieldSet): boolean {
  return !hasChildren(set);
}

export function childOf(set: FieldSet, element: string): FieldSet | undefined {
  return Object.hasOwn(set, element) ? set[element] : undefined;
}

/** A node with these children; undefined: there is nothing to say. */
function nodeOf(member: boolean, children: GrowingSet): FieldSet | undefined {
  for (const _ in children) return member ? { [self]: nothing, ...children } : children;
  return member ? nothing : undefined;
}

export function union(one: FieldSet, other: FieldSet): FieldSet {
  if (one === other || isEmpty(other)) return one;
  if (isEmpty(one)) return other;
  return children(one, other);
}

function children(one: FieldSet, other: FieldSet): GrowingSet {
  const result: GrowingSet = { ...one };
  delete result[self];
  for (const element in other) {
    const added = other[element];
    if (element === self || added === undefined) continue;
    const present = childOf(one, element);
    result[element] = present === undefined || present === added ? added : merged(present, added);
  }
  return result;
}

function merged(one: FieldSet, other: FieldSet): FieldSet {
  return nodeOf(isMember(one) || isMember(other), children(one, other)) ?? nothing;
}

/** The members of `set` that are no members of `taken`; the very same set when that is all of them. */
export function difference(set: FieldSet, taken: FieldSet): FieldSet {
  return without(set, taken, false);
}

/** Like `difference`, but a member of `taken` takes everything below it along. */
export function recursiveDifference(set: FieldSet, taken: FieldSet): FieldSet {
  return without(set, taken, true);
}

function without(set: FieldSet, taken: FieldSet, recursive: boolean): FieldSet {
  let result: GrowingSet | undefined;
  for (const element in taken) {
    const present = childOf(set, element);
    const gone = taken[element];
    if (element === self || present === undefined || gone === undefined) continue;
    const left = recursive && isMember(gone) ? undefined : nodeWithout(present, gone, recursive);
    if (left === present) continue;
    result ??= { ...set };
    if (left === undefined) delete result[element];
    else result[element] = left;
  }
  return result ?? set;
}

function nodeWithout(node: FieldSet, taken: FieldSet, recursive: boolean): FieldSet | undefined {
  const left = without(node, taken, recursive);
  const member = isMember(node);
  if (member && isMember(taken)) {
    const { [self]: _, ...below } = left;
    return nodeOf(false, below);
  }
  if (left === node) return node;
  return member ? nodeOf(true, omitSelf(left)) : isEmpty(left) ? undefined : left;
}

function omitSelf(node: FieldSet): GrowingSet {
  const { [self]: _, ...below } = node;
  return below;
}

export function intersection(one: FieldSet, other: FieldSet): FieldSet {
  if (one === other) return one;
  const result: GrowingSet = {};
  for (const element in one) {
    const left = one[element];
    const right = childOf(other, element);
    if (element === self || left === undefined || right === undefined) continue;
    const member = isMember(left) && isMember(right);
    const node = nodeOf(member, intersection(omitSelf(left), omitSelf(right)));
    if (node !== undefined) result[element] = node;
  }
  return result;
}

export function equalSets(one: FieldSet, other: FieldSet): boolean {
  if (one === other) return true;
  let count = 0;
  for (const element in one) {
    if (element === self) continue;
    count += 1;
    const left = one[element];
    const right = childOf(other, element);
    if (left === undefined || right === undefined || isMember(left) !== isMember(right)) {
      return false;
    }
    if (!equalSets(left, right)) return false;
  }
  for (const element in other) if (element !== self) count -= 1;
  return count === 0;
}

/** The set with these members alone. */
export function setOf(...paths: readonly (readonly string[])[]): FieldSet {
  const set: GrowingSet = {};
  for (const path of paths) insert(set, path);
  return set;
}

/**
 * Adds what `node` says below the path; the path itself is a member if `node` says so. For sets in
 * the making: it changes the nodes on the path in place.
 */
export function insert(set: GrowingSet, path: readonly string[], node: FieldSet = nothing): void {
  const last = path.length - 1;
  let parent = set;
  for (let depth = 0; depth < last; depth++) {
    const element = path[depth] ?? "";
    let next = Object.hasOwn(parent, element) ? parent[element] : undefined;
    // An empty node is a member; it stays one when it gets something below.
    if (next === undefined) next = {};
    else if (!hasChildren(next)) next = { [self]: nothing };
    parent[element] = next;
    parent = next;
  }
  const element = path[last] ?? "";
  const present = childOf(parent, element);
  parent[element] = present === undefined ? node : merged(present, node);
}

/** Every member as a path, in the order of the serialised form. */
export function pathsOf(set: FieldSet): string[][] {
  const paths: string[][] = [];
  const visit = (node: FieldSet, above: readonly string[]): void => {
    for (const element of elementsOf(node)) {
      const child = node[element] ?? nothing;
      const path = [...above, element];
      if (isMember(child)) paths.push(path);
      visit(child, path);
    }
  };
  visit(set, []);
  return paths;
}

function elementsOf(node: FieldSet): string[] {
  const elements = Object.keys(node).filter((element) => element !== self);
  return elements.length < 2 ? elements : elements.sort(compareElements);
}

/** A copy with its elements in the order in which upstream writes them. */
export function sorted(set: FieldSet): FieldSet {
  const result: GrowingSet = {};
  if (Object.hasOwn(set, self)) result[self] = nothing;
  for (const element of elementsOf(set)) {
    const child = set[element] ?? nothing;
    result[element] = hasChildren(child) ? sorted(child) : nothing;
  }
  return result;
}

/**
 * Reads what a client sent as `fieldsV1`: elements in their one normal form, "." only where it says
 * something. Undefined: it is no set of fields.
 */
export function parseFieldSet(json: unknown): FieldSet | undefined {
  if (!isObject(json)) return undefined;
  const result: GrowingSet = {};
  for (const name of Object.keys(json)) {
    const child = json[name];
    if (name === self) continue;
    const element = normalElement(name);
    const below = parseFieldSet(child);
    if (element === undefined || below === undefined) return undefined;
    const member = isObject(child) && (Object.hasOwn(child, self) || !hasChildren(below));
    const node = nodeOf(member, below);
    if (node === undefined) continue;
    const present = Object.hasOwn(result, element) ? result[element] : undefined;
    result[element] = present === undefined ? node : merged(present, node);
  }
  return result;
}
