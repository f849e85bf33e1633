/**
 * Values held to a structural schema, in the words in which a Kubernetes apiserver refuses them
 * (kube-openapi `validation/errors`, apiextensions-apiserver `validation.ValidateCustomResource`).
 */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import { duplicate, invalid, required, tooLong, tooMany, typeInvalid } from "../causes.ts";
import { canonicalJson, equalJson, isObject, type JsonObject } from "../json.ts";
import { limits } from "../limits.ts";
import { checkServiceName } from "../names.ts";
import { isFormat, isKnownFormat } from "./formats.ts";
import { childOf, mapKeyOf, type SchemaNode } from "./node.ts";
import { matchesPattern } from "./pattern.ts";
import { jsonTypeOf } from "./props.ts";

/** Checks of alternatives multiply: a document that costs more than this many steps is refused. */
const stepsMax = 2_000_000;

/** Everything wrong with a value; at most `limits.errors` causes. */
export function validateValue(node: SchemaNode, value: unknown, path: string): FieldCause[] {
  const validation = new Validation();
  const causes = validation.value(node, value, path);
  if (validation.exhausted) {
    const detail = `validation takes more than ${stepsMax} steps: simplify the object or its schema`;
    return [invalid(path === "" ? "<nil>" : path, "", detail)];
  }
  return causes.slice(0, limits.errors);
}

class Validation {
  #steps = 0;

  get exhausted(): boolean {
    return this.#steps > stepsMax;
  }

  value(node: SchemaNode, value: unknown, path: string): FieldCause[] {
    this.#steps += 1;
    if (this.exhausted) return [];
    const causes: FieldCause[] = [];
    const { types, props } = node;
    if (types.length > 0 && !types.some((type) => isOfType(type, value))) {
      causes.push(wrongTypeOf(node, value, path));
    }
    if (value === null || value === undefined) return causes;
    this.#combinations(node, value, path, causes);
    if (typeof value === "string") text(node, value, path, causes);
    else if (typeof value === "number") number(node, value, path, causes);
    else if (Array.isArray(value)) this.#list(node, value, path, causes);
    const allowed = props.enum ?? [];
    if (allowed.length > 0 && !allowed.some((each) => equalJson(each, value))) {
      causes.push(notInEnum(path, value, allowed));
    }
    if (isObject(value)) this.#object(node, value, path, causes);
    return causes;
  }

