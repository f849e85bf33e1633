/**
 * What a CustomResourceDefinition's schema may say besides being structural: which parts of OpenAPI
 * it may use, and how lists, maps and their keys go together (apiextensions-apiserver `validation`).
 */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import { forbidden, invalid, notSupportedInOrder, required } from "../causes.ts";
import { isSchema, resourceFields } from "./node.ts";
import type { SchemaProps } from "./props.ts";

interface Place {
  readonly path: string;
  readonly root: boolean;
  /** Why there may be no default here. */
  readonly noDefaults?: string | undefined;
  readonly insideMeta?: boolean | undefined;
}

export function checkOpenApi(schema: SchemaProps, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  check(schema, { path, root: true }, causes);
  return causes;
}

const types = ["array", "boolean", "integer", "number", "object", "string"];

function check(schema: SchemaProps, place: Place, causes: FieldCause[]): void {
  const { path } = place;
  checkParts(schema, place, causes);
  checkChildren(schema, place, causes);
  if (schema["x-kubernetes-preserve-unknown-fields"] === false) {
    const at = `${path}.x-kubernetes-preserve-unknown-fields`;
    causes.push(invalid(at, false, "must be true or undefined"));
  }
  checkMapType(schema, path, causes);
  checkListType(schema, path, causes);
}

function checkParts(schema: SchemaProps, place: Place, causes: FieldCause[]): void {
  const { path } = place;
  const { type = "" } = schema;
  if (type !== "" && !types.includes(type) && type !== "null") {
    causes.push(notSupportedInOrder(`${path}.type`, type, types));
  }
  if (schema.default !== undefined && place.noDefaults !== undefined) {
    causes.push(forbidden(`${path}.default`, `must not be set ${place.noDefaults}`));
  }
  for (const name of [
    "id",
    "additionalItems",
    "patternProperties",
    "definitions",
    "dependencies",
    "$ref",
  ] as const) {
    if (isSaid(schema[name])) causes.push(forbidden(`${path}.${name}`, `${name} is not supported`));
  }
  if (type === "null") {
    const detail = "type cannot be set to null, use nullable as an alternative";
    causes.push(forbidden(`${path}.type`, detail));
  }
  if (Array.isArray(schema.items)) {
    causes.push(forbidden(`${path}.items`, "items must be a schema object and not an array"));
  }
  if (place.insideMeta === true && schema["x-kubernetes-embedded-resource"] === true) {
    const at = `${path}.x-kubernetes-embedded-resource`;
    causes.push(forbidden(at, "must not be used inside of resource meta"));
  }
  if (schema.uniqueItems === true) {
    const detail =
      "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
    causes.push(forbidden(`${path}.uniqueItems`, detail));
  }
}

function isSaid(value: unknown): boolean {
  if (value === undefined || value === "") return false;
  return typeof value !== "object" || value === null || Object.keys(value).length > 0;
}

function checkChildren(schema: SchemaProps, place: Place, causes: FieldCause[]): void {
  const { path } = place;
  const { additionalProperties: more, properties = {}, items } = schema;
  const within = { ...place, root: false };
  if (more !== undefined) {
    const at = `${path}.additionalProperties`;
    if (Object.keys(properties).length > 0 && more !== true) {
      const detail = "additionalProperties and properties are mutual exclusive";
      causes.push(forbidden(at, detail));
    }
    const noDefaults = place.insideMeta
      ? "inside additionalProperties applying to object metadata"
      : place.noDefaults;
    if (typeof more === "object") check(more, { ...within, path: at, noDefaults }, causes);
  }
  for (const [name, property] of Object.entries(properties)) {
    const ofResource = place.root || schema["x-kubernetes-embedded-resource"] === true;
    const meta = ofResource && resourceFields.has(name);
    const child = {
      ...within,
      path: `${path}.properties[${name}]`,
      insideMeta: place.insideMeta === true || meta,
      noDefaults: meta && place.root ? `in top-level ${name}` : place.noDefaults,
    };
    check(property, child, causes);
  }
  if (schema.not !== undefined) check(schema.not, { ...within, path: `${path}.not` }, causes);
  for (const name of ["allOf", "oneOf", "anyOf"] as const) {
    for (const [index, each] of (schema[name] ?? []).entries()) {
      check(each, { ...within, path: `${path}.${name}[${index}]` }, causes);
    }
  }
  if (isSchema(items)) check(items, { ...within, path: `${path}.items` }, causes);
}

