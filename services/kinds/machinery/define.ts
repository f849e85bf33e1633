/** What every kind's file is written with. */
import type { ServiceDefinition } from "@grpc/grpc-js";
import { assert } from "../../../ha/runtime/assert.ts";
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { messages } from "../../../proto/gen/schema.ts";
import { age } from "./time.ts";
import type { Column, Document, Kind, MessageCodec } from "./types.ts";

interface GeneratedMessage {
  // Parameters are `never` so that every generated codec fits, whatever its message type.
  encode(message: never): { finish(): Uint8Array };
  decode(bytes: Uint8Array): unknown;
}

type KindDefinition = Pick<Kind, "message"> &
  Partial<Omit<Kind, "group" | "version" | "kind" | "plural" | "codec" | "service">> & {
    readonly codec: GeneratedMessage;
    /** The generated service; its paths name the typed service. */
    readonly service: object;
    readonly singular: string;
  };

/** Completes a kind: its address from the schema, harmless answers for what it leaves out. */
export function defineKind(definition: KindDefinition): Kind {
  const resource = messages[definition.message]?.resource;
  assert(resource !== undefined, `message ${definition.message} is no resource`);
  return {
    shortNames: [],
    namespaced: true,
    hasStatus: false,
    nameRule: "subdomain",
    setDefaults: () => {},
    validate: (): FieldCause[] => [],
    validateUpdate: (): FieldCause[] => [],
    selectableFields: {},
    columns: [nameColumn, ageColumn],
    ...definition,
    ...resource,
    codec: codecOf(definition.codec),
    service: definition.service as ServiceDefinition,
  };
}

function codecOf(message: GeneratedMessage): MessageCodec {
  return {
    encode: (document) => message.encode(document as never).finish(),
    decode: (bytes) => message.decode(bytes) as Document,
  };
}

export const nameColumn: Column = {
  name: "Name",
  value: (document) => document.metadata?.name ?? "",
};

export const ageColumn: Column = {
  name: "Age",
  value: (document, now) => age(document.metadata?.creationTimestamp, now),
};