  #list(node: SchemaNode, value: unknown[], path: string, causes: FieldCause[]): void {
    const { minItems, maxItems, uniqueItems } = node.props;
    const few = minItems !== undefined && value.length < minItems;
    const fault = body(path, `should have at least ${minItems} items`);
    if (maxItems !== undefined && value.length > maxItems) {
      // Elements beyond the bound are not worth the cost of a look.
      if (few) causes.push(invalid(path, value.length, fault));
      causes.push(tooMany(path, value.length, maxItems));
      return;
    }
    if (uniqueItems === true && new Set(value.map(canonicalJson)).size < value.length) {
      causes.push(invalid(path, value, body(path, "shouldn't contain duplicates")));
    }
    const { items } = node;
    for (const [index, each] of value.entries()) {
      if (causes.length >= limits.errors) return;
      if (items !== undefined) causes.push(...this.value(items, each, `${path}[${index}]`));
    }
    if (few) causes.push(invalid(path, value.length, fault));
    uniqueElements(node, value, path, causes);
  }

  #object(node: SchemaNode, value: JsonObject, path: string, causes: FieldCause[]): void {
    const { minProperties, maxProperties, required: names } = node.props;
    const count = Object.keys(value).length;
    if (minProperties !== undefined && count < minProperties) {
      const detail = body(path, `should have at least ${minProperties} properties`);
      causes.push(invalid(path, count, detail));
    }
    if (maxProperties !== undefined && count > maxProperties) {
      causes.push(tooMany(path, count, maxProperties));
    }
    for (const name of names ?? []) {
      if (!Object.hasOwn(value, name)) causes.push(required(join(path, name)));
    }
    if (node.embedded) causes.push(...embeddedCauses(value, path));
    for (const name of Object.keys(value)) {
      if (causes.length >= limits.errors) return;
      const child = childOf(node, name);
      if (child === undefined || child === true) continue;
      causes.push(...this.value(child, value[name], join(path, name)));
    }
  }

  #combinations(node: SchemaNode, value: unknown, path: string, causes: FieldCause[]): void {
    const { allOf, anyOf, oneOf, not } = node;
    if (anyOf.length > 0) {
      const results = this.#alternatives(anyOf, value, path);
      if (!results.some((each) => each.length === 0)) {
        causes.push(whole(path, "must validate at least one schema (anyOf)"), ...fewest(results));
      }
    }
    if (oneOf.length > 0) {
      const results = this.#alternatives(oneOf, value, path);
      const valid = results.filter((each) => each.length === 0).length;
      const rule = "must validate one and only one schema (oneOf).";
      if (valid === 0) causes.push(whole(path, `${rule} Found none valid`), ...fewest(results));
      else if (valid > 1) causes.push(whole(path, `${rule} Found ${valid} valid alternatives`));
    }
    if (allOf.length > 0) {
      const results = this.#alternatives(allOf, value, path);
      const valid = results.filter((each) => each.length === 0).length;
      causes.push(...results.flat());
      if (valid < allOf.length) {
        const none = valid === 0 ? ". None validated" : "";
        causes.push(whole(path, `must validate all the schemas (allOf)${none}`));
      }
    }
    if (not !== undefined && this.value(not, value, path).length === 0) {
      causes.push(whole(path, "must not validate the schema (not)"));
    }
  }

  #alternatives(nodes: readonly SchemaNode[], value: unknown, path: string): FieldCause[][] {
    return nodes.map((node) => this.value(node, value, path));
  }
}

function fewest(results: readonly FieldCause[][]): FieldCause[] {
  return results.reduce(
    (best, each) => (each.length < best.length ? each : best),
    results[0] ?? [],
  );
}

/** Of the value as a whole: upstream gives these no field. */
function whole(path: string, rule: string): FieldCause {
  return invalid("<nil>", "", `${JSON.stringify(path)} ${rule}`);
}

function isOfType(type: string, value: unknown): boolean {
  const actual = jsonTypeOf(value);
  return actual === type || (type === "number" && actual === "integer");
}

function wrongType(path: string, types: readonly string[], actual: string): FieldCause {
  const detail = `${body(path, `must be of type ${types.join(",")}`)}: ${JSON.stringify(actual)}`;
  return typeInvalid(path === "" ? "<nil>" : path, actual, detail);
}

/** A format stands for the type in what is said of numbers, flags and objects. */
function wrongTypeOf(node: SchemaNode, value: unknown, path: string): FieldCause {
  const { format = "" } = node.props;
  const actual = jsonTypeOf(value);
  const plain = typeof value === "string" || Array.isArray(value) || value === null;
  if (plain || !isKnownFormat(format)) {
    return wrongType(path, node.types, actual);
  }
  const formats: Readonly<Record<string, string>> = { integer: "int64", number: "double" };
  return wrongType(path, [format], formats[actual] ?? "");
}

function body(path: string, rule: string): string {
  return `${path} in body ${rule}`;
}