function checkMapType(schema: SchemaProps, path: string, causes: FieldCause[]): void {
  const mapType = schema["x-kubernetes-map-type"];
  if (mapType === undefined) return;
  checkOwnType(schema, "object", "x-kubernetes-map-type", path, causes);
  const supported = ["atomic", "granular"];
  if (!supported.includes(mapType)) {
    causes.push(notSupportedInOrder(`${path}.x-kubernetes-map-type`, mapType, supported));
  }
}

function checkOwnType(
  { type = "" }: SchemaProps,
  wanted: string,
  marker: string,
  path: string,
  causes: FieldCause[],
): void {
  if (type === wanted) return;
  const detail = `must be ${wanted} if ${marker} is specified`;
  causes.push(
    type === "" ? required(`${path}.type`, detail) : invalid(`${path}.type`, type, detail),
  );
}

function checkListType(schema: SchemaProps, path: string, causes: FieldCause[]): void {
  const listType = schema["x-kubernetes-list-type"];
  const keys = schema["x-kubernetes-list-map-keys"] ?? [];
  const at = `${path}.x-kubernetes-list-type`;
  if (keys.length > 0 && listType !== "map") {
    const detail = "must be map if x-kubernetes-list-map-keys is non-empty";
    causes.push(listType === undefined ? required(at, detail) : invalid(at, listType, detail));
  }
  if (listType === undefined) return;
  checkOwnType(schema, "array", "x-kubernetes-list-type", path, causes);
  const supported = ["atomic", "set", "map"];
  if (!supported.includes(listType)) causes.push(notSupportedInOrder(at, listType, supported));
  const items = isSchema(schema.items) ? schema.items : undefined;
  if (listType === "set" && items !== undefined) checkSetItems(items, path, causes);
  if (listType === "map") checkMapItems(items, keys, path, causes);
  if (items?.nullable === true && listType !== "atomic") {
    const detail = `cannot be nullable when x-kubernetes-list-type is ${listType}`;
    causes.push(forbidden(`${path}.items.nullable`, detail));
  }
}

function checkSetItems(items: SchemaProps, path: string, causes: FieldCause[]): void {
  const detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
  const inner = items["x-kubernetes-list-type"];
  if (items.type === "array" && inner !== undefined && inner !== "atomic") {
    causes.push(invalid(`${path}.items.x-kubernetes-list-type`, inner, detail));
  }
  if (items.type === "object" && items["x-kubernetes-map-type"] !== "atomic") {
    const value = items["x-kubernetes-map-type"];
    causes.push(invalid(`${path}.items.x-kubernetes-map-type`, value, detail));
  }
}

function checkMapItems(
  items: SchemaProps | undefined,
  keys: readonly string[],
  path: string,
  causes: FieldCause[],
): void {
  const keysAt = `${path}.x-kubernetes-list-map-keys`;
  if (keys.length === 0) {
    causes.push(required(keysAt, "must not be empty if x-kubernetes-list-type is map"));
  }
  if (items === undefined) {
    const detail = "must have a schema if x-kubernetes-list-type is map";
    causes.push(required(`${path}.items`, detail));
    return;
  }
  if (items.type !== "object") {
    const detail = "must be object if parent array's x-kubernetes-list-type is map";
    causes.push(invalid(`${path}.items.type`, items.type ?? "", detail));
    return;
  }
  if (new Set(keys).size < keys.length) {
    causes.push(invalid(keysAt, keys, "must not contain duplicate entries"));
  }
  for (const key of keys) checkMapKey(items, key, keys, path, causes);
}

function checkMapKey(
  items: SchemaProps,
  key: string,
  keys: readonly string[],
  path: string,
  causes: FieldCause[],
): void {
  const known = items.properties ?? {};
  const property = Object.hasOwn(known, key) ? known[key] : undefined;
  const at = `${path}.items.properties[${key}]`;
  if (property === undefined) {
    const detail = "entries must all be names of item properties";
    causes.push(invalid(`${path}.x-kubernetes-list-map-keys`, keys, detail));
    return;
  }
  if (property.type === "array" || property.type === "object") {
    const detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
    causes.push(invalid(`${at}.type`, items.type, detail));
  }
  const isKey = "this property is in x-kubernetes-list-map-keys, so it";
  if (!(items.required ?? []).includes(key) && property.default === undefined) {
    const detail = `${isKey} must have a default or be a required property`;
    causes.push(required(`${at}.default`, detail));
  }
  if (property.nullable === true) {
    causes.push(forbidden(`${at}.nullable`, `${isKey} cannot be nullable`));
  }
}
