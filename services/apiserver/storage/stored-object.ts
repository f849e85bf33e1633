import { assert } from "../../../ha/runtime/assert.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import {
  apiVersionOf,
  copyJson,
  type Document,
  type Labels,
  type Resource,
} from "../../kinds/mod.ts";
import { limits } from "../limits.ts";
import { changedFields } from "./changed-fields.ts";
import { isSealed } from "./encryption/sealed.ts";
import { partsOf } from "./keys.ts";
import { behindManaged, withoutManaged } from "./managed-text.ts";
import { labelsIn } from "./metadata-text.ts";
import { ownBytes } from "./own-bytes.ts";
import { Recent } from "./recent.ts";
import {
  encodeStored,
  headOf,
  ownText,
  parseStored,
  versionPlace,
  versionText,
  versionTextMax,
  withResourceVersion,
} from "./stored-text.ts";

/**
 * One object at one revision, in up to three forms: the stored JSON text with its resourceVersion,
 * the parsed document and the protobuf message. A form is made when it is asked for, shared by every
 * reader, so that none may be changed, and let go of when newer ones have filled the budget of all
 * objects together. `copy()` gives a document of one's own.
 *
 * A resource that is stored as another sees the object through `as`, in forms of its own, which are
 * made once as well.
 */
export class StoredObject {
  readonly resource: Resource;
  readonly key: string;
  /**
   * Revision of the last change: metadata.resourceVersion. 0: the object is not stored, and has none.
   */
  readonly revision: number;
  readonly #value: Buffer;
  #json: Buffer | undefined;
  #document: Document | undefined;
  #protobuf: Uint8Array | undefined;
  #trimmed: Uint8Array | undefined;
  #labels: Labels | undefined;
  #fields: readonly string[] | undefined;
  /** Where the resourceVersion belongs in the value; 0: the text must be made anew for it. */
  #versionAt: number | undefined;
  /** The object as it is stored; undefined: this one is. */
  readonly #source: StoredObject | undefined;
  #views: Map<Resource, StoredObject> | undefined;

  constructor(
    resource: Resource,
    key: string,
    value: Uint8Array,
    revision: number,
    source?: StoredObject,
  ) {
    this.resource = resource;
    this.key = key;
    this.#value = ownBytes(value);
    this.revision = revision;
    this.#source = source;
  }

  /** Bytes as stored: what it costs a bounded buffer to hold it. */
  get size(): number {
    return this.#value.length;
  }

  /** As the store gave it. */
  get value(): Buffer {
    return this.#value;
  }

