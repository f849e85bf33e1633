/** Encoded requests of typed services, held to their contracts. */
import { assert } from "../../../ha/runtime/assert.ts";
import { ScaleWrite } from "../../../proto/gen/autoscaling.ts";
import type { WriteOptions } from "../../../proto/gen/meta.ts";
import { resources } from "../../../proto/gen/schema.ts";
import { type Resource, unknownWireFields } from "../../kinds/mod.ts";
import { badRequest } from "../errors.ts";
import { readingOf } from "../storage/wire.ts";
import type { Call } from "./call.ts";
import { schemaModeOf } from "./documents.ts";

/** Holds a `<Kind>Write` to its contract: see `checkWireFields`. Throws BadRequest. */
export function checkWriteFields(
  call: Call,
  resource: Resource,
  bytes: Uint8Array,
  options: WriteOptions | undefined,
): void {
  const write = resources[resource.schema.message ?? ""]?.write;
  assert(write !== undefined, `${resource.plural} have no Write message`);
  checkWireFields(call, resource, write, bytes, options);
}

/** Decodes a `ScaleWrite` and holds it to its contract. Throws BadRequest. */
export function decodeScaleWrite(call: Call, resource: Resource, bytes: Uint8Array): ScaleWrite {
  const message = "trireme.autoscaling.v1.ScaleWrite";
  const write = readingOf(message, () => ScaleWrite.decode(bytes));
  checkWireFields(call, resource, message, bytes, write.options);
  return write;
}

/**
 * Fields that the contract of `message`, a full name, does not know are refused, warned about or
 * dropped, as the caller chose (`fieldValidation`). Throws BadRequest.
 */
function checkWireFields(
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
    call.warnings.push(...unknown);
    return;
  }
  const { kind, version } = resource;
  throw badRequest(
    `${kind} in version "${version}" cannot be handled as a ${kind}: ` +
      `strict decoding error: ${unknown.join(", ")}`,
  );
}
