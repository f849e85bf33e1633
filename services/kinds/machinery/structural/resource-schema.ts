/** A structural schema as the schema of a resource. */
import type { FieldType } from "../field-type.ts";
import { isObject } from "../json.ts";
import { limits } from "../limits.ts";
import type { Document, ResourceSchema } from "../resource.ts";
import { freeFormSchema } from "../resource-schema.ts";
import { resourceType } from "./field-types.ts";
import { resourceFields, type SchemaNode } from "./node.ts";
import type { SchemaProps } from "./props.ts";
import { pruneUnknown } from "./prune.ts";

/**
 * Prunes what the schema does not know. Values are held to the schema when the document is
 * complete, by `validateValue`. `compile` is called when the schema is first needed.
 */
export function structuralSchema(props: SchemaProps, compile: () => SchemaNode): ResourceSchema {
  let type: FieldType | undefined;
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
      type ??= resourceType(compile());
      return type;
    },
    get openApi() {
      openApi ??= publishedSchema(props);
      return openApi;
    },
  };
}

/** As OpenAPI v3 publishes it; metadata have the schema that those of every resource have. */
function publishedSchema({ properties = {}, ...rest }: SchemaProps): Record<string, unknown> {
  const { metadata: _metadata, ...own } = properties;
  return { ...rest, properties: own };
}
