/**
 * Faults that an object had before, in parts that an update leaves as they are, are no reason to
 * refuse the update (KEP-4008, "validation ratcheting").
 */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import { canonicalJson, equalJson, isObject } from "../json.ts";
import { childOf, mapKeyOf, type SchemaNode } from "./node.ts";

/** The causes about values that the update changes. */
export function withoutUnchanged(
  node: SchemaNode,
  causes: readonly FieldCause[],
  next: unknown,
  stored: unknown,
): FieldCause[] {
  if (causes.length === 0) return [];
  return causes.filter(({ field, reason, message }) => {
    const path = field === "<nil>" ? wholePath(message) : field;
    // What is missing is missing in the object around it.
    const about = reason === "FieldValueRequired" ? parentOf(path) : path;
    const found = valuesAt(node, pathParts(about), next, stored);
    return found === undefined || !equalJson(found.next, found.stored);
  });
}

function wholePath(message: string): string {
  return /^Invalid value: "": "([^"]*)" /.exec(message)?.[1] ?? "";
}

function parentOf(path: string): string {
  const parts = pathParts(path);
  return parts
    .slice(0, -1)
    .map((part, index) =>
      typeof part === "number" ? `[${part}]` : index === 0 ? part : `.${part}`,
    )
    .join("");
}

/** Of a path such as `spec.parts[2].name`; keys with dots in them are not told apart. */
function pathParts(path: string): (string | number)[] {
  const parts: (string | number)[] = [];
  for (const match of path.matchAll(/\[(\d+)\]|[^.[\]]+/g)) {
    parts.push(match[1] === undefined ? match[0] : Number(match[1]));
  }
  return parts;
}

/** The value there, and the one that it replaces; undefined: it replaces none. */
function valuesAt(
  root: SchemaNode,
  parts: readonly (string | number)[],
  next: unknown,
  stored: unknown,
): { readonly next: unknown; readonly stored: unknown } | undefined {
  let node: SchemaNode | true | undefined = root;
  let pair = { next, stored };
  for (const part of parts) {
    const present =
      typeof part === "number" ? elementPair(node, part, pair) : fieldPair(part, pair);
    if (present === undefined) return undefined;
    if (node !== true && node !== undefined) {
      node = typeof part === "number" ? node.items : childOf(node, part);
    }
    pair = present;
  }
  return pair;
}

type Pair = { readonly next: unknown; readonly stored: unknown };

function fieldPair(name: string, { next, stored }: Pair): Pair | undefined {
  if (!isObject(next) || !isObject(stored)) return undefined;
  if (!Object.hasOwn(next, name) || !Object.hasOwn(stored, name)) return undefined;
  return { next: next[name], stored: stored[name] };
}

/** Elements of lists of type map belong together by their keys; other lists are one value. */
function elementPair(
  node: SchemaNode | true | undefined,
  index: number,
  { next, stored }: Pair,
): Pair | undefined {
  if (!Array.isArray(next) || !Array.isArray(stored)) return undefined;
  const element: unknown = next[index];
  if (node === true || node === undefined || node.listType !== "map") {
    return equalJson(next, stored) ? { next: element, stored: stored[index] } : undefined;
  }
  if (!isObject(element)) return undefined;
  const key = canonicalJson(mapKeyOf(node, element));
  const before = stored.find(
    (each: unknown) => isObject(each) && canonicalJson(mapKeyOf(node, each)) === key,
  );
  return before === undefined ? undefined : { next: element, stored: before };
}
