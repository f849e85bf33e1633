/**
 * JSON schemas as CustomResourceDefinitions carry them (apiextensions/v1 `JSONSchemaProps`): which
 * fields there are, and whether a value has their shape. What they mean is for the other files here.
 */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import { typeInvalid } from "../causes.ts";
import { copyJson, isObject, type JsonObject, setField } from "../json.ts";
import { limits } from "../limits.ts";

export interface ValidationRule {
  /** Absent: empty. */
  readonly rule?: string;
  readonly message?: string;
  readonly messageExpression?: string;
  readonly reason?: string;
  readonly fieldPath?: string;
  readonly optionalOldSelf?: boolean;
}

export interface SchemaProps {
  readonly id?: string;
  readonly $schema?: string;
  readonly $ref?: string;
  readonly description?: string;
  readonly type?: string;
  readonly format?: string;
  readonly title?: string;
  readonly default?: unknown;
  readonly maximum?: number;
  readonly exclusiveMaximum?: boolean;
  readonly minimum?: number;
  readonly exclusiveMinimum?: boolean;
  readonly maxLength?: number;
  readonly minLength?: number;
  readonly pattern?: string;
  readonly maxItems?: number;
  readonly minItems?: number;
  readonly uniqueItems?: boolean;
  readonly multipleOf?: number;
  readonly enum?: readonly unknown[];
  readonly maxProperties?: number;
  readonly minProperties?: number;
  readonly required?: readonly string[];
  readonly items?: SchemaProps | readonly SchemaProps[];
  readonly allOf?: readonly SchemaProps[];
  readonly oneOf?: readonly SchemaProps[];
  readonly anyOf?: readonly SchemaProps[];
  readonly not?: SchemaProps;
  readonly properties?: Readonly<Record<string, SchemaProps>>;
  readonly additionalProperties?: SchemaProps | boolean;
  readonly patternProperties?: Readonly<Record<string, SchemaProps>>;
  readonly dependencies?: Readonly<Record<string, SchemaProps | readonly string[]>>;
  readonly additionalItems?: SchemaProps | boolean;
  readonly definitions?: Readonly<Record<string, SchemaProps>>;
  readonly externalDocs?: unknown;
  readonly example?: unknown;
  readonly nullable?: boolean;
  readonly "x-kubernetes-preserve-unknown-fields"?: boolean;
  readonly "x-kubernetes-embedded-resource"?: boolean;
  readonly "x-kubernetes-int-or-string"?: boolean;
  readonly "x-kubernetes-list-map-keys"?: readonly string[];
  readonly "x-kubernetes-list-type"?: string;
  readonly "x-kubernetes-map-type"?: string;
  readonly "x-kubernetes-validations"?: readonly ValidationRule[];
}

type Shape =
  | "string"
  | "boolean"
  | "number"
  | "integer"
  | "any"
  | "strings"
  | "values"
  | "docs"
  | "rules"
  | "schema"
  | "schema or boolean"
  | "schema or schemas"
  | "schemas"
  | "schema map"
  | "dependencies";

const shapes: Readonly<Record<keyof SchemaProps, Shape>> = {
  id: "string",
  $schema: "string",
  $ref: "string",
  description: "string",
  type: "string",
  format: "string",
  title: "string",
  default: "any",
  maximum: "number",
  exclusiveMaximum: "boolean",
  minimum: "number",
  exclusiveMinimum: "boolean",
  maxLength: "integer",
  minLength: "integer",
  pattern: "string",
  maxItems: "integer",
  minItems: "integer",
  uniqueItems: "boolean",
  multipleOf: "number",
  enum: "values",
  maxProperties: "integer",
  minProperties: "integer",
  required: "strings",
  items: "schema or schemas",
  allOf: "schemas",
  oneOf: "schemas",
  anyOf: "schemas",
  not: "schema",
  properties: "schema map",
  additionalProperties: "schema or boolean",
  patternProperties: "schema map",
  dependencies: "dependencies",
  additionalItems: "schema or boolean",
  definitions: "schema map",
  externalDocs: "docs",
  example: "any",
  nullable: "boolean",
  "x-kubernetes-preserve-unknown-fields": "boolean",
  "x-kubernetes-embedded-resource": "boolean",
  "x-kubernetes-int-or-string": "boolean",
  "x-kubernetes-list-map-keys": "strings",
  "x-kubernetes-list-type": "string",
  "x-kubernetes-map-type": "string",
  "x-kubernetes-validations": "rules",
};

const ruleShapes: Readonly<Record<keyof ValidationRule, Shape>> = {
  rule: "string",
  message: "string",
  messageExpression: "string",
  reason: "string",
  fieldPath: "string",
  optionalOldSelf: "boolean",
};

const docsShapes: Readonly<Record<string, Shape>> = { description: "string", url: "string" };

/** Of these a zero says something, and is kept. */
const flags = ["x-kubernetes-preserve-unknown-fields", "optionalOldSelf"];

