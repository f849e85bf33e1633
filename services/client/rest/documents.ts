/** JSON documents as the generated messages have them: an absent field is undefined, never null. */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { ApiObject } from "../types.ts";

export type Document = ApiObject & {
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  items?: ApiObject[];
};

const withoutNulls = (_: string, value: unknown) => (value === null ? undefined : value);

/** Throws a StatusError for what is no JSON object. */
export function parseDocument(body: Buffer): Document {
  const text = body.toString();
  let value: unknown;
  try {
    value = text.includes("null") ? JSON.parse(text, withoutNulls) : JSON.parse(text);
  } catch (error) {
    const words = "the server answered with bad JSON";
    throw new StatusError(Code.internal, words, undefined, { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new StatusError(Code.internal, "the server answered with JSON that is no object");
  }
  return value as Document;
}

/** Objects in a list say neither version nor kind: the list does, for all of them. */
export function nameItems(list: Document, omit: string | undefined): void {
  const { apiVersion, kind = "", items = [] } = list;
  const itemKind = kind.replace(/List$/, "");
  list.items = items.map((item) => trimmed({ apiVersion, kind: itemKind, ...item }, omit));
}

/** Trireme's servers leave managed fields out where they are asked to; others send them. */
export function trimmed<T extends ApiObject>(object: T, omit: string | undefined): T {
  if (omit === "metadata.managedFields") delete object.metadata?.managedFields;
  return object;
}
