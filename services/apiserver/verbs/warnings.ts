/** What a successful call tells its user: fields that have no effect, unknown fields in mode Warn. */
import type { WriteOptions } from "../../../proto/gen/meta.ts";
import { type Document, fieldWarnings, type Resource } from "../../kinds/mod.ts";
import type { Call } from "./call.ts";

/** A verb may decide several times about one request; each warning is given once. */
export function warn(call: Call, texts: readonly string[]): void {
  addWarnings(call.warnings, texts);
}

export function addWarnings(warnings: string[], texts: readonly string[] = []): void {
  for (const text of texts) if (!warnings.includes(text)) warnings.push(text);
}

/** Warns about the object as its author wrote it. Writes of a status have no such fields. */
export function warnOfFields(
  call: Call,
  resource: Resource,
  document: Document,
  options: WriteOptions | undefined,
): void {
  warn(call, fieldsWithoutEffect(resource, document, options));
}

/** What the author is told of the fields that he has set, once the write has succeeded. */
export function fieldsWithoutEffect(
  resource: Resource,
  document: Document,
  options: WriteOptions | undefined,
): string[] {
  return [
    ...fieldWarnings(resource.schema.message, document),
    ...(options === undefined ? [] : fieldWarnings("trireme.meta.v1.WriteOptions", options)),
  ];
}

const trailerLengthMax = 4_096;

/**
 * The warnings as the value of one `warning` header, in the form of Kubernetes' REST API: `299 -
 * "text"`, apart by commas. Undefined without warnings. ASCII alone, and bounded: the last one then
 * says how many are left out.
 */
export function warningHeader(warnings: readonly string[]): string | undefined {
  if (warnings.length === 0) return undefined;
  const parts: string[] = [];
  let length = 0;
  for (const [index, text] of warnings.entries()) {
    const part = `299 - ${asciiString(text)}`;
    if (length + part.length > trailerLengthMax) {
      parts.push(`299 - "${warnings.length - index} more warnings"`);
      break;
    }
    parts.push(part);
    length += part.length + 2;
  }
  return parts.join(", ");
}

/** The same for an answer that may have several headers of the name: one for each warning. */
export function warningHeaders(warnings: readonly string[]): [string, string][] {
  const headers: [string, string][] = [];
  let length = 0;
  for (const [index, text] of warnings.entries()) {
    const value = `299 - ${asciiString(text)}`;
    if (length + value.length > trailerLengthMax) {
      headers.push(["warning", `299 - "${warnings.length - index} more warnings"`]);
      break;
    }
    headers.push(["warning", value]);
    length += value.length;
  }
  return headers;
}

function asciiString(text: string): string {
  return JSON.stringify(text).replace(
    /[^\x20-\x7e]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
