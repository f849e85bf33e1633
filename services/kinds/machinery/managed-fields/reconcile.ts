/** Fields whose type has become atomic since managers came to own parts of them. */
import type { FieldType } from "../field-type.ts";
import {
  emptySet,
  type FieldSet,
  type GrowingSet,
  hasChildren,
  isMember,
  self,
} from "./field-set.ts";

/**
 * The set with whole fields in place of parts of what is atomic now. A field that was atomic and is
 * so no more needs nothing: its owner goes on owning the field itself.
 */
export function reconciled(type: FieldType, set: FieldSet): FieldSet {
  let result: GrowingSet | undefined;
  for (const element in set) {
    const node = set[element];
    if (element === self || node === undefined || !hasChildren(node)) continue;
    const below = typeBelow(type, element);
    if (below === undefined) continue;
    const next = below.kind === "leaf" ? emptySet : reconciled(below, node);
    if (next === node) continue;
    result ??= { ...set };
    result[element] = isMember(node) && hasChildren(next) ? { ...next, [self]: emptySet } : next;
  }
  return result ?? set;
}

function typeBelow(type: FieldType, element: string): FieldType | undefined {
  if (type.kind === "list-map") return type.element;
  if (!element.startsWith("f:")) return undefined;
  if (type.kind === "struct") return type.field(element.slice(2));
  return type.kind === "map" ? type.element : undefined;
}
