/**
 * The structure of documents, checked against the messages of `proto/`: JSON types, unknown fields,
 * bounds. What the values mean is for each kind's validation.
 */
import { assert } from "../../../ha/runtime/assert.ts";
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { type FieldSchema, type MessageSchema, messages } from "../../../proto/gen/schema.ts";
import { base64Fault } from "./base64.ts";
import { required, typeInvalid } from "./causes.ts";
import { isIntOrString } from "./int-or-string.ts";
import { copyJson, isObject, type JsonObject, setField } from "./json.ts";
import { limits } from "./limits.ts";
import { parseQuantity, quantityMessage } from "./quantity.ts";
import type { Document } from "./resource.ts";
import { parseTime } from "./time.ts";
import { meansAbsentWhenZero } from "./zero-values.ts";

/** What to do about fields the message does not know; they are pruned in every mode. */
export type SchemaMode = "strict" | "warn" | "ignore";

export interface SchemaCheck {
  /** Values of the wrong JSON type or beyond the bounds; at most `limits.errors`. */
  readonly errors: FieldCause[];
  /** E.g. `unknown field "spec.foo"`; empty in mode `ignore`. */
  readonly unknown: string[];
  /** A copy without nulls and unknown fields, numbers in quantity fields made text. */
  readonly document: Document;
}

/** Quantities may come as JSON numbers (`cpu: 2`); by field name after `trireme.`. */
const quantityFields: ReadonlySet<string> = new Set(
  [
    "node.v1.Overhead.podFixed",
    "storage.v1.CSIStorageCapacity.capacity",
    "storage.v1.CSIStorageCapacity.maximumVolumeSize",
    "resource.v1.DeviceCapacity.value",
    "core.v1.ResourceRequirements.limits",
    "core.v1.ResourceRequirements.requests",
    "core.v1.VolumeResourceRequirements.limits",
    "core.v1.VolumeResourceRequirements.requests",
    "core.v1.PodSpec.overhead",
    "core.v1.NodeStatus.capacity",
    "core.v1.NodeStatus.allocatable",
    "core.v1.ContainerStatus.allocatedResources",
    "core.v1.EmptyDirVolumeSource.sizeLimit",
    "core.v1.ResourceFieldSelector.divisor",
    "autoscaling.v2.HPAScalingRules.tolerance",
    "autoscaling.v2.MetricTarget.value",
    "autoscaling.v2.MetricTarget.averageValue",
    "autoscaling.v2.MetricValueStatus.value",
    "autoscaling.v2.MetricValueStatus.averageValue",
    "core.v1.LimitRangeItem.max",
    "core.v1.LimitRangeItem.min",
    "core.v1.LimitRangeItem.default",
    "core.v1.LimitRangeItem.defaultRequest",
    "core.v1.LimitRangeItem.maxLimitRequestRatio",
    "core.v1.PersistentVolumeSpec.capacity",
    "core.v1.ResourceQuotaSpec.hard",
    "core.v1.ResourceQuotaStatus.hard",
    "core.v1.ResourceQuotaStatus.used",
    "core.v1.PersistentVolumeClaimStatus.capacity",
    "core.v1.PersistentVolumeClaimStatus.allocatedResources",
  ].map((name) => `trireme.${name}`),
);

/** Bytes are base64 texts in the contract, as they are in JSON. */
const base64Fields: ReadonlySet<string> = new Set(
  [
    "core.v1.Secret.data",
    "core.v1.ConfigMap.binaryData",
    "certificates.v1.CertificateSigningRequestSpec.request",
    "certificates.v1.CertificateSigningRequestStatus.certificate",
    "admissionregistration.v1.WebhookClientConfig.caBundle",
    "apiextensions.v1.WebhookClientConfig.caBundle",
    "apiregistration.v1.APIServiceSpec.caBundle",
  ].map((name) => `trireme.${name}`),
);

/** What a text of the contract stands for, where it is more than a text. */
export type Nature = "quantity" | "time" | "base64" | "plain";

/** What is known of a field beside its schema. */
interface Traits {
  readonly nature: Nature;
  /** An empty text, 0 and false are as good as none. */
  readonly omitsZero: boolean;
}

const traits = new Map<FieldSchema, Traits>();

export function traitsOf(message: string, name: string, field: FieldSchema): Traits {
  let known = traits.get(field);
  if (known === undefined) {
    known = {
      nature: natureOf(`${message}.${name}`, name, field),
      omitsZero: meansAbsentWhenZero(message, name),
    };
    traits.set(field, known);
  }
  return known;
}

function natureOf(fullName: string, name: string, field: FieldSchema): Nature {
  if (quantityFields.has(fullName)) return "quantity";
  if (base64Fields.has(fullName)) return "base64";
  return isTimeField(name, field) ? "time" : "plain";
}

