/**
 * What a resource is to the apiserver: one value of this type per kind, built-in or custom.
 *
 * A document is the JSON object itself (design: the decoded protobuf message is the JSON document),
 * typed loosely here because the pipeline handles every kind alike. Kinds narrow it to their
 * generated message type inside their own file.
 */
import type { ServiceDefinition } from "@grpc/grpc-js";
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type { ObjectMeta } from "../../../proto/gen/meta.ts";
import type { FieldType } from "./field-type.ts";
import type { SchemaCheck, SchemaMode, SchemaOptions } from "./schema.ts";

export interface Document {
  apiVersion?: string | undefined;
  kind?: string | undefined;
  metadata?: ObjectMeta | undefined;
  [field: string]: unknown;
}

/** A value in a table: of the column's type, or null where there is none. */
export type Cell = string | number | boolean | null;

/** Upstream's `TableColumnDefinition`, and how a document's cell is found. */
export interface Column {
  readonly name: string;
  /** OpenAPI's type of the cells; default: string. A text is converted to it. */
  readonly type?: "string" | "integer" | "number" | "boolean" | "date" | undefined;
  /** OpenAPI's format; `name` marks the object's name. Default: none. */
  readonly format?: string | undefined;
  readonly description?: string | undefined;
  /** Only shown by `-o wide`: priority 1. */
  readonly wide?: true;
  /** 0 is always shown; default: 1 for a wide column, otherwise 0. */
  readonly priority?: number | undefined;
  /** `now`: Unix milliseconds, for ages. */
  readonly value: (document: Document, now: number) => Cell;
}

/** Converts between documents and the wire form of the kind's message. */
export interface MessageCodec {
  encode(document: Document): Uint8Array;
  decode(bytes: Uint8Array): Document;
}

/** Knows the fields of a resource's documents. */
export interface ResourceSchema {
  /** Full name of the message in `proto/gen/schema.ts`; undefined: lists have no merge keys. */
  readonly message: string | undefined;
  /** Types, bounds and unknown fields; never throws for bad input. */
  check(json: unknown, mode: SchemaMode, options?: SchemaOptions): SchemaCheck;
  /** What is wrong with a refused document in the words of upstream's decoder, where it has any. */
  decodingError?(json: unknown): string | undefined;
  /** A copy of `next` with those fields of `stored` that the typed message cannot carry. */
  keepUnknown(next: Document, stored: Document): Document;
  hasField(name: string): boolean;
  /** For server-side apply; absent: derived from the message, or untyped without one. */
  readonly type?: FieldType | undefined;
  /** OpenAPI v3 schema object of the whole document; absent: derived from the message. */
  readonly openApi?: Readonly<Record<string, unknown>> | undefined;
}

/** The parts of the scale subresource. */
export interface ScaleSubresource {
  readonly replicas: (document: Document) => number;
  readonly setReplicas: (document: Document, replicas: number) => void;
  readonly currentReplicas: (document: Document) => number;
  readonly selector: (document: Document) => string;
}

/**
 * For a resource that shows objects which are kept in another form: under another version, as
 * another kind, or in whatever version they were once written in. Objects, keys, resource versions
 * and events are those of `resource`.
 */
interface StoredAs {
  /** Whose keys and watch cache are used. It may be served or not; it is not stored as another. */
  readonly resource: Resource;
  /** A document of this resource as it is kept. May change its argument. Throws a StatusError. */
  toStored(document: Document): Document;
  /**
   * A stored document as this resource shows it; also told addresses alone (metadata without the
   * rest). May change its argument, but answers it only where it has changed nothing of it.
   */
  fromStored(document: Document): Document;
  /**
   * For conversions by another program: asked in place of the two above, for many objects at once.
   * Answers in the same order.
   */
  readonly remote?: {
    toStored(document: Document): Promise<Document>;
    fromStored(documents: readonly Document[]): Promise<readonly Document[]>;
  };
}

interface Subresources {
  /** Spec and status are written by different verbs; `generation` counts changes of the spec. */
  readonly status: boolean;
  readonly scale?: ScaleSubresource | undefined;
}

/** The circumstances of a write. The verbs always give them to the hooks. */
export interface WriteContext {
  /** Who writes. */
  readonly user: {
    readonly name: string;
    readonly groups: readonly string[];
    readonly uid?: string | undefined;
    readonly extra?: Readonly<Record<string, readonly string[]>> | undefined;
  };
  /** "", `status`, or another one that the resource names in `statusSubresources`. */
  readonly subresource: string;
}

