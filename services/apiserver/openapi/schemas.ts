/** OpenAPI v3 schemas from the messages of the contract. */
import { readFileSync } from "node:fs";
import {
  type FieldSchema,
  type MessageSchema,
  messages,
  resources,
} from "../../../proto/gen/schema.ts";
import { isTimeField } from "../../kinds/mod.ts";
import { nameOfMessage } from "./names.ts";

/** A schema object of OpenAPI, as JSON. */
export type SchemaObject = Readonly<Record<string, unknown>>;

const file = new URL("../../../proto/gen/descriptions.json", import.meta.url);
type Descriptions = Readonly<Record<string, Readonly<Record<string, string>>>>;
let descriptions: Descriptions | undefined;

/** What the contract's comments say of a message (`field` is "") or of one of its fields. */
function descriptionOf(message: string, field: string): string | undefined {
  descriptions ??= JSON.parse(readFileSync(file, "utf8")) as Descriptions;
  return descriptions[message]?.[field] ?? commonDescriptions[field];
}

/** Of fields that mean the same in every message. */
const commonDescriptions: Readonly<Record<string, string>> = {
  apiVersion:
    "The version of the schema that this representation of an object follows, as group/version. " +
    "Servers convert what they recognise and refuse what they do not.",
  kind: "The kind of the object, in CamelCase. It cannot be changed.",
  metadata: "What every object has: its name, labels, annotations and owners.",
  spec: "The state that is wanted.",
  status: "The state that was last observed; the system writes it.",
  items: "The objects of this page of the list.",
};

/** The fields whose meaning is theirs in every kind, whatever a comment says beside them. */
const typeFields = new Set(["apiVersion", "kind"]);

const refPrefix = "#/components/schemas/";

const intOrString: SchemaObject = {
  format: "int-or-string",
  oneOf: [{ type: "integer" }, { type: "string" }],
};

const scalars: Readonly<Record<string, SchemaObject>> = {
  string: { type: "string" },
  bytes: { type: "string", format: "byte" },
  bool: { type: "boolean" },
  int: { type: "integer", format: "int32" },
  long: { type: "integer", format: "int64" },
  double: { type: "number", format: "double" },
  enum: { type: "string" },
  struct: { type: "object" },
  texts: { type: "array", items: { type: "string" } },
};

/** Messages whose `Value` fields hold any JSON rather than a number or a text. */
const freeValues = /^trireme\.(apiextensions|dynamic)\./;

/** The schemas of these messages and of all that they use, by name. */
export function schemasOf(roots: Iterable<string>): Record<string, SchemaObject> {
  const reached = new Set(roots);
  const found: [string, SchemaObject][] = [];
  for (const message of reached) {
    const schema = messages[message];
    if (schema === undefined) continue;
    found.push([nameOfMessage(message), schemaOf(message, schema)]);
    for (const field of Object.values(schema.fields)) {
      if (field.message !== undefined) reached.add(field.message);
    }
  }
  return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A reference to the schema of a message. */
export function refTo(message: string): SchemaObject {
  return { $ref: refPrefix + nameOfMessage(message) };
}

export function refToName(name: string): SchemaObject {
  return { $ref: refPrefix + name };
}

function schemaOf(message: string, { fields }: MessageSchema): SchemaObject {
  const required = Object.entries(fields)
    .filter(([, field]) => field.required)
    .map(([name]) => name);
  const description = descriptionOf(message, "");
  const kinds = groupVersionKinds.get(message);
  return {
    ...(description !== undefined && { description }),
    type: "object",
    properties: Object.fromEntries(
      Object.entries(fields).map(([name, field]) => [name, propertyOf(message, name, field)]),
    ),
    ...(required.length > 0 && { required }),
    ...(kinds !== undefined && { "x-kubernetes-group-version-kind": kinds }),
  };
}

function propertyOf(message: string, name: string, field: FieldSchema): SchemaObject {
  const description = typeFields.has(name)
    ? commonDescriptions[name]
    : descriptionOf(message, name);
  const told = description === undefined ? {} : { description };
  if (field.map) {
    return { ...told, type: "object", additionalProperties: valueSchema(message, name, field) };
  }
  if (field.repeated) {
    return {
      ...told,
      type: "array",
      items: valueSchema(message, name, field),
      ...listMarks(field),
    };
  }
  const value = valueSchema(message, name, field);
  // Beside a reference no description would count, but beside an `allOf` it does.
  return value["$ref"] === undefined ? { ...told, ...value } : { ...told, allOf: [value] };
}

function valueSchema(message: string, name: string, field: FieldSchema): SchemaObject {
  if (field.type === "message" && field.message !== undefined) return refTo(field.message);
  if (field.type === "value") return freeValues.test(message) ? {} : intOrString;
  if (isTimeField(name, field)) return { type: "string", format: "date-time" };
  return scalars[field.type] ?? {};
}

function listMarks({ mergeKey, listMapKeys, listSet, message }: FieldSchema): SchemaObject {
  const type = listMapKeys !== undefined ? "map" : listSet ? "set" : "atomic";
  const merged = mergeKey !== undefined || (listSet === true && message === undefined);
  return {
    "x-kubernetes-list-type": type,
    ...(listMapKeys !== undefined && { "x-kubernetes-list-map-keys": [...listMapKeys] }),
    ...(merged && { "x-kubernetes-patch-strategy": "merge" }),
    ...(mergeKey !== undefined && { "x-kubernetes-patch-merge-key": mergeKey }),
  };
}

/** Of the messages that are kinds, and of their lists. */
const groupVersionKinds = new Map<string, readonly SchemaObject[]>(
  Object.values(resources).flatMap(({ group, version, kind, message, list }) => [
    [message, [{ group, kind, version }]] as const,
    ...(list === undefined ? [] : [[list, [{ group, kind: `${kind}List`, version }]] as const]),
  ]),
);
groupVersionKinds.set("trireme.meta.v1.Status", [{ group: "", kind: "Status", version: "v1" }]);
