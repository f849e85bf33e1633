/** Objects and lists in the form that the client asked for. */
import {
  apiVersionOf,
  type Column,
  type Document,
  listKindOf,
  type Resource,
} from "../../../kinds/mod.ts";
import { limits } from "../../limits.ts";
import type { StoredObject } from "../../storage/stored-object.ts";
import type { ListPage } from "../../verbs/mod.ts";
import type { Accepted } from "./negotiate.ts";
import { notAcceptable } from "./negotiate.ts";
import { type IncludeObject, partialMetadata, tableOf } from "./table.ts";
import type { ByteStream } from "./types.ts";

/** How one answer is to look. */
export interface Form {
  readonly accepted: Accepted;
  readonly include: IncludeObject;
  readonly now: number;
  /** Indented, for people. */
  readonly pretty: boolean;
}

/** An object's JSON bytes in the form wanted. Throws NotAcceptable. */
export function objectBytes(object: StoredObject, form: Form): Uint8Array {
  const { as, apiVersion } = form.accepted;
  if (as === undefined) return object.json;
  if (as === "PartialObjectMetadata") return encode(partialMetadata(object.document, apiVersion));
  if (as !== "Table") throw notAcceptable();
  const { resourceVersion } = object.document.metadata ?? {};
  const metadata = resourceVersion === undefined ? {} : { resourceVersion };
  return encode(tableOf(object.resource, [object.document], { ...form, apiVersion, metadata }));
}

/** A document that is no stored object; only what has columns is shown as a table. */
export function documentBytes(
  document: object,
  columns: readonly Column[] | undefined,
  form: Form,
): Uint8Array {
  const { as, apiVersion } = form.accepted;
  if (as !== "Table" || columns === undefined) return encode(document);
  const shown = document as Document;
  const { resourceVersion } = shown.metadata ?? {};
  const metadata = resourceVersion === undefined ? {} : { resourceVersion };
  return encode(tableOf({ columns }, [shown], { ...form, apiVersion, metadata }));
}

/** A page in the form wanted; its items are pasted in as the text that the cache holds. */
export function listBytes(resource: Resource, page: ListPage, form: Form): Uint8Array {
  const { as, apiVersion } = form.accepted;
  const { metadata } = page;
  if (as === undefined) {
    const head = { kind: listKindOf(resource), apiVersion: apiVersionOf(resource), metadata };
    return pasted(head, page.items);
  }
  const documents = page.items.map(({ document }) => document);
  if (as === "Table")
    return encode(tableOf(resource, documents, { ...form, apiVersion, metadata }));
  if (as !== "PartialObjectMetadataList") throw notAcceptable();
  return encode({
    kind: "PartialObjectMetadataList",
    apiVersion,
    metadata,
    items: documents.map((document: Document) => partialMetadata(document, apiVersion)),
  });
}

const comma = Buffer.from(",");
const end = Buffer.from("]}");

function pasted(head: object, items: readonly StoredObject[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`${JSON.stringify(head).slice(0, -1)},"items":[`)];
  for (const [index, object] of items.entries()) {
    if (index > 0) parts.push(comma);
    parts.push(object.json);
  }
  parts.push(end);
  return Buffer.concat(parts);
}

const pieceBytes = 64 * 1024;

/**
 * A long page as pieces that are made while it is sent: however many clients read it at once, what
 * is held is the cache's own text. Undefined for a short one, and for other forms than JSON.
 */
export function listPieces(
  resource: Resource,
  page: ListPage,
  { accepted, pretty }: Form,
): ByteStream | undefined {
  if (accepted.as !== undefined || accepted.format !== "json" || pretty) return undefined;
  let bytes = 0;
  for (const { size } of page.items) bytes += size;
  if (bytes < limits.streamedListBytes) return undefined;
  const { metadata, items } = page;
  return pieces(
    { kind: listKindOf(resource), apiVersion: apiVersionOf(resource), metadata },
    items,
  );
}

async function* pieces(
  head: object,
  items: readonly StoredObject[],
): AsyncGenerator<Uint8Array, void> {
  let parts: Buffer[] = [Buffer.from(`${JSON.stringify(head).slice(0, -1)},"items":[`)];
  let bytes = 0;
  for (const [index, { json }] of items.entries()) {
    if (index > 0) parts.push(comma);
    parts.push(json);
    bytes += json.length;
    if (bytes < pieceBytes) continue;
    yield Buffer.concat(parts);
    parts = [];
    bytes = 0;
  }
  parts.push(end);
  yield Buffer.concat(parts);
}

function encode(document: unknown): Buffer {
  return Buffer.from(JSON.stringify(document));
}
