/** The metadata every object carries: the checks of apimachinery `api/validation/objectmeta.go`. */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type { ObjectMeta, OwnerReference } from "../../../proto/gen/meta.ts";
import { forbidden, invalid, required, tooLong } from "./causes.ts";
import { equalJson } from "./json.ts";
import { limits } from "./limits.ts";
import { checkLabelName, checkLabelValue, checkQualifiedName, nameRules } from "./names.ts";
import type { Document, Resource } from "./resource.ts";
import { parseTime } from "./time.ts";

/** Everything wrong with an object's metadata, name already generated or not. */
export function validateMetadata(kind: Resource, document: Document): FieldCause[] {
  const metadata = document.metadata ?? {};
  return [
    ...validateNames(kind, metadata),
    ...validateNamespace(kind, metadata),
    ...validateNumbers(metadata),
    ...validateLabels(metadata.labels, "metadata.labels"),
    ...validateAnnotations(metadata.annotations, "metadata.annotations"),
    ...validateOwners(metadata.ownerReferences ?? []),
    ...validateFinalizers(metadata.finalizers ?? []),
  ];
}

function validateNames(kind: Resource, { name = "", generateName = "" }: ObjectMeta): FieldCause[] {
  const causes: FieldCause[] = [];
  const rule = nameRules[kind.nameRule];
  if (generateName !== "") {
    // A prefix may end in what the random characters will follow.
    const masked = kind.nameRule === "path" ? generateName : generateName.replace(/-$/, "a");
    for (const problem of rule(masked)) {
      causes.push(invalid("metadata.generateName", generateName, problem));
    }
  }
  if (name === "") causes.push(required("metadata.name", "name or generateName is required"));
  else for (const problem of rule(name)) causes.push(invalid("metadata.name", name, problem));
  return causes;
}

function validateNamespace(kind: Resource, { namespace = "" }: ObjectMeta): FieldCause[] {
  const field = "metadata.namespace";
  if (!kind.namespaced)
    return namespace === "" ? [] : [forbidden(field, "not allowed on this type")];
  if (namespace === "") return [required(field)];
  return checkLabelName(namespace).map((problem) => invalid(field, namespace, problem));
}

function validateNumbers(metadata: ObjectMeta): FieldCause[] {
  const causes: FieldCause[] = [];
  if ((metadata.generation ?? 0) < 0) {
    const detail = "must be greater than or equal to 0";
    causes.push(invalid("metadata.generation", metadata.generation, detail));
  }
  for (const name of ["creationTimestamp", "deletionTimestamp"] as const) {
    const time = metadata[name];
    if (time === undefined || parseTime(time) !== undefined) continue;
    causes.push(invalid(`metadata.${name}`, time, "must be an RFC 3339 time"));
  }
  return causes;
}

type StringMap = Readonly<Record<string, string>> | undefined;

/** Syntax of labels; also of a node selector's. */
export function validateLabels(labels: StringMap, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  for (const [key, value] of Object.entries(labels ?? {})) {
    for (const problem of checkQualifiedName(key)) causes.push(invalid(path, key, problem));
    for (const problem of checkLabelValue(value)) causes.push(invalid(path, value, problem));
  }
  return causes;
}

