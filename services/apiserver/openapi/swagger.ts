/** OpenAPI v2 (Swagger 2.0), for clients that do not read v3: the same content in the older form. */
import type { OpenApiDocument } from "./documents.ts";
import type { SchemaObject } from "./schemas.ts";

export interface SwaggerDocument {
  readonly swagger: "2.0";
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly definitions: Readonly<Record<string, SchemaObject>>;
}

export function swaggerOf({ info, paths, components }: OpenApiDocument): SwaggerDocument {
  return {
    swagger: "2.0",
    info,
    paths: mapValues(paths as Readonly<Record<string, SchemaObject>>, pathOf),
    definitions: mapValues(components.schemas, schemaOf),
  };
}

const methods = new Set(["get", "put", "post", "delete", "patch"]);

function pathOf(item: SchemaObject): Record<string, unknown> {
  const entries = Object.entries(item).map(([name, value]) => {
    if (methods.has(name)) return [name, operationOf(value as SchemaObject)];
    return [name, (value as readonly SchemaObject[]).map(parameterOf)];
  });
  return Object.fromEntries(entries) as Record<string, unknown>;
}

interface Content {
  readonly content?: Readonly<Record<string, { readonly schema: SchemaObject }>>;
}

function operationOf(operation: SchemaObject): SchemaObject {
  const { requestBody, parameters, responses, ...rest } = operation;
  const body = requestBody as Content | undefined;
  const given = ((parameters ?? []) as readonly SchemaObject[]).map(parameterOf);
  const answers = responses as Readonly<Record<string, Content & { description: string }>>;
  const [produced] = Object.values(answers);
  return {
    ...rest,
    consumes: Object.keys(body?.content ?? { "*/*": {} }),
    produces: Object.keys(produced?.content ?? { "application/json": {} }),
    schemes: ["https"],
    parameters: [...(body === undefined ? [] : [bodyParameter(body)]), ...given],
    responses: mapValues(answers, ({ description, content }) => {
      const schema = firstSchema(content);
      return { description, ...(schema !== undefined && { schema: schemaOf(schema) }) };
    }),
  };
}

function bodyParameter({ content }: Content): SchemaObject {
  return { name: "body", in: "body", required: true, schema: schemaOf(firstSchema(content) ?? {}) };
}

function firstSchema(content: Content["content"]): SchemaObject | undefined {
  return Object.values(content ?? {})[0]?.schema;
}

function parameterOf({ schema, ...rest }: SchemaObject): SchemaObject {
  return { ...rest, ...(schema as SchemaObject | undefined) };
}

/** References stand alone there, and there is no `oneOf`. */
function schemaOf(schema: SchemaObject): SchemaObject {
  const { allOf, oneOf: _oneOf, nullable: _nullable, ...rest } = schema;
  const [only, second] = (allOf ?? []) as readonly SchemaObject[];
  const isReference = only?.["$ref"] !== undefined && second === undefined;
  const reference = isReference ? only["$ref"] : schema["$ref"];
  const { items, properties, additionalProperties } = schema;
  return {
    ...rest,
    ...(schema["format"] === "int-or-string" && { type: "string" }),
    ...(typeof reference === "string" && {
      $ref: reference.replace("#/components/schemas/", "#/definitions/"),
    }),
    ...(isSchema(items) && { items: schemaOf(items) }),
    ...(isSchema(additionalProperties) && {
      additionalProperties: schemaOf(additionalProperties),
    }),
    ...(isSchema(properties) && {
      properties: mapValues(properties as Readonly<Record<string, SchemaObject>>, schemaOf),
    }),
  };
}

function isSchema(value: unknown): value is SchemaObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function mapValues<T, R>(
  record: Readonly<Record<string, T>>,
  convert: (value: T) => R,
): Record<string, R> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, convert(value)]));
}
