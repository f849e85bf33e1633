/**
 * What a kind is to the apiserver: one value of this type per kind, in a small file of its own.
 *
 * A document is the JSON object itself (design: the decoded protobuf message is the JSON document),
 * typed loosely here because the pipeline handles every kind alike. Kinds narrow it to their
 * generated message type inside their own file.
 */
import type { ServiceDefinition } from "@grpc/grpc-js";
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type { ObjectMeta } from "../../../proto/gen/meta.ts";

export interface Document {
  apiVersion?: string | undefined;
  kind?: string | undefined;
  metadata?: ObjectMeta | undefined;
  [field: string]: unknown;
}

export interface Column {
  readonly name: string;
  /** Only shown by `-o wide`. */
  readonly wide?: true;
  /** `now`: Unix milliseconds, for ages. */
  readonly value: (document: Document, now: number) => string;
}

/** Converts between documents and the wire form of the kind's message. */
export interface MessageCodec {
  encode(document: Document): Uint8Array;
  decode(bytes: Uint8Array): Document;
}

export interface Kind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly namespaced: boolean;
  /** Full name of its message in `proto/gen/schema.ts`. */
  readonly message: string;
  readonly codec: MessageCodec;
  /** The generated definition of its typed service. */
  readonly service: ServiceDefinition;
  /** Spec and status are written by different verbs; `generation` counts changes of the spec. */
  readonly hasStatus: boolean;
  /** How names are checked; most kinds: `subdomain`. */
  readonly nameRule: "label" | "subdomain" | "path" | "service";

  /** Fills in what the user left out. Idempotent; changes the document in place. */
  setDefaults(document: Document): void;
  /** Everything wrong with a document; empty: valid. Metadata is checked by the pipeline. */
  validate(document: Document): FieldCause[];
  /** What may not change, given the stored document. */
  validateUpdate(next: Document, stored: Document): FieldCause[];
  /** Field-selector names beyond metadata.name and metadata.namespace, e.g. `spec.nodeName`. */
  readonly selectableFields: Readonly<Record<string, (document: Document) => string>>;
  readonly columns: readonly Column[];
  /**
   * Seconds a deletion may take before the object goes: undefined deletes at once. Pods: their
   * terminationGracePeriodSeconds, unless no kubelet has them yet.
   */
  deletionGraceSeconds?(document: Document, requested: number | undefined): number | undefined;
  /** Paths of the scale subresource's parts, for kinds that scale. */
  readonly scale?: {
    readonly replicas: (document: Document) => number;
    readonly setReplicas: (document: Document, replicas: number) => void;
    readonly currentReplicas: (document: Document) => number;
    readonly selector: (document: Document) => string;
  };
}
