/** What a structural schema may say. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { FieldCause } from "../../ha/runtime/status-error.ts";
import { compiledSchema } from "../../services/kinds/apiextensions/custom-resource-definition/schemas.ts";
import type { SchemaProps } from "../../services/kinds/machinery/structural/props.ts";

function texts(causes: readonly FieldCause[]): string[] {
  return causes.map(({ field, message }) => `${field}: ${message}`);
}

function problems(schema: SchemaProps): string[] {
  return texts(compiledSchema(schema).problems("s"));
}

const spec = (schema: SchemaProps): SchemaProps => ({
  type: "object",
  properties: { spec: schema },
});
const at = "s.properties[spec]";

test("a schema is structural, or told where it is not", () => {
  const cases: [SchemaProps, string[]][] = [
    [{}, ["s.type: Required value: must not be empty at the root"]],
    [{ type: "string" }, ['s.type: Invalid value: "string": must be object at the root']],
    [spec({}), [`${at}.type: Required value: must not be empty for specified object fields`]],
    [
      spec({ type: "array", items: {} }),
      [`${at}.items.type: Required value: must not be empty for specified array items`],
    ],
    [spec({ type: "array" }), [`${at}.items: Required value: must be specified`]],
    [
      { type: "object", additionalProperties: { type: "string" } },
      ["s.additionalProperties: Forbidden: must not be used at the root"],
    ],
    [
      spec({ type: "object", anyOf: [{ type: "object", description: "d", default: {} }] }),
      [
        `${at}.anyOf[0].default: Forbidden: must be undefined to be structural`,
        `${at}.anyOf[0].description: Forbidden: must be empty to be structural`,
        `${at}.anyOf[0].type: Forbidden: must be empty to be structural`,
      ],
    ],
    [
      { type: "object", oneOf: [{ properties: { a: { minimum: 1 } } }] },
      ["s.properties[a]: Required value: because it is defined in s.oneOf[0].properties[a]"],
    ],
    [
      spec({
        "x-kubernetes-int-or-string": true,
        anyOf: [{ type: "integer" }, { type: "string" }],
      }),
      [],
    ],
    [
      spec({
        "x-kubernetes-int-or-string": true,
        allOf: [{ anyOf: [{ type: "integer" }, { type: "string" }] }, { pattern: "a" }],
      }),
      [],
    ],
    [
      spec({ "x-kubernetes-int-or-string": true, "x-kubernetes-preserve-unknown-fields": true }),
      [
        `${at}.x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is true`,
      ],
    ],
    [
      {
        type: "object",
        properties: { metadata: { type: "object", properties: { labels: { type: "object" } } } },
      },
      [
        "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
      ],
    ],
    [
      {
        type: "object",
        properties: {
          metadata: { type: "object", properties: { name: { type: "string", maxLength: 5 } } },
        },
      },
      [],
    ],
    [
      spec({ type: "object", "x-kubernetes-embedded-resource": true }),
      [
        `${at}.properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields`,
      ],
    ],
    [
      spec({ type: "string", pattern: "(" }),
      [
        `${at}.pattern: Invalid value: "(": must be a valid regular expression, but isn't: error parsing regexp: missing closing ): \`(\``,
      ],
    ],
  ];
  for (const [schema, expected] of cases) assert.deepEqual(problems(schema), expected);
});

test("parts of OpenAPI that resources cannot use, list types and defaults are refused", () => {
  const cases: [SchemaProps, string[]][] = [
    [
      spec({ type: "thing" }),
      [
        `${at}.type: Unsupported value: "thing": supported values: "array", "boolean", "integer", "number", "object", "string"`,
      ],
    ],
    [spec({ type: "string", $ref: "#/a" }), [`${at}.$ref: Forbidden: $ref is not supported`]],
    [
      spec({ type: "array", uniqueItems: true, items: { type: "string" } }),
      [
        `${at}.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic`,
      ],
    ],
    [
      spec({
        type: "object",
        properties: { a: { type: "string" } },
        additionalProperties: { type: "string" },
      }),
      [
        `${at}.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive`,
      ],
    ],
    [
      spec({
        type: "array",
        "x-kubernetes-list-type": "map",
        items: { type: "object", properties: { a: { type: "string" } } },
      }),
      [
        `${at}.x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map`,
      ],
    ],
    [
      spec({
        type: "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["a", "b"],
        items: { type: "object", properties: { a: { type: "string" } } },
      }),
      [
        `${at}.items.properties[a].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property`,
        `${at}.x-kubernetes-list-map-keys: Invalid value: ["a","b"]: entries must all be names of item properties`,
      ],
    ],
    [
      spec({ type: "string", "x-kubernetes-list-type": "set" }),
      [`${at}.type: Invalid value: "string": must be array if x-kubernetes-list-type is specified`],
    ],
    [
      spec({ type: "integer", default: "x" }),
      [`${at}.default: Invalid value: "string":  in body must be of type integer: "string"`],
    ],
    [
      spec({ type: "object", properties: { a: { type: "string" } }, default: { a: "x", b: 1 } }),
      [`${at}.default: Invalid value: {"a":"x","b":1}: must not have unknown fields`],
    ],
    [
      { type: "object", properties: { kind: { type: "string", default: "x" } } },
      ["s.properties[kind].default: Forbidden: must not be set in top-level kind"],
    ],
  ];
  for (const [schema, expected] of cases) assert.deepEqual(problems(schema), expected);
});
