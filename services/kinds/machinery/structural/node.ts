/** A structural schema, compiled: what each value of a document is held to, pruned and defaulted by. */
import type { JsonObject } from "../json.ts";
import type { SchemaProps } from "./props.ts";

export interface SchemaNode {
  /** As written: bounds, patterns, rules and combinations are read from it. */
  readonly props: SchemaProps;
  /** JSON types that are allowed; none: any. */
  readonly types: readonly string[];
  readonly nullable: boolean;
  readonly properties: ReadonlyMap<string, SchemaNode>;
  /** Of keys that are no property: a schema; true: any value; undefined: there are none. */
  readonly additional: SchemaNode | true | undefined;
  readonly items: SchemaNode | undefined;
  readonly preserve: boolean;
  readonly embedded: boolean;
  readonly intOrString: boolean;
  readonly hasDefault: boolean;
  /** A default here or below, so that a document can lack something. */
  readonly defaults: boolean;
  /** Rules here or below. */
  readonly rules: boolean;
  readonly listType: "atomic" | "set" | "map";
  readonly allOf: readonly SchemaNode[];
  readonly anyOf: readonly SchemaNode[];
  readonly oneOf: readonly SchemaNode[];
  readonly not: SchemaNode | undefined;
}

/** Compiles a schema that is structural. Its cost is linear in the schema's size. */
export function compileSchema(props: SchemaProps): SchemaNode {
  const properties = new Map<string, SchemaNode>();
  for (const name of Object.keys(props.properties ?? {})) {
    const property = props.properties?.[name];
    if (property !== undefined) properties.set(name, compileSchema(property));
  }
  const { additionalProperties: more, items } = props;
  const additional =
    more === true ? true : typeof more === "object" ? compileSchema(more) : undefined;
  const element = isSchema(items) ? compileSchema(items) : undefined;
  const intOrString = props["x-kubernetes-int-or-string"] === true;
  const children = [...properties.values(), ...(element === undefined ? [] : [element])];
  if (additional !== true && additional !== undefined) children.push(additional);
  const all = (list: readonly SchemaProps[] = []) => list.map(compileSchema);
  const listType = props["x-kubernetes-list-type"];
  return {
    props,
    types: typesOf(props, intOrString),
    nullable: props.nullable === true,
    properties,
    additional,
    items: element,
    preserve: props["x-kubernetes-preserve-unknown-fields"] === true,
    embedded: props["x-kubernetes-embedded-resource"] === true,
    intOrString,
    hasDefault: props.default !== undefined,
    defaults: props.default !== undefined || children.some(({ defaults }) => defaults),
    rules:
      (props["x-kubernetes-validations"] ?? []).length > 0 || children.some(({ rules }) => rules),
    listType: listType === "set" || listType === "map" ? listType : "atomic",
    allOf: all(props.allOf),
    anyOf: all(props.anyOf),
    oneOf: all(props.oneOf),
    not: props.not === undefined ? undefined : compileSchema(props.not),
  };
}

function typesOf({ type, nullable }: SchemaProps, intOrString: boolean): readonly string[] {
  if (intOrString) return ["integer", "string"];
  if (type === undefined || type === "") return [];
  return nullable === true ? [type, "null"] : [type];
}

export function isSchema(items: SchemaProps["items"]): items is SchemaProps {
  return items !== undefined && !Array.isArray(items);
}

/** Fields that every resource has, whether its schema names them or not. */
export const resourceFields: ReadonlySet<string> = new Set(["apiVersion", "kind", "metadata"]);

/** The schema of a key of an object; true: any value is kept; undefined: the schema knows none. */
export function childOf(node: SchemaNode, name: string): SchemaNode | true | undefined {
  return node.properties.get(name) ?? node.additional;
}

/** What tells the elements of a list of type map apart, as text; undefined: it lacks its keys. */
export function mapKeyOf(node: SchemaNode, element: JsonObject): JsonObject {
  const key: JsonObject = {};
  for (const name of node.props["x-kubernetes-list-map-keys"] ?? []) {
    const value = Object.hasOwn(element, name) ? element[name] : undefined;
    const fallback = node.items?.properties.get(name)?.props.default;
    if (value !== undefined || fallback !== undefined) key[name] = value ?? fallback;
  }
  return key;
}
