/** Schemas as types of the language, and JSON values as values of those types. */
import { Duration } from "@marcbachmann/cel-js/evaluator";
import { parseGoDuration } from "../go-duration.ts";
import { isObject, setField } from "../json.ts";
import { resourceFields, type SchemaNode } from "../structural/node.ts";
import type { CelEnvironment } from "./environment.ts";
import { equalValues, TypedObject } from "./values.ts";

type ObjectClass = new () => TypedObject;

interface ObjectType {
  readonly name: string;
  readonly create: ObjectClass;
}

const timestamp = "google.protobuf.Timestamp";
const duration = "google.protobuf.Duration";

/** Words that cannot stand where a field's name does. */
const reserved: ReadonlySet<string> = new Set([
  ...["true", "false", "null", "in", "as", "break", "const", "continue", "else", "for"],
  ...["function", "if", "import", "let", "loop", "package", "namespace", "return", "var"],
  ...["void", "while"],
]);

/** A field's name as expressions write it; undefined: it cannot be written. */
function escapedName(name: string): string | undefined {
  if (reserved.has(name)) return `__${name}__`;
  if (!/^[A-Za-z_][A-Za-z0-9_./-]*$/.test(name)) return undefined;
  return name
    .replaceAll("__", "__underscores__")
    .replaceAll(".", "__dot__")
    .replaceAll("-", "__dash__")
    .replaceAll("/", "__slash__");
}

/** Declares the types of one schema in an environment, each when it is first needed. */
export class SchemaTypes {
  readonly #environment: CelEnvironment;
  readonly #root: SchemaNode;
  readonly #names = new Map<SchemaNode, string | undefined>();
  readonly #objects = new Map<SchemaNode, ObjectType>();
  #metadata: ObjectType | undefined;

  constructor(environment: CelEnvironment, root: SchemaNode) {
    this.#environment = environment;
    this.#root = root;
  }

  /** The name of the type; undefined: values of it cannot be read by expressions. */
  typeOf(node: SchemaNode): string | undefined {
    if (this.#names.has(node)) return this.#names.get(node);
    const name = this.#declare(node);
    this.#names.set(node, name);
    return name;
  }

  /** The type of a node whose rules are compiled: a value of it is at hand, whatever it is. */
  selfTypeOf(node: SchemaNode): string {
    return this.typeOf(node) ?? "dyn";
  }

  valueOf(node: SchemaNode, value: unknown): unknown {
    if (value === null || value === undefined) return null;
    if (Array.isArray(value)) {
      const { items } = node;
      return value.map((each) =>
        items === undefined ? plainValue(each) : this.valueOf(items, each),
      );
    }
    if (isObject(value)) return this.#objectValue(node, value);
    if (typeof value === "number") {
      return node.props.type === "number" ? value : plainValue(value);
    }
    return typeof value === "string" ? textValue(node, value) : value;
  }

  #declare(node: SchemaNode): string | undefined {
    if (node.intOrString || node.nullable) return "dyn";
    switch (node.props.type) {
      case "array": {
        const element = node.items && this.typeOf(node.items);
        return element === undefined ? undefined : `list<${element}>`;
      }
      case "object":
        return this.#declareObject(node);
      case "string":
        return textType(node.props.format);
      case "boolean":
        return "bool";
      case "number":
        return "double";
      case "integer":
        return "int";
      default:
        return undefined;
    }
  }

  #declareObject(node: SchemaNode): string | undefined {
    if (typeof node.additional === "object") {
      const element = this.typeOf(node.additional);
      return element === undefined ? undefined : `map<string, ${element}>`;
    }
    const isResource = node === this.#root || node.embedded;
    if (node.properties.size === 0 && node.preserve && !isResource) return undefined;
    const fields: Record<string, string> = {};
    for (const [name, property] of node.properties) {
      if (isResource && resourceFields.has(name)) continue;
      const [field, type] = [escapedName(name), this.typeOf(property)];
      if (field !== undefined && type !== undefined) setField(fields, field, type);
    }
    if (isResource) {
      this.#metadata ??= this.#register({ name: "string", generateName: "string" });
      const { name } = this.#metadata;
      Object.assign(fields, { apiVersion: "string", kind: "string", metadata: name });
    }
    const type = this.#register(fields);
    this.#objects.set(node, type);
    return type.name;
  }

  #register(fields: Record<string, string>): ObjectType {
    types += 1;
    const name = `Object${types}`;
    const create = { [name]: class extends TypedObject {} }[name] as ObjectClass;
    this.#environment.registerType(name, { ctor: create, fields });
    this.#environment.registerOperator(`${name} == ${name}`, equalValues);
    return { name, create };
  }

  #objectValue(node: SchemaNode, value: Record<string, unknown>): unknown {
    const { additional } = node;
    if (typeof additional === "object") {
      const map: Record<string, unknown> = {};
      for (const key of Object.keys(value))
        setField(map, key, this.valueOf(additional, value[key]));
      return map;
    }
    const type = this.#objects.get(node);
    if (type === undefined) return plainValue(value);
    const object = new type.create();
    for (const name of Object.keys(value)) {
      const property = node.properties.get(name);
      const field = escapedName(name);
      if (property === undefined || field === undefined) continue;
      if (this.typeOf(property) === undefined) continue;
      object.set(field, this.valueOf(property, value[name]));
    }
    if (node === this.#root || node.embedded) this.#setResourceFields(object, value);
    return object;
  }

  #setResourceFields(object: TypedObject, value: Record<string, unknown>): void {
    for (const name of ["apiVersion", "kind"]) {
      if (typeof value[name] === "string") object.set(name, value[name]);
    }
    const { metadata } = value;
    object.delete("metadata");
    if (!isObject(metadata) || this.#metadata === undefined) return;
    const shown = new this.#metadata.create();
    for (const name of ["name", "generateName"]) {
      if (typeof metadata[name] === "string") shown.set(name, metadata[name]);
    }
    object.set("metadata", shown);
  }
}

/** Types of all schemas have names of their own, since the classes of values are told apart by them. */
let types = 0;

function textType(format: string | undefined): string {
  switch (format) {
    case "byte":
      return "bytes";
    case "duration":
      return duration;
    case "date":
    case "date-time":
      return timestamp;
    default:
      return "string";
  }
}

function textValue({ props, intOrString }: SchemaNode, text: string): unknown {
  if (props.type !== "string" || intOrString) return text;
  switch (textType(props.format)) {
    case "bytes":
      return Buffer.from(text, "base64");
    case duration: {
      const nanos = parseGoDuration(text);
      if (nanos === undefined) return text;
      const second = 1_000_000_000n;
      return new Duration(nanos / second, Number(nanos % second));
    }
    case timestamp:
      return new Date(props.format === "date" ? `${text}T00:00:00Z` : text);
    default:
      return text;
  }
}

/** Of a value without a schema: whole numbers are ints. */
export function plainValue(value: unknown): unknown {
  if (typeof value === "number") return Number.isSafeInteger(value) ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map(plainValue);
  if (!isObject(value)) return value ?? null;
  const map: Record<string, unknown> = {};
  for (const name of Object.keys(value)) setField(map, name, plainValue(value[name]));
  return map;
}
