import type { WriteOptions } from "../../../proto/gen/meta.ts";
import { parseJson } from "../../kinds/machinery/json-text.ts";
import { orderedPieces } from "../../kinds/machinery/wire-maps.ts";
import type { Document, Resource } from "../../kinds/mod.ts";
import { badRequest } from "../errors.ts";
import { limits } from "../limits.ts";
import { decodeObject, peekMetadata } from "../storage/wire.ts";
import type { Call } from "./call.ts";
import { decodedDocument } from "./documents.ts";
import { checkWireFields } from "./wire-fields.ts";

/**
 * The object of a write as it came over the wire. Its address is read at once, for the authorizers;
 * the object itself is decoded, defaulted and checked only for a user who may write it.
 */
export interface Body {
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  /** As they came. */
  readonly bytes: Uint8Array;
  /** What tells this body from another, whatever order its client wrote maps in. */
  identity(): readonly (string | Uint8Array)[];
  /** The document is the verb's to change. Throws BadRequest or Invalid. Called at most once. */
  decode(call: Call, options: WriteOptions | undefined): Document;
}

/** A document that this program made itself. */
export function documentBody(document: Document): Body {
  return {
    namespace: document.metadata?.namespace,
    name: document.metadata?.name,
    get bytes() {
      return Buffer.from(JSON.stringify(document));
    },
    identity: () => [JSON.stringify(document)],
    decode: () => document,
  };
}

/** JSON text. Throws BadRequest for what is no JSON. */
export function jsonBody(resource: Resource, json: Uint8Array): Body {
  if (json.length === 0) throw badRequest("json: the object is required");
  const text = Buffer.from(json.buffer, json.byteOffset, json.byteLength).toString("utf8");
  const { value, duplicates } = parseJson(text, limits.objectBytes);
  const metadata = fieldOf(value, "metadata");
  return {
    namespace: textOf(fieldOf(metadata, "namespace")),
    name: textOf(fieldOf(metadata, "name")),
    bytes: json,
    identity: () => [json],
    decode: (call, options) => {
      call.audit?.requestObject(() => value);
      return decodedDocument(call, resource, value, options, duplicates);
    },
  };
}

/**
 * The kind's own message, in the `<Kind>Write` that came around it, whose fields are all held to the
 * contract. Throws BadRequest for what is no message.
 */
export function messageBody(resource: Resource, message: Uint8Array, write: Uint8Array): Body {
  const { namespace, name } = peekMetadata(resource, message);
  return {
    namespace,
    name,
    bytes: message,
    identity: () => orderedPieces(resource, message),
    decode: (call, options) => {
      checkWireFields(call, resource, `${resource.schema.message}Write`, write, options);
      const document = decodeObject(resource, message);
      call.audit?.requestObject(() => document);
      return document;
    },
  };
}

function fieldOf(value: unknown, field: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, field)) return undefined;
  return (value as Record<string, unknown>)[field];
}

/** What is no text is found wrong by the schema, later. */
function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