export function validateAnnotations(annotations: StringMap, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  let size = 0;
  for (const [key, value] of Object.entries(annotations ?? {})) {
    for (const problem of checkQualifiedName(key.toLowerCase())) {
      causes.push(invalid(path, key, problem));
    }
    size += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (size > limits.annotationBytes) causes.push(tooLong(path, limits.annotationBytes));
  return causes;
}

/** Of objects to be made: labels and annotations, nothing else (core `ValidateTemplateObjectMeta`). */
export function validateTemplateMetadata(metadata: ObjectMeta, path: string): FieldCause[] {
  const { labels, annotations, ...others } = metadata;
  const set = Object.entries(others).filter(([, value]) => value !== undefined && value !== "");
  return [
    ...validateAnnotations(annotations, `${path}.annotations`),
    ...validateLabels(labels, `${path}.labels`),
    ...set.map(([name]) => forbidden(`${path}.${name}`, "cannot be set")),
  ];
}

/** Upstream's `ValidateOwnerReferences`, which names the list and not its elements. */
function validateOwners(owners: readonly OwnerReference[]): FieldCause[] {
  const path = "metadata.ownerReferences";
  const causes: FieldCause[] = [];
  let controller: string | undefined;
  for (const owner of owners) {
    const { apiVersion = "", kind = "", name = "", uid = "" } = owner;
    const version = apiVersion.slice(apiVersion.indexOf("/") + 1);
    if (version === "") {
      causes.push(invalid(`${path}.apiVersion`, apiVersion, "version must not be empty"));
    }
    for (const [part, value] of Object.entries({ kind, name, uid })) {
      if (value === "") causes.push(invalid(`${path}.${part}`, value, "must not be empty"));
    }
    if (apiVersion === "v1" && kind === "Event") {
      causes.push(invalid(path, owner, "/v1, Kind=Event is disallowed from being an owner"));
    }
    if (owner.controller !== true) continue;
    const shown = `${kind}/${name}`;
    if (controller !== undefined) {
      const detail =
        "Only one reference can have Controller set to true. " +
        `Found "true" in references for ${controller} and ${shown}`;
      causes.push(invalid(path, owners, detail));
    }
    controller ??= shown;
  }
  return causes;
}

const standardFinalizers = ["orphan", "foregroundDeletion", "kubernetes"];

/** A qualified name, with a prefix unless it is one of Kubernetes' own; `path`: of the second. */
export function validateFinalizerName(
  finalizer: string,
  list: string,
  path: string = list,
): FieldCause[] {
  const causes = checkQualifiedName(finalizer).map((problem) => invalid(list, finalizer, problem));
  if (finalizer.includes("/") || standardFinalizers.includes(finalizer)) return causes;
  const detail = "name is neither a standard finalizer name nor is it fully qualified";
  return [...causes, invalid(path, finalizer, detail)];
}

function validateFinalizers(finalizers: readonly string[]): FieldCause[] {
  const path = "metadata.finalizers";
  const causes = finalizers.flatMap((finalizer, index) =>
    validateFinalizerName(finalizer, path, `${path}[${index}]`),
  );
  if (finalizers.includes("orphan") && finalizers.includes("foregroundDeletion")) {
    const detail = "finalizers orphan and foregroundDeletion cannot be both set";
    causes.push(invalid(path, finalizers, detail));
  }
  return causes;
}

const immutableFields = [
  "name",
  "namespace",
  "uid",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
] as const;

/** What of the metadata may not change, given the stored object. */
export function validateMetadataUpdate(next: Document, stored: Document): FieldCause[] {
  const [metadata, before] = [next.metadata ?? {}, stored.metadata ?? {}];
  const causes: FieldCause[] = [];
  for (const name of immutableFields) {
    if (equalJson(metadata[name], before[name])) continue;
    causes.push(invalid(`metadata.${name}`, metadata[name], "field is immutable"));
  }
  if ((metadata.generation ?? 0) < (before.generation ?? 0)) {
    causes.push(invalid("metadata.generation", metadata.generation, "must not be decremented"));
  }
  if (before.deletionTimestamp !== undefined) {
    const known = new Set(before.finalizers);
    const added = (metadata.finalizers ?? []).filter((finalizer) => !known.has(finalizer));
    if (added.length > 0) {
      const detail =
        "no new finalizers can be added if the object is being deleted, " +
        `found new finalizers []string{${added.map((each) => JSON.stringify(each)).join(", ")}}`;
      causes.push(forbidden("metadata.finalizers", detail));
    }
  }
  return causes;
}

/** Without vowels and look-alikes, so that no word and no doubt comes out (apiserver `names`). */
const suffixAlphabet = "bcdfghjklmnpqrstvwxz2456789";
const suffixLength = 5;
const nameLengthMax = 63;

/** `prefix` and five random characters, within 63; `random(limit)` is uniform in 0..limit-1. */
export function generateName(prefix: string, random: (limit: number) => number): string {
  let suffix = "";
  for (let index = 0; index < suffixLength; index++) {
    suffix += suffixAlphabet[random(suffixAlphabet.length)] ?? "";
  }
  return prefix.slice(0, nameLengthMax - suffixLength) + suffix;
}
