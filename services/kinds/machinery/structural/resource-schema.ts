/** A structural schema as the schema of a resource. */
import { isObject } from "../json.ts";
import type { Document, ResourceSchema } from "../resource.ts";
import { freeFormSchema } from "../resource-schema.ts";
import { limits } from "../limits.ts";
import { fieldTypeOf } from "./field-types.ts";
import { resourceFields, type SchemaNode } from "./node.ts";
import type { SchemaProps } from "./props.ts";
import { pruneUnknown } from "./prune.ts";

interface Named {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

/**
 * Prunes what the schema does not know. Values are held to the schema when the document is
 * complete, by `validateValue`. `compile` is called when the schema is first needed.
 */
export function structuralSchema(
  named: Named,
  props: SchemaProps,
  compile: () => SchemaNode,
): ResourceSchema {
  let openApi: Readonly<Record<string, unknown>> | undefined;
  return {
    message: undefined,
    check(json, mode) {
      const { errors, unknown, document } = freeFormSchema.check(json, mode);
      if (!isObject(json)) return { errors, unknown, document };
      const pruned = pruneUnknown(compile(), document, mode === "ignore" ? 0 : limits.errors);
      const texts = pruned.map((path) => `unknown field ${JSON.stringify(path)}`);
      return { errors, unknown: [...unknown, ...texts], document };
    },
    keepUnknown: (next: Document) => next,
    hasField: (name) => {
      const node = compile();
      return node.properties.has(name) || node.preserve || resourceFields.has(name);
    },
    get type() {
      return fieldTypeOf(compile());
    },
    get openApi() {
      openApi ??= publishedSchema(named, props);
      return openApi;
    },
  };
}

/** The schema as OpenAPI v3 publishes it, with the fields that every resource has. */
function publishedSchema(
  { group, version, kind }: Named,
  props: SchemaProps,
): Readonly<Record<string, unknown>> {
  const { properties = {}, ...rest } = props;
  return {
    ...rest,
    type: "object",
    properties: {
      ...properties,
      apiVersion: {
        type: "string",
        description: "The group and version whose schema the object follows, e.g. apps/v1.",
      },
      kind: { type: "string", description: "The kind of the object." },
      metadata: {
        description: "The metadata that every object has.",
        allOf: [
          { $ref: "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta" },
        ],
        default: {},
      },
    },
    "x-kubernetes-group-version-kind": [{ group, version, kind }],
  };
}
