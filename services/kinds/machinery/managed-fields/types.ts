/** How server-side apply sees the documents of a resource: from its message, or as it says itself. */
import type { FieldSchema } from "../../../../proto/gen/schema.ts";
import { messages } from "../../../../proto/gen/schema.ts";
import type { FieldType } from "../field-type.ts";
import type { JsonObject } from "../json.ts";
import type { Resource } from "../resource.ts";
import { fieldSchema, messageSchema } from "../schema.ts";

const untyped: FieldType = { kind: "untyped" };
const leaf: FieldType = { kind: "leaf" };

/** Metadata is known; the rest may be anything. */
const freeForm: FieldType = {
  kind: "struct",
  field: (name) => {
    if (name === "metadata") return messageType("trireme.meta.v1.ObjectMeta");
    return name === "apiVersion" || name === "kind" ? leaf : undefined;
  },
};

export function typeOf(resource: Pick<Resource, "schema">): FieldType {
  const { type, message } = resource.schema;
  if (type !== undefined) return type;
  return message === undefined ? freeForm : messageType(message);
}

const types = new Map<string, FieldType>();

/** Made once per message; the types of its fields when they are first asked for. */
export function messageType(message: string): FieldType {
  let type = types.get(message);
  if (type === undefined) {
    type = messageSchema(message).atomic ? leaf : structType(message);
    types.set(message, type);
  }
  return type;
}

function structType(message: string): FieldType {
  const known = new Map<string, FieldType>();
  return {
    kind: "struct",
    field: (name) => {
      let type = known.get(name);
      if (type === undefined) {
        const schema = fieldSchema(message, name);
        if (schema === undefined) return undefined;
        type = fieldType(schema);
        known.set(name, type);
      }
      return type;
    },
  };
}

function fieldType(schema: FieldSchema): FieldType {
  const { listMapKeys } = schema;
  if (schema.repeated) {
    if (listMapKeys !== undefined && schema.message !== undefined) {
      return listMapType(listMapKeys, schema.message);
    }
    return schema.listSet ? { kind: "set" } : leaf;
  }
  if (schema.map) return schema.atomic ? leaf : { kind: "map", element: singleType(schema) };
  return schema.atomic ? leaf : singleType(schema);
}

function singleType({ type, message }: FieldSchema): FieldType {
  if (type === "message" && message !== undefined) return messageType(message);
  return type === "struct" ? untyped : leaf;
}

function listMapType(keys: readonly string[], message: string): FieldType {
  const defaults: Record<string, unknown> = {};
  for (const key of keys) {
    const value = fieldSchema(message, key)?.keyDefault;
    if (value !== undefined) defaults[key] = value;
  }
  return { kind: "list-map", keys, defaults, element: messageType(message) };
}

/**
 * Messages that every value of their parent has, if only empty: upstream holds them by value, so
 * no manager comes to own them by setting something in them. By the message around and the field.
 */
const always: Readonly<Record<string, readonly string[]>> = {
  "apps.v1.DaemonSetSpec": ["template", "updateStrategy"],
  "apps.v1.DeploymentSpec": ["strategy", "template"],
  "apps.v1.ReplicaSetSpec": ["template"],
  "apps.v1.StatefulSetSpec": ["template", "updateStrategy"],
  "autoscaling.v2.HorizontalPodAutoscalerSpec": ["scaleTargetRef"],
  "batch.v1.CronJobSpec": ["jobTemplate"],
  "batch.v1.JobSpec": ["template"],
  "batch.v1.JobTemplateSpec": ["metadata", "spec"],
  "core.v1.Event": ["source"],
  "core.v1.NodeDaemonEndpoints": ["kubeletEndpoint"],
  "core.v1.NodeStatus": ["daemonEndpoints", "nodeInfo"],
  "core.v1.PersistentVolumeClaimSpec": ["resources"],
  "core.v1.PodTemplate": ["template"],
  "core.v1.PodTemplateSpec": ["metadata", "spec"],
  "core.v1.ServiceStatus": ["loadBalancer"],
  "networking.v1.IngressStatus": ["loadBalancer"],
  "storage.v1.VolumeAttachmentSpec": ["source"],
};
const ofEveryKind = ["metadata", "spec", "status"];

const empties = new Map<string, JsonObject>();

/** An object of the resource that says nothing yet: what a creation is compared with. */
export function emptyDocument(resource: Pick<Resource, "schema">): JsonObject {
  const { message } = resource.schema;
  if (message === undefined) return { metadata: {} };
  let empty = empties.get(message);
  if (empty === undefined) {
    empty = emptyMessage(message, ofEveryKind);
    empties.set(message, empty);
  }
  return empty;
}

function emptyMessage(message: string, names: readonly string[]): JsonObject {
  const result: JsonObject = {};
  for (const name of names) {
    const part = messages[message]?.fields[name]?.message;
    if (part === undefined) continue;
    result[name] = emptyMessage(part, always[part.replace("trireme.", "")] ?? []);
  }
  return result;
}