export interface SchemaOptions {
  /** Values that are as good as none stay: who applies one owns the field. */
  readonly keepsZeros?: boolean | undefined;
}

export function checkSchema(
  message: string,
  json: unknown,
  mode: SchemaMode,
  { keepsZeros = false }: SchemaOptions = {},
): SchemaCheck {
  const check = new Check(mode, keepsZeros);
  const document = check.message(message, json, "", 0);
  return { errors: check.errors, unknown: check.unknown, document: document ?? {} };
}

/** Times are texts in the contract; these names tell them. */
const timeNames = /(?:[a-z](?:Time|Timestamp)|^timeAdded|^time)$/;

export function isTimeField(name: string, { type, repeated, map }: FieldSchema): boolean {
  return type === "string" && !repeated && !map && timeNames.test(name);
}

export function messageSchema(name: string): MessageSchema {
  const schema = Object.hasOwn(messages, name) ? messages[name] : undefined;
  assert(schema !== undefined, `no message ${name} in proto/gen/schema.ts`);
  return schema;
}

export function fieldSchema(message: string, field: string): FieldSchema | undefined {
  const { fields } = messageSchema(message);
  return Object.hasOwn(fields, field) ? fields[field] : undefined;
}

/**
 * `Required value` for every field that the contract marks as required and the value leaves empty.
 * For parts of a document that need no other checks.
 */
export function checkRequired(message: string, value: JsonObject, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  for (const [name, field] of Object.entries(messageSchema(message).fields)) {
    const at = `${path}.${name}`;
    const part = value[name];
    if (field.required && isEmpty(part)) causes.push(required(at));
    if (field.type !== "message" || field.message === undefined || field.map) continue;
    const parts = Array.isArray(part) ? part : [part];
    parts.forEach((each, index) => {
      const where = field.repeated ? `${at}[${index}]` : at;
      if (isObject(each)) causes.push(...checkRequired(field.message ?? "", each, where));
    });
  }
  return causes;
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === "" || (Array.isArray(value) && value.length === 0);
}

class Check {
  readonly errors: FieldCause[] = [];
  readonly unknown: string[] = [];
  private readonly mode: SchemaMode;
  private readonly keepsZeros: boolean;
  private nodes = 0;
  private exhausted = false;

  constructor(mode: SchemaMode, keepsZeros: boolean) {
    this.mode = mode;
    this.keepsZeros = keepsZeros;
  }

  message(name: string, json: unknown, path: string, depth: number): JsonObject | undefined {
    if (!this.enter(path, depth)) return undefined;
    if (!isObject(json)) return this.wrong(path, json, "object");
    const result: JsonObject = {};
    for (const fieldName of Object.keys(json)) {
      const at = path === "" ? fieldName : `${path}.${fieldName}`;
      const field = fieldSchema(name, fieldName);
      if (field === undefined) {
        this.unknownField(at);
        continue;
      }
      const { nature, omitsZero } = traitsOf(name, fieldName, field);
      const value = this.field(field, json[fieldName], at, depth + 1, nature);
      if (omitsZero && !this.keepsZeros && (value === "" || value === 0 || value === false))
        continue;
      if (value !== undefined) setField(result, fieldName, value);
    }
    return result;
  }

  private field(
    field: FieldSchema,
    json: unknown,
    path: string,
    depth: number,
    nature: Nature,
  ): unknown {
    if (json === null || json === undefined) return undefined;
    if (!field.repeated && !field.map) return this.single(field, json, path, depth, nature);
    if (!this.enter(path, depth)) return undefined;
    if (field.repeated) {
      if (!Array.isArray(json)) return this.wrong(path, json, "array");
      // A list without items is as good as none, unless it must be there.
      if (json.length === 0 && !field.required) return undefined;
      return json.map((each, index) =>
        this.element(field, each, `${path}[${index}]`, depth + 1, nature),
      );
    }
    if (!isObject(json)) return this.wrong(path, json, "object");
    const result: JsonObject = {};
    for (const key of Object.keys(json)) {
      const value = this.element(field, json[key], `${path}.${key}`, depth + 1, nature);
      if (value !== undefined) setField(result, key, value);
    }
    // A map without entries is as good as none, and no codec but JSON tells them apart.
    return Object.keys(result).length === 0 ? undefined : result;
  }

  /** One that clients could not read would spoil every list it is on. */
  private time(json: unknown, path: string): string | undefined {
    if (typeof json !== "string") return this.wrong(path, json, "string");
    if (parseTime(json) !== undefined) return json;
    const detail = `${path} in body must be of type date-time: ${JSON.stringify(json)}`;
    this.error(typeInvalid(path, json, detail));
    return undefined;
  }

  /** An element of a list or map; null stands for the zero value of its type, as in Go's decoder. */
  private element(
    field: FieldSchema,
    json: unknown,
    path: string,
    depth: number,
    nature: Nature,
  ): unknown {
    const value = json === null ? zeroOf(field, nature) : json;
    return this.single(field, value, path, depth, nature);
  }