/**
 * How the verbs treat documents of a resource (upstream's `rest.RESTCreateStrategy` and its
 * siblings). Every hook is synchronous and pure but for the document it is told to change; a hook
 * that throws fails the request with Internal, so what is wrong with a document is returned.
 *
 * The order of a write is: `setDefaults`, mutating admission, `prepareForCreate` or
 * `prepareForUpdate`, `validate` and `validateUpdate`, validating admission, the transaction.
 */
interface Strategy {
  /** Fills in what the user left out. Idempotent; changes the document in place. */
  setDefaults(document: Document): void;
  /** Sets what the user may not choose. The status has been emptied unless `statusOnCreate`. */
  prepareForCreate(document: Document, context?: WriteContext): void;
  /** `now`: Unix milliseconds. */
  prepareForUpdate(next: Document, stored: Document, now: number, context?: WriteContext): void;
  /** Marks a document whose deletion has begun but is not complete. */
  prepareForDelete(document: Document): void;
  /**
   * Everything wrong with a document; empty: valid. Metadata is checked by the pipeline. Told what
   * the store holds, if the document replaces it.
   */
  validate(document: Document, stored?: Document): FieldCause[];
  /** True: `validate` looks at nothing but the spec, so that a write of the status needs none. */
  readonly validatesSpecAlone?: true | undefined;
  /**
   * What the author is told although the document is valid; absent: nothing. Asked on creation, and
   * when the desired state has changed from the stored document's.
   */
  warnings?(document: Document, stored?: Document): string[];
  /** What may not change, given the stored document. */
  validateUpdate(next: Document, stored: Document, context?: WriteContext): FieldCause[];
  /**
   * The part of a document whose changes metadata.generation counts. Absent: the spec of a resource
   * with the status subresource; others have no generation.
   */
  desiredState?(document: Document): unknown;
  /** False: objects have no metadata.generation although they have spec and status, as upstream. */
  readonly countsGenerations?: false | undefined;
  /** False: an update must name the resourceVersion that it replaces. */
  readonly allowUnconditionalUpdate: boolean;
  /** An update of an object that is not there creates it. */
  readonly createOnUpdate?: true | undefined;
  /** The status of a new object is taken as it was sent; otherwise every status starts empty. */
  readonly statusOnCreate: boolean;
  /**
   * Seconds a deletion may take before the object goes: undefined deletes at once. Pods: their
   * terminationGracePeriodSeconds, unless no kubelet has them yet.
   */
  deletionGraceSeconds(document: Document, requested: number | undefined): number | undefined;
  /** Whether something beside metadata.finalizers keeps a deleted document. */
  holdsDeletion(document: Document): boolean;
  /**
   * What becomes of an object's dependents when its deletion says nothing about them; absent: the
   * garbage collector deletes them in the background.
   */
  readonly defaultPropagation?: "Orphan" | undefined;
  /** Objects go by themselves so many seconds after their last write. */
  readonly timeToLiveSeconds?: number | undefined;
}

export interface Resource extends Strategy {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  /** The kind of its lists; default: the kind and List. */
  readonly listKind?: string | undefined;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  /** Groups of resources that are listed together, e.g. `all`. */
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  /** Told to every caller of the resource, because it is deprecated. */
  readonly deprecationWarning?: string | undefined;
  /** Why a verb is refused at present, as the message of MethodNotAllowed. */
  refusal?(verb: string): string | undefined;
  /** The verbs that are served, of get, list, watch, create, update, patch, delete, deletecollection. */
  readonly verbs: readonly string[];
  /**
   * False: objects of it are never kept, an answer is computed for each request (TokenReview,
   * ComponentStatus); there is no watch cache.
   */
  readonly stored: boolean;
  /** A creation through REST or the dynamic service is answered with a Status, not the object. */
  readonly answersStatus?: true | undefined;
  /** Absent: objects are stored as they are. */
  readonly storedAs?: StoredAs | undefined;
  readonly schema: ResourceSchema;
  readonly subresources: Subresources;
  /** Further subresources that write the status, in a way of their own, e.g. `approval`. */
  readonly statusSubresources?: readonly string[] | undefined;
  /** Absent: the resource is served by the dynamic service and REST alone. */
  readonly codec?: MessageCodec | undefined;
  /** The generated definition of its typed service. */
  readonly service?: ServiceDefinition | undefined;
  /** How names are checked; most kinds: `subdomain`. */
  readonly nameRule: "label" | "subdomain" | "path" | "service" | "address";
  /** Field-selector names beyond metadata.name and metadata.namespace, e.g. `spec.nodeName`. */
  readonly selectableFields: Readonly<Record<string, (document: Document) => string>>;
  /** Those of them by which few of many objects are often asked for: lists use an index. */
  readonly indexedFields?: readonly string[] | undefined;
  readonly columns: readonly Column[];
}