function join(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

function notInEnum(path: string, value: unknown, allowed: readonly unknown[]): FieldCause {
  const texts = allowed.map((each) => (typeof each === "string" ? each : JSON.stringify(each)));
  const shown = texts.slice(0, valuesShown).map((each) => JSON.stringify(each));
  if (texts.length > valuesShown) shown.push(`… (${texts.length - valuesShown} more)`);
  return {
    reason: "FieldValueNotSupported",
    field: path,
    message: `Unsupported value: ${JSON.stringify(value)}: supported values: ${shown.join(", ")}`,
  };
}

const valuesShown = 100;

/** Of length and pattern, upstream tells the first fault alone. */
function firstOfText(node: SchemaNode, value: string, path: string): FieldCause | undefined {
  const { minLength, maxLength, pattern } = node.props;
  if (maxLength !== undefined || minLength !== undefined) {
    const length = value.length <= (minLength ?? 0) ? Array.from(value).length : codePoints(value);
    if (maxLength !== undefined && length > maxLength) return tooLong(path, maxLength);
    if (minLength !== undefined && length < minLength) {
      return invalid(path, value, body(path, `should be at least ${minLength} chars long`));
    }
  }
  if (pattern !== undefined && pattern !== "" && !matchesPattern(pattern, value)) {
    return invalid(path, value, body(path, `should match '${pattern}'`));
  }
  return undefined;
}

function text(node: SchemaNode, value: string, path: string, causes: FieldCause[]): void {
  const first = firstOfText(node, value, path);
  if (first !== undefined) causes.push(first);
  const { format } = node.props;
  if (format !== undefined && !isFormat(format, value)) {
    const detail = `${body(path, `must be of type ${format}`)}: ${JSON.stringify(value)}`;
    causes.push(typeInvalid(path, value, detail));
  }
}

function codePoints(value: string): number {
  let count = 0;
  for (const _ of value) count += 1;
  return count;
}

function number(node: SchemaNode, value: number, path: string, causes: FieldCause[]): void {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = node.props;
  if (multipleOf !== undefined && multipleOf > 0 && !isMultiple(value, multipleOf)) {
    causes.push(invalid(path, value, body(path, `should be a multiple of ${multipleOf}`)));
  }
  if (maximum !== undefined && (exclusiveMaximum ? value >= maximum : value > maximum)) {
    const bound = exclusiveMaximum ? "less than" : "less than or equal to";
    causes.push(invalid(path, value, body(path, `should be ${bound} ${maximum}`)));
  }
  if (minimum !== undefined && (exclusiveMinimum ? value <= minimum : value < minimum)) {
    const bound = exclusiveMinimum ? "greater than" : "greater than or equal to";
    causes.push(invalid(path, value, body(path, `should be ${bound} ${minimum}`)));
  }
}

function isMultiple(value: number, factor: number): boolean {
  const quotient = value / factor;
  return Math.abs(quotient - Math.round(quotient)) < 1e-9 * Math.max(1, Math.abs(quotient));
}

/** Lists of type set and map hold no element twice. */
function uniqueElements(
  node: SchemaNode,
  value: readonly unknown[],
  path: string,
  causes: FieldCause[],
): void {
  if (node.listType === "atomic") return;
  const seen = new Set<string>();
  for (const [index, each] of value.entries()) {
    if (node.listType === "map" && !isObject(each)) continue;
    const identity = node.listType === "map" && isObject(each) ? mapKeyOf(node, each) : each;
    const key = canonicalJson(identity);
    // Upstream shows an object with its fields in order of their names.
    if (seen.has(key)) causes.push(duplicate(`${path}[${index}]`, JSON.parse(key)));
    seen.add(key);
  }
}

function embeddedCauses(value: JsonObject, path: string): FieldCause[] {
  const { apiVersion, kind } = value;
  const causes: FieldCause[] = [];
  const version = join(path, "apiVersion");
  if (apiVersion === undefined) causes.push(required(version));
  else if (apiVersion === "") causes.push(invalid(version, "", "must not be empty"));
  else if (typeof apiVersion === "string" && apiVersion.split("/").length > 2) {
    causes.push(invalid(version, apiVersion, `unexpected GroupVersion string: ${apiVersion}`));
  }
  const field = join(path, "kind");
  if (kind === undefined) causes.push(required(field));
  else if (kind === "") causes.push(invalid(field, "", "must not be empty"));
  else if (typeof kind === "string") {
    const mixed = "may have mixed case, but should otherwise match: ";
    const problems = checkServiceName(kind.toLowerCase());
    if (problems.length > 0) causes.push(invalid(field, kind, `${mixed}${problems.join(",")}`));
  }
  return causes;
}