  private single(
    field: FieldSchema,
    json: unknown,
    path: string,
    depth: number,
    nature: Nature,
  ): unknown {
    if (field.type === "message") return this.message(field.message ?? "", json, path, depth);
    if (!this.enter(path, depth)) return undefined;
    switch (field.type) {
      case "string":
        if (nature === "quantity") return this.quantity(json, path);
        if (nature === "time") return this.time(json, path);
        if (nature === "base64") return this.base64(json, path);
        return typeof json === "string" ? json : this.wrong(path, json, "string");
      case "bool":
        return typeof json === "boolean" ? json : this.wrong(path, json, "boolean");
      case "int":
        return this.integer(json, path, 2 ** 31 - 1);
      case "long":
        return this.integer(json, path, Number.MAX_SAFE_INTEGER);
      case "double":
        return typeof json === "number" ? json : this.wrong(path, json, "number");
      case "enum":
        return typeof json === "string" || Number.isInteger(json)
          ? json
          : this.wrong(path, json, "string");
      case "bytes":
        return typeof json === "string"
          ? Buffer.from(json, "base64")
          : this.wrong(path, json, "string");
      case "value":
        return isIntOrString(json) ? json : this.wrong(path, json, "integer or string");
      case "struct":
        if (!isObject(json)) return this.wrong(path, json, "object");
        return this.bounded(json, path, depth) ? copyJson(json) : undefined;
      case "texts":
        if (!Array.isArray(json)) return this.wrong(path, json, "array");
        return json.map((each, index) =>
          typeof each === "string" ? each : this.wrong(`${path}[${index}]`, each, "string"),
        );
    }
  }

  /** Upstream's decoder refuses what is none, whatever the kind. Spaces around it are taken away. */
  private quantity(json: unknown, path: string): string | undefined {
    if (typeof json !== "number" && typeof json !== "string") {
      return this.wrong(path, json, "string");
    }
    const text = String(json).trim();
    if (parseQuantity(text) !== undefined) return text;
    this.error(typeInvalid(path, json, quantityMessage));
    return undefined;
  }

  private base64(json: unknown, path: string): string | undefined {
    if (typeof json !== "string") return this.wrong(path, json, "string");
    const at = base64Fault(json);
    if (at === undefined) return json;
    this.error(typeInvalid(path, "", `illegal base64 data at input byte ${at}`));
    return undefined;
  }

  private integer(json: unknown, path: string, maximum: number): number | undefined {
    if (typeof json !== "number" || !Number.isInteger(json))
      return this.wrong(path, json, "integer");
    if (Math.abs(json) <= maximum) return json;
    const detail = `${path} in body must be between ${-maximum} and ${maximum}`;
    this.error(typeInvalid(path, json, detail));
    return undefined;
  }

  /** Whether a free-form value keeps the bounds. */
  private bounded(json: unknown, path: string, depth: number): boolean {
    if (!this.enter(path, depth)) return false;
    if (typeof json !== "object" || json === null) return true;
    return Object.values(json).every((each) => this.bounded(each, path, depth + 1));
  }

  private enter(path: string, depth: number): boolean {
    if (this.exhausted) return false;
    this.nodes += 1;
    const bound =
      depth > limits.depth
        ? `must not nest deeper than ${limits.depth} levels`
        : `must not hold more than ${limits.nodes} values`;
    if (depth <= limits.depth && this.nodes <= limits.nodes) return true;
    this.exhausted = true;
    this.errors.push(typeInvalid(path, "", bound));
    return false;
  }

  private wrong(path: string, json: unknown, expected: string): undefined {
    const actual = typeName(json);
    const subject = path === "" ? "body" : `${path} in body`;
    const detail = `${subject} must be of type ${expected}: ${JSON.stringify(actual)}`;
    this.error(typeInvalid(path, actual, detail));
    return undefined;
  }

  private error(cause: FieldCause): void {
    if (this.errors.length < limits.errors) this.errors.push(cause);
  }

  private unknownField(path: string): void {
    if (this.mode === "ignore" || this.unknown.length >= limits.errors) return;
    this.unknown.push(`unknown field ${JSON.stringify(path)}`);
  }
}

function zeroOf(field: FieldSchema, nature: Nature): unknown {
  switch (field.type) {
    case "string":
    case "bytes":
      return nature === "quantity" ? "0" : "";
    case "message":
    case "struct":
      return {};
    case "texts":
      return [];
    case "bool":
      return false;
    case "value":
    case "int":
    case "long":
    case "double":
    case "enum":
      return 0;
  }
}

function typeName(json: unknown): string {
  if (json === null) return "null";
  if (Array.isArray(json)) return "array";
  if (typeof json === "number") return Number.isInteger(json) ? "integer" : "number";
  return typeof json;
}
