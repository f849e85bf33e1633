/**
 * A Swagger document as the protobuf message `openapi.v2.Document`, which client-go asks for by
 * `application/com.github.proto-openapi.spec.v2@v1.0+protobuf`. Field numbers are those of gnostic's
 * OpenAPIv2.proto; only what this server's documents contain is written.
 */
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { yamlText } from "../../kinds/mod.ts";
import type { SchemaObject } from "./schemas.ts";
import type { SwaggerDocument } from "./swagger.ts";

export function swaggerMessage(document: SwaggerDocument): Uint8Array {
  const writer = new BinaryWriter();
  text(writer, 1, document.swagger);
  nested(writer, 2, (info) => {
    text(info, 1, document.info.title);
    text(info, 2, document.info.version);
  });
  nested(writer, 8, (paths) => {
    for (const [path, item] of Object.entries(document.paths)) {
      named(paths, 2, path, (value) => writePath(value, item));
    }
  });
  nested(writer, 9, (definitions) => {
    for (const [name, schema] of Object.entries(document.definitions)) {
      named(definitions, 1, name, (value) => writeSchema(value, schema));
    }
  });
  return writer.finish();
}

type Write = (writer: BinaryWriter) => void;

const tag = (field: number, type: WireType) => (field << 3) | type;

function text(writer: BinaryWriter, field: number, value: unknown): void {
  if (typeof value !== "string" || value === "") return;
  writer.uint32(tag(field, WireType.LengthDelimited)).string(value);
}

function texts(writer: BinaryWriter, field: number, values: unknown): void {
  for (const value of Array.isArray(values) ? values : []) text(writer, field, value);
}

function flag(writer: BinaryWriter, field: number, value: unknown): void {
  if (value === true) writer.uint32(tag(field, WireType.Varint)).bool(true);
}

function count(writer: BinaryWriter, field: number, value: unknown): void {
  if (typeof value !== "number") return;
  writer.uint32(tag(field, WireType.Varint)).int64(Math.trunc(value));
}

function number(writer: BinaryWriter, field: number, value: unknown): void {
  if (typeof value !== "number") return;
  writer.uint32(tag(field, WireType.Bit64)).double(value);
}

function nested(writer: BinaryWriter, field: number, write: Write): void {
  writer.uint32(tag(field, WireType.LengthDelimited)).fork();
  write(writer);
  writer.join();
}

/** An entry of a map, as gnostic's `Named…` messages have it. */
function named(writer: BinaryWriter, field: number, name: string, write: Write): void {
  nested(writer, field, (entry) => {
    text(entry, 1, name);
    nested(entry, 2, write);
  });
}

/** `Any`, which holds YAML. */
function anyValue(writer: BinaryWriter, value: unknown): void {
  text(writer, 2, yamlText(value));
}

function extensions(writer: BinaryWriter, field: number, from: SchemaObject): void {
  for (const [name, value] of Object.entries(from)) {
    if (name.startsWith("x-")) named(writer, field, name, (any) => anyValue(any, value));
  }
}

const operationFields: Readonly<Record<string, number>> = {
  get: 2,
  put: 3,
  post: 4,
  delete: 5,
  patch: 8,
};

function writePath(writer: BinaryWriter, item: Readonly<Record<string, unknown>>): void {
  for (const [method, field] of Object.entries(operationFields)) {
    const operation = item[method] as SchemaObject | undefined;
    if (operation !== undefined) nested(writer, field, (value) => writeOperation(value, operation));
  }
  parameters(writer, 9, item["parameters"]);
}

function writeOperation(writer: BinaryWriter, operation: SchemaObject): void {
  texts(writer, 1, operation["tags"]);
  text(writer, 3, operation["description"]);
  text(writer, 5, operation["operationId"]);
  texts(writer, 6, operation["produces"]);
  texts(writer, 7, operation["consumes"]);
  parameters(writer, 8, operation["parameters"]);
  nested(writer, 9, (responses) => {
    for (const [code, answer] of Object.entries(operation["responses"] as SchemaObject)) {
      const { description, schema } = answer as SchemaObject;
      named(responses, 1, code, (value) =>
        nested(value, 1, (response) => {
          text(response, 1, description);
          if (schema === undefined) return;
          nested(response, 2, (one) =>
            nested(one, 1, (inner) => writeSchema(inner, schema as SchemaObject)),
          );
        }),
      );
    }
  });
  texts(writer, 10, operation["schemes"]);
  extensions(writer, 13, operation);
}

function parameters(writer: BinaryWriter, field: number, list: unknown): void {
  for (const parameter of (list ?? []) as readonly SchemaObject[]) {
    // ParametersItem.parameter, then Parameter.body_parameter or .non_body_parameter.
    nested(writer, field, (item) =>
      nested(item, 1, (one) => {
        if (parameter["in"] === "body") nested(one, 1, (body) => writeBody(body, parameter));
        else nested(one, 2, (plain) => writePlain(plain, parameter));
      }),
    );
  }
}

function writeBody(writer: BinaryWriter, parameter: SchemaObject): void {
  text(writer, 2, parameter["name"]);
  text(writer, 3, parameter["in"]);
  flag(writer, 4, parameter["required"]);
  nested(writer, 5, (schema) => writeSchema(schema, parameter["schema"] as SchemaObject));
}

/** A parameter of the query or of the path: other fields, other numbers. */
function writePlain(writer: BinaryWriter, parameter: SchemaObject): void {
  const query = parameter["in"] === "query";
  nested(writer, query ? 3 : 4, (one) => {
    flag(one, 1, parameter["required"]);
    text(one, 2, parameter["in"]);
    text(one, 3, parameter["description"]);
    text(one, 4, parameter["name"]);
    text(one, query ? 6 : 5, parameter["type"]);
    flag(one, query ? 20 : 19, parameter["uniqueItems"]);
  });
}

function writeSchema(writer: BinaryWriter, schema: SchemaObject): void {
  text(writer, 1, schema["$ref"]);
  text(writer, 2, schema["format"]);
  text(writer, 3, schema["title"]);
  text(writer, 4, schema["description"]);
  const { default: preset, enum: choices, items, additionalProperties, properties } = schema;
  if (preset !== undefined) nested(writer, 5, (any) => anyValue(any, preset));
  number(writer, 7, schema["maximum"]);
  number(writer, 9, schema["minimum"]);
  count(writer, 11, schema["maxLength"]);
  count(writer, 12, schema["minLength"]);
  text(writer, 13, schema["pattern"]);
  count(writer, 14, schema["maxItems"]);
  count(writer, 15, schema["minItems"]);
  texts(writer, 19, schema["required"]);
  for (const choice of Array.isArray(choices) ? choices : []) {
    nested(writer, 20, (any) => anyValue(any, choice));
  }
  if (typeof additionalProperties === "object" && additionalProperties !== null) {
    nested(writer, 21, (item) =>
      nested(item, 1, (inner) => writeSchema(inner, additionalProperties as SchemaObject)),
    );
  }
  if (typeof schema["type"] === "string")
    nested(writer, 22, (type) => text(type, 1, schema["type"]));
  if (typeof items === "object" && items !== null) {
    nested(writer, 23, (item) =>
      nested(item, 1, (inner) => writeSchema(inner, items as SchemaObject)),
    );
  }
  if (typeof properties === "object" && properties !== null) {
    nested(writer, 25, (map) => {
      for (const [name, value] of Object.entries(properties)) {
        named(map, 1, name, (inner) => writeSchema(inner, value as SchemaObject));
      }
    });
  }
  extensions(writer, 31, schema);
}
