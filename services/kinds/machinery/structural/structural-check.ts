/**
 * Whether a schema is structural (KEP-1753, apiextensions-apiserver `schema.ValidateStructural`):
 * every field has one type, said outside of the combinations allOf, anyOf, oneOf and not.
 */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import { forbidden, invalid, required } from "../causes.ts";
import { equalJson } from "../json.ts";
import { isSchema } from "./node.ts";
import { compilePattern } from "./pattern.ts";
import type { SchemaProps } from "./props.ts";

type Level = "root" | "item" | "field";

/** What keeps a schema from being structural, in order of the messages. */
export function checkStructural(schema: SchemaProps, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  checkInvariants(schema, "root", path, causes);
  checkComplete(schema, path, causes);
  return causes.sort((one, other) => (textOf(one) < textOf(other) ? -1 : 1));
}

function textOf({ field, message }: FieldCause): string {
  return `${field}: ${message}`;
}

function checkInvariants(
  schema: SchemaProps,
  level: Level,
  path: string,
  causes: FieldCause[],
): void {
  const { type = "", items, additionalProperties: more, properties = {} } = schema;
  const isResource = level === "root" || embedded(schema);
  if (type === "array" && items === undefined) {
    causes.push(required(`${path}.items`, "must be specified"));
  }
  if (isSchema(items)) checkInvariants(items, "item", `${path}.items`, causes);
  for (const [name, property] of Object.entries(properties)) {
    const at = `${path}.properties[${name}]`;
    if (name === "metadata" && level === "root") checkRootMetadata(property, at, causes);
    else checkInvariants(property, "field", at, causes);
  }
  if (more !== undefined && level === "root") {
    causes.push(forbidden(`${path}.additionalProperties`, "must not be used at the root"));
  }
  if (typeof more === "object") {
    checkInvariants(more, "field", `${path}.additionalProperties`, causes);
  }
  checkExtensions(schema, path, causes);
  checkCombinations(schema, isAnyOfIntOrString(schema), level, path, causes);
  checkType(schema, level, path, causes);
  if (isResource) checkTypeMeta(properties, path, causes);
}

function embedded(schema: SchemaProps): boolean {
  return schema["x-kubernetes-embedded-resource"] === true;
}

function checkExtensions(schema: SchemaProps, path: string, causes: FieldCause[]): void {
  if (schema["x-kubernetes-int-or-string"] !== true) return;
  for (const name of [
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
  ] as const) {
    if (schema[name] !== true) continue;
    const detail = "must be false if x-kubernetes-int-or-string is true";
    causes.push(invalid(`${path}.${name}`, true, detail));
  }
}

const missingType: Readonly<Record<Level, string>> = {
  root: "must not be empty at the root",
  item: "must not be empty for specified array items",
  field: "must not be empty for specified object fields",
};

function checkType(schema: SchemaProps, level: Level, path: string, causes: FieldCause[]): void {
  const { type = "", properties = {} } = schema;
  const preserve = schema["x-kubernetes-preserve-unknown-fields"] === true;
  if (embedded(schema) && type !== "object") {
    const detail = "must be object if x-kubernetes-embedded-resource is true";
    causes.push(
      type === "" ? required(`${path}.type`, detail) : invalid(`${path}.type`, type, detail),
    );
  } else if (type === "" && schema["x-kubernetes-int-or-string"] !== true && !preserve) {
    causes.push(required(`${path}.type`, missingType[level]));
  }
  if (embedded(schema) && schema.additionalProperties !== undefined) {
    const detail = "must not be used if x-kubernetes-embedded-resource is set";
    causes.push(forbidden(`${path}.additionalProperties`, detail));
  }
  if (level === "root" && type !== "" && type !== "object") {
    causes.push(invalid(`${path}.type`, type, "must be object at the root"));
  }
  if (embedded(schema) && !preserve && Object.keys(properties).length === 0) {
    const detail =
      "must not be empty if x-kubernetes-embedded-resource is true without " +
      "x-kubernetes-preserve-unknown-fields";
    causes.push(required(`${path}.properties`, detail));
  }
}

function checkTypeMeta(
  properties: Readonly<Record<string, SchemaProps>>,
  path: string,
  causes: FieldCause[],
): void {
  for (const [name, type] of [
    ["kind", "string"],
    ["apiVersion", "string"],
    ["metadata", "object"],
  ] as const) {
    const property = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (property === undefined || property.type === type) continue;
    causes.push(
      invalid(`${path}.properties[${name}].type`, property.type ?? "", `must be ${type}`),
    );
  }
}

/** The metadata of a resource have a schema already: only the name may be held to more. */
function checkRootMetadata(schema: SchemaProps, path: string, causes: FieldCause[]): void {
  const { type: _type, properties = {}, description: _description, ...rest } = schema;
  const others = Object.keys(properties).filter(
    (name) => name !== "name" && name !== "generateName",
  );
  const described = schema.description !== undefined && schema.description !== "";
  const said = Object.keys(rest).filter((name) => name !== "default");
  if (others.length === 0 && said.length === 0 && !described) {
    for (const [name, property] of Object.entries(properties)) {
      checkInvariants(property, "field", `${path}.properties[${name}]`, causes);
    }
    return;
  }
  const detail =
    "must not specify anything other than name and generateName, but metadata is implicitly specified";
  causes.push(forbidden(path, detail));
}

