import { StatusError } from "../../../ha/runtime/status-error.ts";
import type { ObjectMeta, WriteOptions } from "../../../proto/gen/meta.ts";
import {
  apiVersionOf,
  type Document,
  equalJson,
  invalid as invalidCause,
  type Resource,
  type SchemaMode,
  sameOwnership,
  type WriteContext,
} from "../../kinds/mod.ts";
import type { AdmissionRequest } from "../admission/chain.ts";
import { badRequest, invalid } from "../errors.ts";
import type { Call } from "./call.ts";
import { warn } from "./warnings.ts";

export function metadataOf(document: Document): ObjectMeta {
  document.metadata ??= {};
  return document.metadata;
}

/** Of options that have been checked. */
export function dryRunOf(options: { dryRun?: string[] | undefined } | undefined): boolean {
  return (options?.dryRun ?? []).length > 0;
}

/** Throws BadRequest for an unknown mode. */
export function schemaModeOf(options: WriteOptions | undefined): SchemaMode {
  const text = options?.fieldValidation || "Strict";
  const mode = text.toLowerCase();
  if (mode === "strict" || mode === "warn" || mode === "ignore") return mode;
  throw badRequest(
    `fieldValidation: "${text}" is not supported, supported values are "Ignore", "Strict", "Warn"`,
  );
}

/**
 * Holds a document to the schema of its kind; unknown fields are refused, warned of or dropped as the
 * caller chose. Problems in `tolerated` are no news: the stored object has them too.
 */
export function checkDocument(
  call: Call,
  resource: Resource,
  value: unknown,
  options: WriteOptions | undefined,
  extra: { problems?: readonly string[]; tolerated?: ReadonlySet<string> } = {},
): Document {
  const mode = schemaModeOf(options);
  const { errors, unknown, document } = resource.schema.check(value, mode);
  const unexpected = unknown.filter((text) => !extra.tolerated?.has(text));
  const problems = [...(extra.problems ?? []), ...unexpected];
  if (mode === "strict" && problems.length > 0) {
    throw badRequest(
      `${resource.kind} in version "${resource.version}" cannot be handled as a ${resource.kind}: ` +
        `strict decoding error: ${problems.join(", ")}`,
    );
  }
  if (mode === "warn") warn(call, problems);
  if (errors.length > 0) throw invalid(resource, document.metadata?.name ?? "", errors);
  return document;
}

/**
 * The document of a write, of a value that was JSON. A built-in kind's document of the wrong shape
 * cannot be decoded, which is no matter of values. Throws BadRequest in upstream's words.
 */
export function decodedDocument(
  call: Call,
  resource: Resource,
  value: unknown,
  options: WriteOptions | undefined,
  problems: readonly string[],
): Document {
  try {
    return checkDocument(call, resource, value, options, { problems });
  } catch (thrown) {
    const { detail } = StatusError.from(thrown);
    if (detail?.reason !== "Invalid" || resource.codec === undefined) throw thrown;
    const { kind, version } = resource;
    const causes = (detail.causes ?? []).map(({ field, message }) => `${field}: ${message}`);
    const why = resource.schema.decodingError?.(value) ?? `json: ${causes.join(", ")}`;
    throw badRequest(`${kind} in version "${version}" cannot be handled as a ${kind}: ${why}`);
  }
}

/** The type named in a document must be the one of the request. Sets it where it is missing. */
export function checkType(resource: Resource, document: Document): void {
  const apiVersion = apiVersionOf(resource);
  const given = [document.apiVersion || apiVersion, document.kind || resource.kind];
  if (given[0] !== apiVersion || given[1] !== resource.kind) {
    if (resource.codec === undefined) throw mistaken(resource, document);
    throw badRequest(
      `the object provided is ${given[0]}, Kind=${given[1]}, but the request is for ` +
        `${apiVersion}, Kind=${resource.kind}`,
    );
  }
  document.apiVersion = apiVersion;
  document.kind = resource.kind;
}

/** Upstream's words where any kind can be decoded, and only the resource says what it must be. */
function mistaken(resource: Resource, { apiVersion, kind = "", metadata }: Document): StatusError {
  const expected = apiVersionOf(resource);
  if (apiVersion !== undefined && apiVersion !== expected) {
    return badRequest(
      `the API version in the data (${apiVersion}) does not match the expected API version ` +
        `(${expected})`,
    );
  }
  const cause = invalidCause("kind", kind, `must be ${resource.kind}`);
  return invalid({ group: resource.group, kind }, metadata?.name ?? "", [cause]);
}

/** What a resource's hooks are told of a write. */
export function contextOf({ user, subresource }: AdmissionRequest): WriteContext {
  return { user, subresource };
}

/** Has a part whose changes `metadata.generation` counts. */
export function countsGenerations(resource: Resource): boolean {
  if (resource.countsGenerations === false) return false;
  if (resource.desiredState !== undefined) return true;
  return resource.subresources.status && resource.schema.hasField("spec");
}

/** The part of a document whose changes `metadata.generation` counts. */
export function desiredState(resource: Resource, document: Document): unknown {
  return resource.desiredState?.(document) ?? document["spec"];
}

/** Equal but for metadata.resourceVersion; absent and empty lists and maps are told apart. */
export function sameDocument(one: Document, other: Document): boolean {
  const { metadata: left, ...rest } = one;
  const { metadata: right, ...others } = other;
  const { resourceVersion: _one, ...own } = left ?? {};
  const { resourceVersion: _other, ...theirs } = right ?? {};
  return equalJson(own, theirs) && equalJson(rest, others);
}

/** The same, and times at which the same managers came to manage the same fields count for nothing. */
export function sameButForTimes(one: Document, other: Document): boolean {
  const [left, right] = [one.metadata?.managedFields, other.metadata?.managedFields];
  if (left === right) return sameDocument(one, other);
  return sameOwnership(left, right) && sameDocument(withoutManagers(one), withoutManagers(other));
}

function withoutManagers(document: Document): Document {
  const { managedFields: _, ...metadata } = document.metadata ?? {};
  return { ...document, metadata };
}

export function sameValue(one: unknown, other: unknown): boolean {
  return equalJson(one ?? null, other ?? null);
}
