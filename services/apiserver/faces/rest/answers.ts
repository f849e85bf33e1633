/** What the API answers with, as responses: objects, lists, texts, errors. */
import { toStatusDocument } from "../../../../ha/rpc/mod.ts";
import { StatusError } from "../../../../ha/runtime/status-error.ts";
import type { Status } from "../../../../proto/gen/meta.ts";
import { yamlText } from "../../../kinds/mod.ts";
import type { Accepted } from "./negotiate.ts";
import type { RestHeaders, RestResponse } from "./types.ts";

const jsonType = ["content-type", "application/json"] as const;
const yamlType = ["content-type", "application/yaml"] as const;
const textType = ["content-type", "text/plain; charset=utf-8"] as const;
const noSniff = ["x-content-type-options", "nosniff"] as const;

/** `json`: the bytes of a document, which are sent as they are unless YAML is wanted. */
export function documentResponse(
  json: Uint8Array,
  accepted: Pick<Accepted, "format">,
  status = 200,
  pretty = false,
): RestResponse {
  if (accepted.format === "yaml") {
    return { status, headers: [yamlType], body: Buffer.from(yamlText(parse(json))) };
  }
  if (!pretty) return { status, headers: [jsonType], body: json };
  return {
    status,
    headers: [jsonType],
    body: Buffer.from(`${JSON.stringify(parse(json), null, 2)}\n`),
  };
}

function parse(json: Uint8Array): unknown {
  return JSON.parse(Buffer.from(json.buffer, json.byteOffset, json.byteLength).toString("utf8"));
}

export function jsonResponse(document: unknown, status = 200): RestResponse {
  return { status, headers: [jsonType], body: Buffer.from(JSON.stringify(document)) };
}

export function textResponse(text: string, status = 200): RestResponse {
  return { status, headers: [textType, noSniff], body: Buffer.from(text) };
}

export function streamResponse(contentType: string, body: RestResponse["body"]): RestResponse {
  return { status: 200, headers: [["content-type", contentType]], body };
}

/** Upstream's words for a path that leads nowhere. */
export function notFoundResponse(): RestResponse {
  return textResponse("404 page not found\n", 404);
}

/** Whatever was thrown, as upstream's `Status`. */
export function errorResponse(thrown: unknown): RestResponse {
  const error = StatusError.from(thrown);
  const document = statusOf(error);
  const headers: [string, string][] = [[...jsonType]];
  const { retryAfterSeconds } = error.detail ?? {};
  if (retryAfterSeconds !== undefined) {
    headers.push(["retry-after", String(Math.ceil(retryAfterSeconds))]);
  }
  const body = Buffer.from(JSON.stringify(document));
  return { status: document.code ?? 500, headers, body };
}

/** Reasons that upstream tells of a request in general, with details that hold nothing. */
const generic: ReadonlySet<string> = new Set([
  "NotFound",
  "MethodNotAllowed",
  "NotAcceptable",
  "UnsupportedMediaType",
  "Invalid",
]);

/** Upstream leaves empty fields of the details, and of their causes, out. */
export function statusOf(thrown: unknown): Status {
  const { reason, ...rest } = toStatusDocument(StatusError.from(thrown));
  // An admission webhook may refuse without a reason.
  const document = reason === "" ? rest : { ...rest, reason };
  const { details } = document;
  if (details === undefined)
    return generic.has(reason ?? "") ? { ...document, details: {} } : document;
  const causes = details.causes?.map(withoutEmpty);
  return { ...document, details: withoutEmpty({ ...details, ...(causes && { causes }) }) };
}

function withoutEmpty<T extends object>(message: T): Partial<T> {
  const told = Object.entries(message).filter(([, value]) => value !== "");
  return Object.fromEntries(told) as Partial<T>;
}

export function withHeaders(response: RestResponse, more: RestHeaders): RestResponse {
  return { ...response, headers: [...response.headers, ...more] };
}