const intOrString: readonly SchemaProps[] = [{ type: "integer" }, { type: "string" }];

function isAnyOfIntOrString(schema: SchemaProps): boolean {
  return equalJson(schema.anyOf, intOrString);
}

function checkCombinations(
  schema: SchemaProps,
  skipAnyOf: boolean,
  level: Level,
  path: string,
  causes: FieldCause[],
): void {
  if (!skipAnyOf) {
    for (const [index, each] of (schema.anyOf ?? []).entries()) {
      checkNested(each, false, level, `${path}.anyOf[${index}]`, causes);
    }
  }
  const [first] = schema.allOf ?? [];
  const firstIsType = first !== undefined && isAnyOfIntOrString(first);
  for (const [index, each] of (schema.allOf ?? []).entries()) {
    checkNested(each, firstIsType && index === 0, level, `${path}.allOf[${index}]`, causes);
  }
  for (const [index, each] of (schema.oneOf ?? []).entries()) {
    checkNested(each, false, level, `${path}.oneOf[${index}]`, causes);
  }
  if (schema.not !== undefined) checkNested(schema.not, false, level, `${path}.not`, causes);
  const { pattern = "" } = schema;
  const expression = pattern === "" ? undefined : compilePattern(pattern);
  if (expression instanceof Error) {
    const detail = `must be a valid regular expression, but isn't: ${expression.message}`;
    causes.push(invalid(`${path}.pattern`, pattern, detail));
  }
}

/** Fields of a schema that may not stand within a combination, and how they must be left. */
const forbiddenWithin: readonly (readonly [keyof SchemaProps, "empty" | "undefined" | "false"])[] =
  [
    ["type", "empty"],
    ["additionalProperties", "undefined"],
    ["default", "undefined"],
    ["title", "empty"],
    ["description", "empty"],
    ["nullable", "false"],
    ["externalDocs", "undefined"],
    ["x-kubernetes-preserve-unknown-fields", "false"],
    ["x-kubernetes-embedded-resource", "false"],
    ["x-kubernetes-int-or-string", "false"],
    ["x-kubernetes-list-map-keys", "empty"],
    ["x-kubernetes-list-type", "undefined"],
    ["x-kubernetes-map-type", "undefined"],
    ["x-kubernetes-validations", "empty"],
  ];

function checkNested(
  schema: SchemaProps,
  skipAnyOf: boolean,
  level: Level,
  path: string,
  causes: FieldCause[],
): void {
  checkCombinations(schema, skipAnyOf, level, path, causes);
  if (isSchema(schema.items)) checkNested(schema.items, false, level, `${path}.items`, causes);
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    checkNested(property, false, "field", `${path}.properties[${name}]`, causes);
  }
  for (const [name, rule] of forbiddenWithin) {
    const value = schema[name];
    const left =
      value === undefined ||
      (rule === "false" && value === false) ||
      (rule === "empty" && (value === "" || (Array.isArray(value) && value.length === 0)));
    if (!left) causes.push(forbidden(`${path}.${name}`, `must be ${rule} to be structural`));
  }
  if (schema.properties !== undefined && Object.hasOwn(schema.properties, "metadata")) {
    const detail = "must not be specified in a nested context";
    causes.push(forbidden(`${path}.properties[metadata]`, detail));
  }
}

/** Every field that a combination speaks of is also a field outside of it. */
function checkComplete(schema: SchemaProps, path: string, causes: FieldCause[]): void {
  completeCombinations(schema, schema, path, path, causes);
}

function completeCombinations(
  value: SchemaProps,
  schema: SchemaProps,
  path: string,
  valuePath: string,
  causes: FieldCause[],
): void {
  if (value.not !== undefined) {
    completeNested(value.not, schema, path, `${valuePath}.not`, causes);
  }
  for (const name of ["allOf", "anyOf", "oneOf"] as const) {
    for (const [index, each] of (value[name] ?? []).entries()) {
      completeNested(each, schema, path, `${valuePath}.${name}[${index}]`, causes);
    }
  }
}

function completeNested(
  value: SchemaProps,
  schema: SchemaProps | undefined,
  path: string,
  valuePath: string,
  causes: FieldCause[],
): void {
  if (schema === undefined) {
    causes.push(required(path, `because it is defined in ${valuePath}`));
    return;
  }
  completeCombinations(value, schema, path, valuePath, causes);
  if (isSchema(value.items)) {
    const items = isSchema(schema.items) ? schema.items : undefined;
    completeNested(value.items, items, `${path}.items`, `${valuePath}.items`, causes);
  }
  const known = schema.properties ?? {};
  for (const [name, property] of Object.entries(value.properties ?? {})) {
    const at = `properties[${name}]`;
    const inner = Object.hasOwn(known, name) ? known[name] : undefined;
    completeNested(property, inner, `${path}.${at}`, `${valuePath}.${at}`, causes);
  }
}
