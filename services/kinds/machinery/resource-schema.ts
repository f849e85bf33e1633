/** The two ways in which a resource knows its fields: from a message, or not at all. */

import { goDecodingError } from "./go-decoding.ts";
import { isObject } from "./json.ts";
import type { Document, ResourceSchema } from "./resource.ts";
import { checkSchema, fieldSchema, type SchemaCheck, type SchemaMode } from "./schema.ts";
import { keepUnknown } from "./unknown-fields.ts";

/** The fields of a message of the contract. */
export function messageSchema(message: string): ResourceSchema {
  return {
    message,
    check: (json, mode, options) => checkSchema(message, json, mode, options),
    decodingError: (json) => goDecodingError(message, json),
    keepUnknown: (next, stored) => keepUnknown(message, next, stored),
    hasField: (name) => fieldSchema(message, name) !== undefined,
  };
}

const objectMeta = "trireme.meta.v1.ObjectMeta";

/** Metadata is checked like that of any kind; every other field may hold any JSON within the bounds. */
export const freeFormSchema: ResourceSchema = {
  message: undefined,
  check: checkFreeForm,
  keepUnknown: (next) => next,
  hasField: () => true,
};

function checkFreeForm(json: unknown, mode: SchemaMode): SchemaCheck {
  if (!isObject(json)) return checkSchema(objectMeta, json, mode);
  const { metadata = {}, ...rest } = json;
  const checked = checkSchema(objectMeta, metadata, mode);
  return {
    errors: checked.errors.map((cause) => ({ ...cause, field: `metadata.${cause.field}` })),
    unknown: checked.unknown.map((text) => text.replace('"', '"metadata.')),
    document: { ...(structuredClone(rest) as Document), metadata: checked.document as object },
  };
}
