/** Encoded requests of typed services, held to their contracts. */
import { assert } from "../../../ha/runtime/assert.ts";
import type { WriteOptions } from "../../../proto/gen/meta.ts";
import { services } from "../../../proto/gen/schema.ts";
import { type Resource, unknownWireFields } from "../../kinds/mod.ts";
import { badRequest } from "../errors.ts";
import { readingOf } from "../storage/wire.ts";
import type { Call } from "./call.ts";
import { schemaModeOf } from "./documents.ts";
import { warn } from "./warnings.ts";

/** A method of a generated service. */
export interface RequestDecoder<R> {
  /** E.g. `/trireme.core.v1.Pods/Delete`. */
  readonly path: string;
  requestDeserialize(bytes: Buffer): R;
}

/**
 * Decodes a request of `method`; see `checkWireFields`. A request without WriteOptions is held to
 * its contract strictly: a precondition that this master does not know must not be passed over.
 * Throws BadRequest.
 */
export function decodeRequest<R extends { options?: WriteOptions | undefined } | object>(
  call: Call,
  resource: Resource,
  method: RequestDecoder<R>,
  bytes: Buffer,
): R {
  const message = requestOf(method.path);
  const request = readingOf(message, () => method.requestDeserialize(bytes));
  checkWireFields(call, resource, message, bytes, "options" in request ? request.options : {});
  return request;
}

/** The full name of the request of the method at `path`. */
function requestOf(path: string): string {
  const [, service = "", method = ""] = path.split("/");
  const found = services[service]?.methods[method];
  assert(found !== undefined, `no method ${path} in proto/gen/schema.ts`);
  return found.request;
}

/**
 * Fields that the contract of `message`, a full name, does not know are refused, warned about or
 * dropped, as the caller chose (`fieldValidation`). Throws BadRequest.
 */
export function checkWireFields(
  call: Call,
  resource: Resource,
  message: string,
  bytes: Uint8Array,
  options: WriteOptions | undefined,
): void {
  const mode = schemaModeOf(options);
  if (mode === "ignore") return;
  const unknown = readingOf(message, () => unknownWireFields(message, bytes));
  if (unknown.length === 0) return;
  if (mode === "warn") {
    warn(call, unknown);
    return;
  }
  throw badRequest(
    `${resource.kind} in version "${resource.version}" cannot be handled as a ${resource.kind}: ` +
      `strict decoding error: ${unknown.join(", ")}`,
  );
}
