import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { apiVersionOf, type Document, type Resource } from "../../kinds/mod.ts";
import { partsOf } from "./keys.ts";

/**
 * One object at one revision, in up to three forms: the stored JSON text with its resourceVersion,
 * the parsed document and the protobuf message. Each form is made at most once and shared by every
 * reader, so none may be changed; `copy()` gives a document of one's own.
 */
export class StoredObject {
  readonly resource: Resource;
  readonly key: string;
  /** Revision of the last change: metadata.resourceVersion. */
  readonly revision: number;
  readonly #value: Uint8Array;
  #json: Buffer | undefined;
  #document: Document | undefined;
  #protobuf: Uint8Array | undefined;

  constructor(resource: Resource, key: string, value: Uint8Array, revision: number) {
    this.resource = resource;
    this.key = key;
    this.#value = value;
    this.revision = revision;
  }

  /** Bytes as stored: what it costs a bounded buffer to hold it. */
  get size(): number {
    return this.#value.length;
  }

  get json(): Buffer {
    this.#json ??= withResourceVersion(this.resource, this.#value, this.revision);
    return this.#json;
  }

  get document(): Document {
    this.#document ??= this.copy();
    return this.#document;
  }

  get protobuf(): Uint8Array {
    this.#protobuf ??= this.resource.codec?.encode(this.document) ?? new Uint8Array();
    return this.#protobuf;
  }

  copy(): Document {
    return parseStored(this.key, this.json);
  }

  /** The same object with another resourceVersion: the last state of a deleted object. */
  at(revision: number): StoredObject {
    return new StoredObject(this.resource, this.key, this.#value, revision);
  }

  get name(): string {
    return partsOf(this.resource, this.key).name;
  }

  get namespace(): string {
    return partsOf(this.resource, this.key).namespace;
  }
}

/** What is known of a deleted object whose last state has been compacted away: its address. */
export function vestige(resource: Resource, key: string, revision: number): StoredObject {
  const { namespace, name } = partsOf(resource, key);
  const metadata = namespace === "" ? { name } : { name, namespace };
  return new StoredObject(resource, key, encodeStored(resource, { metadata }), revision);
}

/**
 * The text under which a document is stored. apiVersion, kind and metadata come first, so that the
 * resourceVersion can be spliced in without parsing.
 */
export function encodeStored(resource: Resource, document: Document): Buffer {
  const { apiVersion: _apiVersion, kind: _kind, metadata, ...rest } = document;
  const { resourceVersion: _resourceVersion, ...kept } = metadata ?? {};
  return Buffer.from(
    JSON.stringify({
      apiVersion: apiVersionOf(resource),
      kind: resource.kind,
      metadata: kept,
      ...rest,
    }),
  );
}

const heads = new WeakMap<Resource, Buffer>();

function headOf(resource: Resource): Buffer {
  let head = heads.get(resource);
  if (head === undefined) {
    const text = JSON.stringify({ apiVersion: apiVersionOf(resource), kind: resource.kind });
    head = Buffer.from(`${text.slice(0, -1)},"metadata":{`);
    heads.set(resource, head);
  }
  return head;
}

const closingBrace = 0x7d;

function withResourceVersion(resource: Resource, value: Uint8Array, revision: number): Buffer {
  const head = headOf(resource);
  const stored = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (stored.length > head.length && stored.compare(head, 0, head.length, 0, head.length) === 0) {
    const comma = stored[head.length] === closingBrace ? "" : ",";
    const version = Buffer.from(`"resourceVersion":"${revision}"${comma}`);
    return Buffer.concat([head, version, stored.subarray(head.length)]);
  }
  // Written by another hand, straight into the store.
  const document = parseStored("", stored);
  document.metadata = { ...document.metadata, resourceVersion: String(revision) };
  return Buffer.from(JSON.stringify(document));
}

function parseStored(key: string, text: Buffer): Document {
  try {
    const parsed: unknown = JSON.parse(text.toString("utf8"));
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
