/** Requests, from bytes and headers to what the verbs take; and what their answers share. */
import type { handleUnaryCall, ServiceDefinition } from "@grpc/grpc-js";
import { unary } from "../../../../ha/rpc/mod.ts";
import type { CallContext } from "../../../../ha/rpc/types.ts";
import { assert } from "../../../../ha/runtime/assert.ts";
import type { Resource } from "../../../kinds/mod.ts";
import { badRequest } from "../../errors.ts";
import { decodeWrite } from "../../storage/wire.ts";
import { messageBody } from "../../verbs/body.ts";
import { type Call, decodeRequest, type WriteRequest, warningHeader } from "../../verbs/mod.ts";
import { callOf } from "./call.ts";
import type { Face } from "./face.ts";

/** Methods whose handlers get the bytes of a request, because they look for unknown fields there. */
export const encodedRequests: readonly string[] = [
  "create",
  "update",
  "updateStatus",
  "updateApproval",
  "updateEphemeralContainers",
  "updateResize",
  "patch",
  "delete",
  "deleteCollection",
  "bind",
  "bindAll",
  "evict",
  "finalize",
  "updateScale",
  "createToken",
];

/** The envelope is read; the object in it stays encoded until the verb wants it. */
export function writeOf(resource: Resource, request: Buffer): WriteRequest {
  const { object, namespace, options } = decodeWrite(resource, request);
  return { body: messageBody(resource, object, request), namespace, options };
}

/** A handler of the method `name`, which is one of `encodedRequests`. */
export type Decoding = <R extends object, A>(
  name: string,
  run: (call: Call, request: R) => A | Promise<A>,
) => handleUnaryCall<Buffer, A>;

/** Makes handlers for which requests are decoded and held to their contracts. */
export function decoding(face: Face, resource: Resource, service: ServiceDefinition): Decoding {
  return (name, run) => {
    assert(encodedRequests.includes(name), `${name} is decoded before its handler is called`);
    return unary(async (bytes: Buffer, context) => {
      const method = service[name];
      assert(method !== undefined, `${resource.plural} have no method ${name}`);
      const call = callOf(context, face);
      return tellWarnings(call, await run(call, decodeRequest(call, resource, method, bytes)));
    });
  };
}

/** Key of the trailer with the warnings of a successful write. */
const warningTrailer = "warning";

/** Sends the warnings of a call that has succeeded with its trailers; answers the result. */
export function tellWarnings<T>(call: Call, result: T): T {
  const warnings = warningHeader(call.warnings);
  if (warnings !== undefined) call.setTrailer(warningTrailer, warnings);
  return result;
}

/** For answers that are encoded already. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const omitHeader = "trireme-omit";

/**
 * Whether a list or watch is to come without managedFields, which are often the greater part of an
 * object and of no use to a control loop. Throws BadRequest.
 */
export function isTrimmed(context: Pick<CallContext, "header">): boolean {
  const omitted = context.header(omitHeader);
  if (omitted === undefined) return false;
  if (omitted === "metadata.managedFields") return true;
  const named = JSON.stringify(omitted.slice(0, 100));
  throw badRequest(`${omitHeader}: ${named} cannot be left out, only metadata.managedFields`);
}
