/** The JSON schemas within a definition: their fields, and what they compile to. */
import { createHash } from "node:crypto";
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import { checkRules } from "../../machinery/cel/rule-check.ts";
import { isObject, type JsonObject } from "../../machinery/json.ts";
import type { Document, ResourceSchema } from "../../machinery/resource.ts";
import { checkDefaults } from "../../machinery/structural/default-check.ts";
import { isKnownFormat } from "../../machinery/structural/formats.ts";
import { compileSchema, type SchemaNode } from "../../machinery/structural/node.ts";
import { checkOpenApi } from "../../machinery/structural/open-api-check.ts";
import { checkProps, type SchemaProps } from "../../machinery/structural/props.ts";
import { checkStructural } from "../../machinery/structural/structural-check.ts";

/** A schema, and everything made from it once. */
export interface CompiledSchema {
  readonly props: SchemaProps;
  readonly node: SchemaNode;
  /** What is wrong with the schema, with fields below `path`. */
  problems(path: string): FieldCause[];
}

const compiledMax = 256;
const compiled = new Map<string, CompiledSchema>();

/**
 * Compiles a schema; the same text is compiled once, since every write of a definition's status
 * passes by here, and each master serves what it has validated.
 */
export function compiledSchema(schema: unknown): CompiledSchema {
  const text = JSON.stringify(schema ?? {});
  const key = createHash("sha1").update(text).digest("base64");
  const known = compiled.get(key);
  if (known !== undefined) return known;
  const made = compile(JSON.parse(text));
  if (compiled.size >= compiledMax) compiled.delete(compiled.keys().next().value ?? "");
  compiled.set(key, made);
  return made;
}

const anyPath = "\u0000";

function compile(schema: unknown): CompiledSchema {
  const { errors, props } = checkProps(schema, anyPath);
  let node: SchemaNode | undefined;
  let causes: FieldCause[] | undefined;
  const compiledNode = () => {
    node ??= compileSchema(props);
    return node;
  };
  return {
    props,
    get node() {
      return compiledNode();
    },
    problems(path) {
      causes ??= errors.length > 0 ? errors : problemsOf(props, compiledNode);
      return causes.map((cause) => ({
        ...cause,
        field: cause.field.replace(anyPath, path),
        message: cause.message.replaceAll(anyPath, path),
      }));
    },
  };
}

function problemsOf(props: SchemaProps, node: () => SchemaNode): FieldCause[] {
  const structural = checkStructural(props, anyPath);
  const openApi = checkOpenApi(props, anyPath);
  if (structural.length > 0) return [...structural, ...openApi];
  const defaults = checkDefaults(node(), anyPath);
  if (defaults.length > 0 || openApi.length > 0) return [...defaults, ...openApi];
  return checkRules(node(), anyPath);
}

/** The formats of texts that are not checked, since they are unknown (upstream warns of them). */
export function unknownFormats(schema: unknown): string[] {
  const found = new Set<string>();
  const visit = ({ props, properties, items, additional }: SchemaNode): void => {
    const { type, format = "" } = props;
    if (type === "string" && format !== "" && !isKnownFormat(format)) found.add(format);
    for (const property of properties.values()) visit(property);
    if (items !== undefined) visit(items);
    if (typeof additional === "object") visit(additional);
  };
  visit(compiledSchema(schema).node);
  return [...found];
}

/** Holds the schemas within a definition to their fields, which the message does not know. */
export function refineSchema(base: ResourceSchema): ResourceSchema {
  return {
    ...base,
    check(json, mode) {
      const checked = base.check(json, mode);
      const errors = [...checked.errors];
      const unknown = [...checked.unknown];
      for (const { holder, path } of schemasOf(checked.document)) {
        const props = checkProps(holder["openAPIV3Schema"], path);
        errors.push(...props.errors);
        if (mode !== "ignore") {
          unknown.push(...props.unknown.map((at) => `unknown field ${JSON.stringify(at)}`));
        }
        holder["openAPIV3Schema"] = props.props;
      }
      return { errors, unknown, document: checked.document };
    },
  };
}

function schemasOf(document: Document): { holder: JsonObject; path: string }[] {
  const { spec } = document;
  const versions = isObject(spec) && Array.isArray(spec["versions"]) ? spec["versions"] : [];
  return versions.flatMap((version: unknown, index) => {
    const holder = isObject(version) ? version["schema"] : undefined;
    if (!isObject(holder) || holder["openAPIV3Schema"] === undefined) return [];
    return [{ holder, path: `spec.versions[${index}].schema.openAPIV3Schema` }];
  });
}
