/** Encoded requests of typed services, held to their contracts. */
import { StatusError } from "../../../ha/runtime/status-error.ts";
import { ScaleWrite } from "../../../proto/gen/autoscaling.ts";
import type { WriteOptions } from "../../../proto/gen/meta.ts";
import { type Resource, unknownWireFields } from "../../kinds/mod.ts";
import { badRequest } from "../errors.ts";
import type { Call } from "./call.ts";
import { schemaModeOf } from "./documents.ts";

/** Decodes a `ScaleWrite`; see `checkWireFields`. Throws BadRequest. */
export function decodeScaleWrite(call: Call, resource: Resource, bytes: Uint8Array): ScaleWrite {
  const message = "trireme.autoscaling.v1.ScaleWrite";
  const write = reading(message, () => ScaleWrite.decode(bytes));
  checkWireFields(call, resource, message, bytes, write.options);
  return write;
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
  const unknown = reading(message, () => unknownWireFields(message, bytes));
  if (unknown.length === 0) return;
  if (mode === "warn") {
    call.warnings.push(...unknown);
    return;
  }
  throw badRequest(
    `${resource.kind} in version "${resource.version}" cannot be handled as a ${resource.kind}: ` +
      `strict decoding error: ${unknown.join(", ")}`,
  );
}

function reading<T>(message: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof StatusError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw badRequest(`the request is no ${message} message: ${why}`);
  }
}