  /** False: no key that is known opens it, and its forms throw. */
  get readable(): boolean {
    return !isSealed(this.#value);
  }

  get json(): Buffer {
    if (this.#json === undefined) {
      this.#json =
        this.#source === undefined
          ? withResourceVersion(this.resource, opened(this), this.revision)
          : this.#converted(this.#source).json;
      recentTexts.add(this, this.#json.length);
    }
    return this.#json;
  }

  get document(): Document {
    if (this.#document === undefined) {
      this.#document = this.copy();
      recentDocuments.add(this, this.size);
    }
    return this.#document;
  }

  /** False: to ask for `document` means to parse the text. */
  get hasDocument(): boolean {
    return this.#document !== undefined;
  }

  /** Made without keeping the document: lists ask thousands of objects for it. */
  get protobuf(): Uint8Array {
    if (this.#protobuf === undefined) {
      this.#protobuf = this.resource.codec?.encode(this.read()) ?? new Uint8Array();
      recentMessages.add(this, this.#protobuf.length);
    }
    return this.#protobuf;
  }

  /** `protobuf` without managedFields, for readers that ask for none. */
  get trimmed(): Uint8Array {
    if (this.#trimmed === undefined) {
      this.#trimmed = this.resource.codec?.encode(this.#readTrimmed()) ?? new Uint8Array();
      recentMessages.add(this, this.#trimmed.length);
    }
    return this.#trimmed;
  }

  static readonly forgetDocument = (object: StoredObject): void => {
    object.#document = undefined;
  };

  static readonly forgetMessage = (object: StoredObject): void => {
    object.#protobuf = undefined;
    object.#trimmed = undefined;
  };

  static readonly forgetText = (object: StoredObject): void => {
    // What another program has converted is not converted again.
    if (object.resource.storedAs?.remote === undefined) object.#json = undefined;
  };

  /** False: to ask for `protobuf` costs far more than to copy it. */
  get hasProtobuf(): boolean {
    return this.#protobuf !== undefined;
  }

  /** The same for `trimmed`. */
  get hasTrimmed(): boolean {
    return this.#trimmed !== undefined;
  }

  /** Length of `json`. */
  get jsonLength(): number {
    if (this.#json !== undefined) return this.#json.length;
    if (!this.#isSpliced()) return this.json.length;
    const next = this.#value[this.#versionAt ?? 0];
    return this.#value.length + versionText(this.revision, next).length;
  }

  /** Bytes that `writeJson` needs at most. */
  get jsonRoom(): number {
    if (this.#json !== undefined) return this.#json.length;
    return this.#isSpliced() ? this.#value.length + versionTextMax : this.json.length;
  }

  /** Copies `json` to this place, and answers where it ends; does not keep it where it need not. */
  writeJson(into: Buffer, at: number): number {
    if (this.#json !== undefined || !this.#isSpliced()) return at + this.json.copy(into, at);
    const value = this.#value;
    // To copy the short head along with the version costs one call less.
    const start = at + into.write(this.#headText(value[this.#versionAt ?? 0]), at, "latin1");
    return start + value.copy(into, start, this.#versionAt);
  }

  /** Whether `json` is the stored text with no more than the resourceVersion put into it. */
  #isSpliced(): boolean {
    if (this.#source !== undefined || this.revision === 0) return false;
    this.#versionAt ??= versionPlace(this.resource, opened(this));
    return this.#versionAt > 0;
  }

  /** What the text begins with, up to its resourceVersion; `next`: the byte that follows. */
  #headText(next: number | undefined): string {
    return headOf(this.resource).text + versionText(this.revision, next);
  }

  /** Of the metadata: what label selectors look at, for which no document is made. */
  get labels(): Labels {
    if (this.#labels !== undefined) return this.#labels;
    if (this.#document !== undefined) return this.#document.metadata?.labels ?? noLabels;
    const text = this.#source === undefined ? opened(this) : this.json;
    this.#labels = labelsIn(text) ?? this.copy().metadata?.labels ?? noLabels;
    return this.#labels;
  }

  /** Value of a field of the resource that selectors may ask for. */
  field(name: string): string {
    const { selectableFields } = this.resource;
    const names = Object.keys(selectableFields);
    if (this.#fields === undefined) {
      const document = this.read();
      this.#fields = names.map((each) => selectableFields[each]?.(document) ?? "");
    }
    return this.#fields[names.indexOf(name)] ?? "";
  }

  /** False: the stored text has no field of this name, anywhere. Costs less than to parse it. */
  mayHave(field: string): boolean {
    return this.#value.includes(`"${field}"`);
  }

  copy(): Document {
    if (this.#document !== undefined) return copyDocument(this.#document);
    return parseStored(this.key, this.#plainJson());
  }

  /** The document, which must not be changed, and is not kept for this. */
  read(): Document {
    return this.#document ?? this.copy();
  }

  /** The document without managedFields, of which a parsed one would make the greater part. */
  #readTrimmed(): Document {
    const document = this.#document ?? parseStored(this.key, withoutManaged(this.#plainJson()));
    const { managedFields: _, ...metadata } = document.metadata ?? {};
    return { ...document, metadata };
  }

  /** `json` without managedFields; not kept. */
  get trimmedJson(): Buffer {
    if (this.#json !== undefined || !this.#isSpliced()) return withoutManaged(this.json);
    const rest = this.#value.subarray(behindManaged(this.#value, this.#versionAt ?? 0));
    return Buffer.concat([Buffer.from(this.#headText(rest[0])), rest]);
  }

  /** `trimmedJson` with only what has changed; undefined: that is no shorter. See `changedFields`. */
  changesSince(previous: StoredObject): Buffer | undefined {
    if (previous.#isSpliced() && this.#isSpliced()) {
      const version = `"resourceVersion":"${this.revision}"`;
      return changedFields(previous.#value, this.#value, version);
    }
    return changedFields(previous.trimmedJson, this.trimmedJson);
  }

  /** `json` as text, which is not kept. */
  text(): string {
    return this.#plainJson().toString("utf8");
  }

  /** `json`, not kept where it can be put together again at any time. */
  #plainJson(): Buffer {
    if (this.#json !== undefined || !this.#isSpliced()) return this.json;
    const bytes = Buffer.allocUnsafe(this.jsonLength);
    this.writeJson(bytes, 0);
    return bytes;
  }

  /** Takes the document of which the stored text has just been made, and which stays as it is. */
  written(document: Document): this {
    const { resourceVersion: _, ...metadata } = document.metadata ?? {};
    const resourceVersion = String(this.revision);
    this.#document = { ...document, metadata: { ...metadata, resourceVersion } };
    recentDocuments.add(this, this.size);
    return this;
  }

  /** The same object with another resourceVersion: the last state of a deleted object. */
  at(revision: number): StoredObject {
    const source = this.#source ?? this;
    return new StoredObject(source.resource, this.key, this.#value, revision).as(this.resource);
  }

  /** The object in the form of a resource that is stored as this one's, or of this one's own. */
  as(resource: Resource): StoredObject {
    if (resource === this.resource) return this;
    if (this.#source !== undefined) return this.#source.as(resource);
    this.#views ??= new Map();
    let view = this.#views.get(resource);
    if (view === undefined) {
      view = new StoredObject(resource, this.key, this.#value, this.revision, this);
      this.#views.set(resource, view);
    }
    return view;
  }

  /** Whether the object is stored as one of another resource. */
  get isView(): boolean {
    return this.#source !== undefined;
  }

  /** False while another program has still to convert it: see `convertAll`. */
  get ready(): boolean {
    if (this.#source === undefined || this.#json !== undefined) return true;
    return this.resource.storedAs?.remote === undefined;
  }

  /** The document as stored, for the conversion. */
  get source(): StoredObject {
    return this.#source ?? this;
  }

  /** Takes the document that another program made of the stored one. */
  accept(document: Document): void {
    this.#json = this.#text(document);
  }

  #converted(source: StoredObject): { readonly json: Buffer } {
    const { storedAs } = this.resource;
    assert(storedAs !== undefined, "only a resource that is stored as another has a view");
    assert(storedAs.remote === undefined, "another program has converted the object before");
    const stored = source.copy();
    const apiVersion = stored.apiVersion;
    const document = storedAs.fromStored(stored);
    const same =
      document === stored &&
      apiVersion === apiVersionOf(this.resource) &&
      document.kind === this.resource.kind;
    return { json: same ? source.json : this.#text(document) };
  }

  #text(document: Document): Buffer {
    const { apiVersion: _apiVersion, kind: _kind, metadata, ...rest } = document;
    const { resourceVersion: _resourceVersion, ...kept } = metadata ?? {};
    return ownText(
      JSON.stringify({
        apiVersion: apiVersionOf(this.resource),
        kind: this.resource.kind,
        metadata: { resourceVersion: String(this.revision), ...kept },
        ...rest,
      }),
    );
  }

  get name(): string {
    return partsOf(this.resource, this.key).name;
  }

  get namespace(): string {
    return partsOf(this.resource, this.key).namespace;
  }
}

const recentDocuments = new Recent(limits.documentsBytes, StoredObject.forgetDocument);
const recentMessages = new Recent(limits.messagesBytes, StoredObject.forgetMessage);
const recentTexts = new Recent(limits.textsBytes, StoredObject.forgetText);

/** Has objects of one resource converted, where another program must be asked for it. */
export async function convertAll(objects: readonly StoredObject[]): Promise<void> {
  const waiting = objects.filter((object) => !object.ready);
  const remote = waiting[0]?.resource.storedAs?.remote;
  if (remote === undefined) return;
  for (let start = 0; start < waiting.length; start += limits.conversionObjects) {
    const some = waiting.slice(start, start + limits.conversionObjects);
    const documents = await remote.fromStored(some.map((object) => object.source.copy()));
    for (const [index, object] of some.entries()) {
      const document = documents[index];
      assert(document !== undefined, "a conversion answers each object");
      object.accept(document);
    }
  }
}

/** What is known of a deleted object whose last state has been compacted away: its address. */
export function vestige(resource: Resource, key: string, revision: number): StoredObject {
  const { namespace, name } = partsOf(resource, key);
  const metadata = namespace === "" ? { name } : { name, namespace };
  return new StoredObject(resource, key, encodeStored(resource, { metadata }), revision);
}

/** The value. Throws InternalError, in upstream's words, if it is still encrypted. */
function opened({ resource, key, value }: StoredObject): Buffer {
  if (!isSealed(value)) return value;
  const { namespace, name } = partsOf(resource, key);
  const prefix = /^k8s:enc:[^:]+:[^:]+:[^:]*:/.exec(value.toString("latin1", 0, 400));
  const place = namespace === "" ? "" : ` in namespace ${JSON.stringify(namespace)}`;
  const what = `${resource.plural} ${JSON.stringify(name)}${place}`;
  const why =
    prefix === null
      ? "is stored without encryption, and --encryption-provider-config does not list identity"
      : `is encrypted as ${prefix[0]}, and no provider of --encryption-provider-config opens it`;
  const message = `unable to transform key ${JSON.stringify(key)}: no matching prefix found: ${what} ${why}`;
  throw new StatusError(Code.internal, `Internal error occurred: ${message}`, {
    reason: "InternalError",
    causes: [{ reason: "", message, field: "" }],
  });
}

const noLabels: Labels = {};

/** At a third of what it costs to parse the text. Sets of managed fields are shared, as there. */
function copyDocument({ metadata, ...rest }: Document): Document {
  const { managedFields, ...others } = metadata ?? {};
  const managers = managedFields?.map((entry) => ({ ...entry }));
  const copied = copyJson(others);
  return {
    ...copyJson(rest),
    metadata: managers === undefined ? copied : { ...copied, managedFields: managers },
  };
}
