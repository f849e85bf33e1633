/** What every resource's file is written with. */
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import type { ServiceDefinition } from "@grpc/grpc-js";
import { assert } from "../../../ha/runtime/assert.ts";
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { resources } from "../../../proto/gen/schema.ts";
import type { Column, Document, MessageCodec, Resource, ResourceSchema } from "./resource.ts";
import { freeFormSchema, messageSchema } from "./resource-schema.ts";
import { age } from "./time.ts";

interface GeneratedMessage {
  // Parameters are `never` so that every generated codec fits, whatever its message type.
  encode(message: never, writer?: BinaryWriter): BinaryWriter;
  decode(bytes: Uint8Array): unknown;
}

type Address = "group" | "version" | "kind" | "plural";

/** What the `resource` option of the message says. */
type FromContract = "singular" | "namespaced" | "verbs";

type KindDefinition = Partial<
  Omit<Resource, Address | FromContract | "codec" | "service" | "schema" | "subresources">
> & {
  /** Full name of its message, which carries the `resource` option. */
  readonly message: string;
  readonly codec: GeneratedMessage;
  /** The generated service; its paths name the typed service. */
  readonly service: object;
  readonly scale?: Resource["subresources"]["scale"];
  /** For a message that does not say everything about its fields. */
  readonly refineSchema?: (schema: ResourceSchema) => ResourceSchema;
};

type ResourceDefinition = Partial<Omit<Resource, Address>> & Pick<Resource, Address>;

const allVerbs = [
  "get",
  "list",
  "watch",
  "create",
  "update",
  "patch",
  "delete",
  "deletecollection",
];

/** A resource of any origin: harmless answers for everything that the definition leaves out. */
export function defineResource(definition: ResourceDefinition): Resource {
  return {
    singular: definition.kind.toLowerCase(),
    shortNames: [],
    categories: [],
    namespaced: true,
    verbs: allVerbs,
    stored: true,
    schema: freeFormSchema,
    subresources: { status: false },
    nameRule: "subdomain",
    setDefaults: () => {},
    prepareForCreate: () => {},
    prepareForUpdate: () => {},
    prepareForDelete: () => {},
    validate: (): FieldCause[] => [],
    validateUpdate: (): FieldCause[] => [],
    allowUnconditionalUpdate: true,
    statusOnCreate: false,
    deletionGraceSeconds: () => undefined,
    holdsDeletion: () => false,
    selectableFields: {},
    columns: [nameColumn, ageColumn],
    ...definition,
  };
}

/** A resource with a message in `proto/`, whose `resource` option gives its address and verbs. */
export function defineKind(definition: KindDefinition): Resource {
  const { message, codec, service, scale, refineSchema, ...rest } = definition;
  const row = resources[message];
  assert(row !== undefined, `message ${message} is no resource`);
  const { group, version, kind, plural, singular, namespaced, hasStatus, verbs } = row;
  const resource = defineResource({
    ...rest,
    ...{ group, version, kind, plural, singular, namespaced },
    schema: refineSchema?.(messageSchema(message)) ?? messageSchema(message),
    subresources: { status: hasStatus, scale },
    verbs,
    codec: codecOf(codec),
    service: service as ServiceDefinition,
  });
  builtIn.add(resource);
  return resource;
}

const builtIn = new WeakSet<object>();

/** Whether a value was made by `defineKind`: how the built-in kinds are found among exports. */
export function isBuiltIn(value: unknown): value is Resource {
  return typeof value === "object" && value !== null && builtIn.has(value);
}

/** Larger messages are written with a writer of their own, which does not outlive them. */
const keptBytesMax = 256 * 1024;
let writer = new BinaryWriter();

/** One writer for all messages: its buffer need not grow anew for each. */
function encodeWith(message: GeneratedMessage, document: Document): Uint8Array {
  const own = writer;
  // It is put back only when it has ended well.
  writer = new BinaryWriter();
  const bytes = message.encode(document as never, own).finish();
  if (bytes.length <= keptBytesMax) writer = own;
  return bytes;
}

function codecOf(message: GeneratedMessage): MessageCodec {
  return {
    encode: (document) => encodeWith(message, document),
    decode: (bytes) => message.decode(bytes) as Document,
  };
}

export const nameColumn: Column = {
  name: "Name",
  format: "name",
  description: "Unique among the objects of the kind in the namespace; it never changes.",
  value: (document) => document.metadata?.name ?? "",
};

/** The second column of kinds for which upstream has no columns of their own. */
export const createdColumn: Column = {
  name: "Created At",
  type: "date",
  description: "When the server created the object.",
  value: (document) => document.metadata?.creationTimestamp ?? "",
};

export const ageColumn: Column = {
  name: "Age",
  description: "Time since the server created the object.",
  value: (document, now) => age(document.metadata?.creationTimestamp, now),
};