/** Whether upstream leaves the value out, since it says as much as none. */
function isLeftOut(shape: Shape, name: string, value: unknown): boolean {
  if (shape === "any") return false;
  if (typeof value === "boolean") {
    return !value && shape === "boolean" && !flags.includes(name);
  }
  if (typeof value === "string") return value === "" && name !== "rule";
  if (Array.isArray(value)) return value.length === 0 && shape !== "schema or schemas";
  const map = shape === "schema map" || shape === "dependencies";
  return map && isObject(value) && Object.keys(value).length === 0;
}

export interface PropsCheck {
  readonly errors: FieldCause[];
  /** Paths of fields that no schema has. */
  readonly unknown: string[];
  /** A copy without unknown fields, nulls, and values of the wrong shape. */
  readonly props: SchemaProps;
}

/** Holds a value to the shape of a schema; never throws for bad input. */
export function checkProps(value: unknown, path: string): PropsCheck {
  const check = new Check();
  const props = check.schema(value, path, 0) ?? {};
  return { errors: check.errors, unknown: check.unknown, props };
}

class Check {
  readonly errors: FieldCause[] = [];
  readonly unknown: string[] = [];

  schema(value: unknown, path: string, depth: number): SchemaProps | undefined {
    if (depth > limits.depth) {
      this.error(typeInvalid(path, "", `must not nest deeper than ${limits.depth} levels`));
      return undefined;
    }
    return this.#fields(value, path, shapes, depth);
  }

  #fields(
    value: unknown,
    path: string,
    known: Readonly<Record<string, Shape>>,
    depth: number,
  ): JsonObject | undefined {
    if (!isObject(value)) return this.#wrong(path, value, "object");
    const result: JsonObject = {};
    for (const name of Object.keys(value)) {
      const at = `${path}.${name}`;
      const shape = Object.hasOwn(known, name) ? known[name] : undefined;
      if (shape === undefined) {
        if (this.unknown.length < limits.errors) this.unknown.push(at);
        continue;
      }
      const part = value[name];
      if (part === null) continue;
      const kept = this.#part(shape, part, at, depth);
      if (kept !== undefined && !isLeftOut(shape, name, kept)) setField(result, name, kept);
    }
    return result;
  }

  #part(shape: Shape, value: unknown, path: string, depth: number): unknown {
    switch (shape) {
      case "any":
        return copyJson(value);
      case "string":
      case "boolean":
      case "number":
        return typeof value === shape ? value : this.#wrong(path, value, shape);
      case "integer":
        return Number.isInteger(value) ? value : this.#wrong(path, value, shape);
      case "strings":
        return this.#list(value, path, (each, at) => {
          if (each === null) return "";
          return typeof each === "string" ? each : this.#wrong(at, each, "string");
        });
      case "values":
        return this.#list(value, path, (each) => copyJson(each));
      case "docs":
        return this.#fields(value, path, docsShapes, depth);
      case "rules":
        return this.#list(value, path, (each, at) =>
          this.#fields(each ?? {}, at, ruleShapes, depth),
        );
      case "schema":
        return this.schema(value, path, depth + 1);
      case "schemas":
        return this.#list(value, path, (each, at) => this.schema(each ?? {}, at, depth + 1));
      case "schema or boolean":
        return typeof value === "boolean" ? value : this.schema(value, path, depth + 1);
      case "schema or schemas":
        return this.#part(Array.isArray(value) ? "schemas" : "schema", value, path, depth);
      case "schema map":
        return this.#map(value, path, (each, at) => this.schema(each ?? {}, at, depth + 1));
      case "dependencies":
        return this.#map(value, path, (each, at) =>
          this.#part(Array.isArray(each) ? "strings" : "schema", each, at, depth),
        );
    }
  }

  #list(value: unknown, path: string, take: (each: unknown, at: string) => unknown): unknown {
    if (!Array.isArray(value)) return this.#wrong(path, value, "array");
    return value.map((each, index) => take(each, `${path}[${index}]`)).filter(isPresent);
  }

  #map(value: unknown, path: string, take: (each: unknown, at: string) => unknown): unknown {
    if (!isObject(value)) return this.#wrong(path, value, "object");
    const result: JsonObject = {};
    for (const key of Object.keys(value)) {
      const kept = take(value[key], `${path}.${key}`);
      if (kept !== undefined) setField(result, key, kept);
    }
    return result;
  }

  #wrong(path: string, value: unknown, expected: string): undefined {
    const actual = jsonTypeOf(value);
    const detail = `${path} in body must be of type ${expected}: ${JSON.stringify(actual)}`;
    this.error(typeInvalid(path, actual, detail));
    return undefined;
  }

  error(cause: FieldCause): void {
    if (this.errors.length < limits.errors) this.errors.push(cause);
  }
}

function isPresent(value: unknown): boolean {
  return value !== undefined;
}

/** Beyond 64 bits, numbers are of floating point. */
function isInteger(value: number): boolean {
  return Number.isInteger(value) && Math.abs(value) < 2 ** 63;
}

export function jsonTypeOf(value: unknown): string {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return isInteger(value) ? "integer" : "number";
  return typeof value;
}
