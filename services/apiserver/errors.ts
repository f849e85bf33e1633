/** The errors of the API in upstream's words (apimachinery `pkg/api/errors`). */
import { Code, type FieldCause, StatusError } from "../../ha/runtime/status-error.ts";
import type { Resource } from "../kinds/mod.ts";

/** `pods`, `deployments.apps`. */
export function resourceName(kind: Resource): string {
  return kind.group === "" ? kind.plural : `${kind.plural}.${kind.group}`;
}

/** `Pod`, `Deployment.apps`. */
function kindName(kind: Pick<Resource, "group" | "kind">): string {
  return kind.group === "" ? kind.kind : `${kind.kind}.${kind.group}`;
}

function detailOf(kind: Resource, name: string, reason: string) {
  return { reason, group: kind.group, kind: kind.plural, name };
}

export function internal(why: string): StatusError {
  return new StatusError(Code.internal, `Internal error occurred: ${why}`, {
    reason: "InternalError",
    causes: [{ reason: "", message: why, field: "" }],
  });
}

export function notFound(kind: Resource, name: string): StatusError {
  return new StatusError(
    Code.notFound,
    `${resourceName(kind)} "${name}" not found`,
    detailOf(kind, name, "NotFound"),
  );
}

export function alreadyExists(kind: Resource, name: string): StatusError {
  return new StatusError(
    Code.alreadyExists,
    `${resourceName(kind)} "${name}" already exists`,
    detailOf(kind, name, "AlreadyExists"),
  );
}

const modifiedText =
  "the object has been modified; please apply your changes to the latest version and try again";

export function conflict(kind: Resource, name: string, why: string = modifiedText): StatusError {
  return new StatusError(
    Code.aborted,
    `Operation cannot be fulfilled on ${resourceName(kind)} "${name}": ${why}`,
    detailOf(kind, name, "Conflict"),
  );
}

/** Of a kind that is kept as another one, upstream names the other one here. */
export function invalid(
  given: Pick<Resource, "group" | "kind" | "storedAs">,
  name: string,
  causes: readonly FieldCause[],
): StatusError {
  const kind = given.storedAs?.resource ?? given;
  // What two causes say alike, the message says once.
  const texts = [...new Set(causes.map((cause) => `${cause.field}: ${cause.message}`))];
  const all = texts.length === 1 ? texts[0] : `[${texts.join(", ")}]`;
  return new StatusError(Code.invalidArgument, `${kindName(kind)} "${name}" is invalid: ${all}`, {
    reason: "Invalid",
    group: kind.group,
    kind: kind.kind,
    name,
    causes,
  });
}

export function forbidden(kind: Resource, name: string, why: string): StatusError {
  const what = name === "" ? resourceName(kind) : `${resourceName(kind)} "${name}"`;
  return new StatusError(
    Code.permissionDenied,
    `${what} is forbidden: ${why}`,
    detailOf(kind, name, "Forbidden"),
  );
}

export function badRequest(message: string): StatusError {
  return new StatusError(Code.invalidArgument, message, { reason: "BadRequest" });
}

/** `name`: unknown for a resource that is looked up by what the caller typed. */
export function noSuchResource(what: string): StatusError {
  return new StatusError(Code.notFound, `the server doesn't have a resource type "${what}"`, {
    reason: "NotFound",
  });
}

/** The verb, or a subresource, that a resource does not have. */
export function methodNotAllowed(message: string): StatusError {
  return new StatusError(Code.unimplemented, message, { reason: "MethodNotAllowed" });
}

/** `continueToken`: with it a list may go on, at another revision than it began. */
export function expired(message: string, continueToken?: string): StatusError {
  const detail = { reason: "Expired", ...(continueToken !== undefined && { continueToken }) };
  return new StatusError(Code.outOfRange, message, detail);
}

export function tooLarge(actual: number, limit: number): StatusError {
  return new StatusError(
    Code.resourceExhausted,
    `Request entity too large: limit is ${limit}: the object has ${actual} bytes as JSON`,
    { reason: "RequestEntityTooLarge" },
  );
}

export function tooManyRequests(message: string, retryAfterSeconds: number): StatusError {
  return new StatusError(Code.resourceExhausted, message, {
    reason: "TooManyRequests",
    retryAfterSeconds,
  });
}

export function timeout(message: string, retryAfterSeconds = 1): StatusError {
  return new StatusError(Code.deadlineExceeded, message, { reason: "Timeout", retryAfterSeconds });
}

export function unavailable(message: string): StatusError {
  return new StatusError(Code.unavailable, message, {
    reason: "ServiceUnavailable",
    retryAfterSeconds: 1,
  });
}

export function unauthenticated(message: string): StatusError {
  return new StatusError(Code.unauthenticated, message, { reason: "Unauthorized" });
}
