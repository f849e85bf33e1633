/** Whether a configuration fits the type of its resource, and in which form it is laid over. */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type { FieldType } from "../field-type.ts";
import { isObject, type JsonObject, setField } from "../json.ts";
import { apiVersionOf } from "../registry.ts";
import type { Document, Resource } from "../resource.ts";
import { entryType, itemType, listOf, viewOf } from "./compare.ts";
import { fieldElement, itemElement, MisfitError, pathText } from "./path-element.ts";
import { typeOf } from "./types.ts";

export interface AppliedCheck {
  /** Values of the wrong type. */
  readonly errors: readonly FieldCause[];
  /** In upstream's words: fields that are not in the type, elements that cannot be told apart. */
  readonly misfit: string | undefined;
  /** With its nulls, which claim a field without giving it a value. */
  readonly document: Document;
}

export function checkApplied(resource: Resource, applied: JsonObject): AppliedCheck {
  const { errors, unknown, document } = resource.schema.check(applied, "strict", {
    keepsZeros: true,
  });
  const problems = [
    ...unknown.map((text) => `${typedPath(resource, applied, text)}: field not declared in schema`),
    ...misfits(typeOf(resource), document),
  ];
  const [first] = problems;
  const texts = problems.length === 1 ? first : `errors:\n  ${problems.join("\n  ")}`;
  const misfit =
    first === undefined
      ? undefined
      : `failed to create typed patch object (${addressOf(resource, applied)}): ${texts}`;
  return { errors, misfit, document: withNulls(document, applied) as Document };
}

function addressOf(resource: Resource, applied: JsonObject): string {
  const { namespace = "", name = "" } = (applied["metadata"] ?? {}) as Record<string, string>;
  const version = resource.group === "" ? `/${resource.version}` : apiVersionOf(resource);
  return `${namespace}/${name}; ${version}, Kind=${resource.kind}`;
}

/** Lists whose elements have no key, or the same. */
function misfits(type: FieldType, value: unknown, path: readonly string[] = []): string[] {
  const view = viewOf(type, value);
  if (view.as === "entries" && isObject(value)) {
    const { type: around } = view;
    return Object.keys(value).flatMap((name) =>
      misfits(entryType(around, name), value[name], [...path, fieldElement(name)]),
    );
  }
  if (view.as !== "items") return [];
  const seen = new Set<string>();
  const found: string[] = [];
  for (const [index, item] of listOf(value).entries()) {
    const element = elementOf(view.type, item, index);
    if (typeof element !== "string") return [...found, `${pathText(path)}: ${element.text}`];
    if (seen.has(element)) {
      found.push(`${pathText(path)}: duplicate entries for key ${pathText([element])}`);
    }
    seen.add(element);
    found.push(...misfits(itemType(view.type), item, [...path, element]));
  }
  return found;
}

function elementOf(type: Parameters<typeof itemElement>[0], item: unknown, index: number) {
  try {
    return itemElement(type, item);
  } catch (thrown) {
    if (thrown instanceof MisfitError) return { text: `element ${index}: ${thrown.message}` };
    throw thrown;
  }
}

/** E.g. `unknown field "spec.containers[0].x"` as `.spec.containers[name="web"].x`. */
function typedPath(resource: Resource, applied: JsonObject, text: string): string {
  const quoted = /"(?:[^"\\]|\\.)*"/.exec(text)?.[0];
  const plain = quoted === undefined ? text : (JSON.parse(quoted) as string);
  let type: FieldType | undefined = typeOf(resource);
  let value: unknown = applied;
  const path: string[] = [];
  for (const [, name, index] of plain.matchAll(/(?:^|\.)([^.[]+)|\[(\d+)\]/g)) {
    if (type === undefined) return `.${plain}`;
    const view = viewOf(type, value);
    if (name !== undefined) {
      path.push(fieldElement(name));
      type = view.as === "entries" ? entryType(view.type, name) : undefined;
      value = isObject(value) ? value[name] : undefined;
      continue;
    }
    const item = listOf(value)[Number(index)];
    const element = view.as === "items" ? elementOf(view.type, item, Number(index)) : undefined;
    path.push(typeof element === "string" ? element : `i:${index}`);
    type = view.as === "items" ? itemType(view.type) : { kind: "untyped" };
    value = item;
  }
  return pathText(path);
}

/** Puts the nulls of `sent` back, which the check has dropped. */
function withNulls(checked: unknown, sent: unknown): unknown {
  if (Array.isArray(checked) && Array.isArray(sent)) {
    if (checked.length !== sent.length) return checked;
    return checked.map((each, index) => withNulls(each, sent[index]));
  }
  if (!isObject(checked) || !isObject(sent)) return checked;
  const result: JsonObject = {};
  for (const name of Object.keys(checked)) {
    setField(result, name, withNulls(checked[name], sent[name]));
  }
  for (const name of Object.keys(sent)) {
    if (sent[name] === null && !Object.hasOwn(checked, name)) setField(result, name, null);
  }
  return result;
}
