/** The JSON text under which an object is stored, which has all of it but its resourceVersion. */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { apiVersionOf, type Document, type Resource } from "../../kinds/mod.ts";
import { closingBrace } from "./json-bytes.ts";
import { managedText, parseManaged } from "./managed-text.ts";

/**
 * The text under which a document is stored. apiVersion, kind and metadata come first, so that the
 * resourceVersion can be spliced in without parsing; managedFields are first in the metadata.
 */
export function encodeStored(resource: Resource, document: Document): Buffer {
  const { apiVersion: _apiVersion, kind: _kind, metadata, ...rest } = document;
  const { resourceVersion: _resourceVersion, managedFields, ...kept } = metadata ?? {};
  const managed = managedText(managedFields);
  if (managed === "") {
    return Buffer.from(
      JSON.stringify({
        apiVersion: apiVersionOf(resource),
        kind: resource.kind,
        metadata: kept,
        ...rest,
      }),
    );
  }
  const start = headOf(resource).text + managed;
  const text = JSON.stringify(kept).slice(1);
  const others = JSON.stringify(rest).slice(1);
  return Buffer.from(
    `${start}${text === "}" ? "" : ","}${text}${others === "}" ? "" : ","}${others}`,
  );
}

interface Head {
  readonly text: string;
  readonly bytes: Buffer;
}

const heads = new WeakMap<Resource, Head>();

/** What every stored text of a resource begins with; names of kinds and groups are ASCII. */
export function headOf(resource: Resource): Head {
  let head = heads.get(resource);
  if (head === undefined) {
    const about = JSON.stringify({ apiVersion: apiVersionOf(resource), kind: resource.kind });
    const text = `${about.slice(0, -1)},"metadata":{`;
    head = { text, bytes: Buffer.from(text) };
    heads.set(resource, head);
  }
  return head;
}

/** `next`: the byte that follows. */
export function versionText(revision: number, next: number | undefined): string {
  return `"resourceVersion":"${revision}"${next === closingBrace ? "" : ","}`;
}

/** Of `versionText`, of the largest revision. */
export const versionTextMax = 40;

/** Where the metadata begins in a text of our own; 0 in another. */
export function versionPlace(resource: Resource, stored: Buffer): number {
  const { bytes: head } = headOf(resource);
  const isOurs =
    stored.length > head.length && stored.compare(head, 0, head.length, 0, head.length) === 0;
  return isOurs ? head.length : 0;
}

/** The whole text, as readers get it; 0: the object is not stored, and has none. Throws DataLoss. */
export function withResourceVersion(resource: Resource, stored: Buffer, revision: number): Buffer {
  if (revision === 0) return stored;
  const place = versionPlace(resource, stored);
  if (place > 0) {
    const version = versionText(revision, stored[place]);
    const text = Buffer.allocUnsafeSlow(stored.length + version.length);
    stored.copy(text, 0, 0, place);
    text.write(version, place, "latin1");
    stored.copy(text, place + version.length, place);
    return text;
  }
  // Written by another hand, straight into the store.
  const document = parseStored("", stored);
  document.metadata = { ...document.metadata, resourceVersion: String(revision) };
  return ownText(JSON.stringify(document));
}

/** Bytes of their own, not a part of a pool that one long-lived text would keep as a whole. */
export function ownText(text: string): Buffer {
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text));
  bytes.write(text);
  return bytes;
}

/** Throws DataLoss. */
export function parseStored(key: string, text: Buffer): Document {
  try {
    const parsed = parseManaged(text);
    if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) {
      return parsed as Document;
    }
  } catch (error) {
    throw new StatusError(Code.dataLoss, `the stored object ${key} is no JSON`, undefined, {
      cause: error,
    });
  }
  throw new StatusError(Code.dataLoss, `the stored object ${key} is no JSON object`);
}
