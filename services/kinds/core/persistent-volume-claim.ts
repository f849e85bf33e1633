import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  PersistentVolumeClaim,
  type PersistentVolumeClaimSpec,
  PersistentVolumeClaimsService,
} from "../../../proto/gen/core.ts";
import { forbidden, invalid, notSupported } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { differences } from "../machinery/differences.ts";
import { unchanged } from "../machinery/field-rules.ts";
import { equalJson } from "../machinery/json.ts";
import { checkQualifiedName } from "../machinery/names.ts";
import {
  canonicalise,
  compareQuantities,
  parseQuantity,
  quantityMessage,
} from "../machinery/quantity.ts";
import type { Document } from "../machinery/resource.ts";
import { claimSpecWarnings, setClaimSpecDefaults, validateClaimSpec } from "./claim-spec.ts";
import {
  classAnnotationWarnings,
  shownAccessModes,
  storageClassOf,
  validateClassAnnotationUpdate,
} from "./volume-claims.ts";

type Status = NonNullable<PersistentVolumeClaim["status"]>;

const specOf = (document: Document): PersistentVolumeClaimSpec =>
  (document as PersistentVolumeClaim).spec ?? {};
const statusOf = (document: Document): Status => (document as PersistentVolumeClaim).status ?? {};

export const persistentVolumeClaim = defineKind({
  message: "trireme.core.v1.PersistentVolumeClaim",
  codec: PersistentVolumeClaim,
  service: PersistentVolumeClaimsService,
  countsGenerations: false,
  shortNames: ["pvc"],

  setDefaults: (document) => setClaimDefaults(document as PersistentVolumeClaim),
  prepareForCreate(document) {
    const claim = document as PersistentVolumeClaim;
    normalizeSources(claim.spec, undefined);
  },
  prepareForUpdate(next, stored) {
    const claim = next as PersistentVolumeClaim;
    normalizeSources(claim.spec, specOf(stored));
  },
  warnings: (document) => [
    ...classAnnotationWarnings(document, "metadata.annotations"),
    ...claimSpecWarnings(specOf(document), "spec"),
  ],
  validate: (document) => validateClaimSpec(specOf(document), "spec"),
  validateUpdate(next, stored) {
    const causes = [
      ...validateClassAnnotationUpdate(next, stored),
      ...validateSpecUpdate(next, stored),
    ];
    if (equalJson(statusOf(next), statusOf(stored))) return causes;
    return [...causes, ...validateStatus(statusOf(next))];
  },
  columns: [
    nameColumn,
    {
      name: "Status",
      value: (document) =>
        document.metadata?.deletionTimestamp === undefined
          ? (statusOf(document).phase ?? "")
          : "Terminating",
    },
    { name: "Volume", value: (document) => specOf(document).volumeName ?? "" },
    {
      name: "Capacity",
      value: (document) => bound(document, () => statusOf(document).capacity?.["storage"] ?? "0"),
    },
    {
      name: "Access Modes",
      value: (document) => bound(document, () => shownAccessModes(statusOf(document).accessModes)),
    },
    {
      name: "StorageClass",
      value: (document) => storageClassOf(document, specOf(document).storageClassName),
    },
    {
      name: "VolumeAttributesClass",
      value: (document) => specOf(document).volumeAttributesClassName ?? "<unset>",
    },
    ageColumn,
    {
      name: "VolumeMode",
      wide: true,
      value: (document) => specOf(document).volumeMode ?? "<unset>",
    },
  ],
});

/** Empty until a volume is named. */
function bound(document: Document, value: () => string): string {
  return specOf(document).volumeName ? value() : "";
}

/** Of a claim by itself, or one that a stateful set makes claims from. */
export function setClaimDefaults(claim: PersistentVolumeClaim): void {
  claim.spec ??= {};
  setClaimSpecDefaults(claim.spec);
  claim.status ??= {};
  claim.status.phase ||= "Pending";
  canonicalise(claim.status.capacity);
  canonicalise(claim.status.allocatedResources);
}

/**
 * A source is given by dataSource, dataSourceRef, or both alike. dataSource alone may only name a
 * claim or a snapshot; anything else is dropped, as it always was (KEP-1495).
 */
function normalizeSources(
  spec: PersistentVolumeClaimSpec | undefined,
  stored: PersistentVolumeClaimSpec | undefined,
): void {
  if (spec === undefined) return;
  // Sources in other namespaces are an alpha feature of upstream, which is off.
  if (spec.dataSourceRef?.namespace && stored?.dataSourceRef === undefined) {
    delete spec.dataSourceRef;
  }
  const { dataSource, dataSourceRef } = spec;
  const { apiGroup = "", kind = "" } = dataSource ?? {};
  const accepted =
    (kind === "PersistentVolumeClaim" && apiGroup === "") ||
    (kind === "VolumeSnapshot" && apiGroup === "snapshot.storage.k8s.io");
  const inUse = stored?.dataSource !== undefined || stored?.dataSourceRef !== undefined;
  if (dataSource !== undefined && dataSourceRef === undefined && !accepted && !inUse) {
    delete spec.dataSource;
    return;
  }
  if (dataSource !== undefined) spec.dataSourceRef ??= { ...dataSource };
  else if (dataSourceRef !== undefined && !dataSourceRef.namespace) {
    const { namespace: _, ...local } = dataSourceRef;
    spec.dataSource = local;
  }
}

/** A bound claim may ask for more storage and for another class of attributes; nothing else. */
function validateSpecUpdate(next: Document, stored: Document): FieldCause[] {
  const [spec, before] = [specOf(next), specOf(stored)];
  const allowed = structuredClone(spec);
  const storage = before.resources?.requests?.["storage"];
  if (statusOf(stored).phase === "Bound") {
    const requests = allowed.resources?.requests;
    if (requests !== undefined && storage !== undefined) requests["storage"] = storage;
    allowed.volumeAttributesClassName = before.volumeAttributesClassName;
  }
  // The binder names the volume, once; a claim without a class may be given the default one.
  if (!before.volumeName) allowed.volumeName = before.volumeName;
  if (before.storageClassName === undefined && !before.volumeName) {
    allowed.storageClassName = before.storageClassName;
  }
  const causes: FieldCause[] = [];
  if (!equalJson(allowed, before)) {
    const detail =
      "spec is immutable after creation except resources.requests and " +
      `volumeAttributesClassName for bound claims\n${differences(before, allowed)}`;
    causes.push(forbidden("spec", detail));
  }
  return [
    ...causes,
    ...validateShrinking(next, stored),
    ...unchanged("volumeMode", spec.volumeMode, before.volumeMode),
    ...validateAttributesUpdate(next, stored),
  ];
}

function validateShrinking(next: Document, stored: Document): FieldCause[] {
  const size = (text: string | undefined) => parseQuantity(text ?? "0");
  const now = size(specOf(next).resources?.requests?.["storage"]);
  const before = size(specOf(stored).resources?.requests?.["storage"]);
  const capacity = size(statusOf(stored).capacity?.["storage"]);
  if (now === undefined || before === undefined || capacity === undefined) return [];
  if (compareQuantities(now, before) >= 0 || compareQuantities(now, capacity) > 0) return [];
  const detail = "field can not be less than status.capacity";
  return [forbidden("spec.resources.requests.storage", detail)];
}

function validateAttributesUpdate(next: Document, stored: Document): FieldCause[] {
  const { volumeAttributesClassName: name } = specOf(next);
  if (statusOf(stored).currentVolumeAttributesClassName === undefined || name) return [];
  if (name === specOf(stored).volumeAttributesClassName) return [];
  const to = name === undefined ? "nil" : "empty string";
  const detail = `update to ${to} is forbidden when status.currentVolumeAttributesClassName is not nil`;
  return [forbidden("spec.volumeAttributesClassName", detail)];
}

const resizeStatuses = [
  "ControllerResizeInProgress",
  "ControllerResizeInfeasible",
  "NodeResizePending",
  "NodeResizeInProgress",
  "NodeResizeInfeasible",
];

function validateStatus(status: Status): FieldCause[] {
  const causes: FieldCause[] = [];
  for (const [name, text] of Object.entries(status.capacity ?? {})) {
    causes.push(...validateAmount(text, `status.capacity[${name}]`));
  }
  for (const [name, value] of Object.entries(status.allocatedResourceStatuses ?? {})) {
    const path = "status.allocatedResourceStatuses";
    causes.push(...validateStorageName(name, path));
    if (!resizeStatuses.includes(value)) causes.push(notSupported(path, name, resizeStatuses));
  }
  for (const [name, text] of Object.entries(status.allocatedResources ?? {})) {
    const path = "status.allocatedResources";
    causes.push(...validateStorageName(name, path), ...validateAmount(text, `${path}[${name}]`));
  }
  return causes;
}

function validateAmount(text: string, path: string): FieldCause[] {
  const quantity = parseQuantity(text);
  if (quantity === undefined) return [invalid(path, text, quantityMessage)];
  return quantity.nanos < 0n ? [invalid(path, text, "must be a valid resource quantity")] : [];
}

function validateStorageName(name: string, path: string): FieldCause[] {
  const causes = checkQualifiedName(name).map((problem) => invalid(path, name, problem));
  const native = !name.includes("/") || name.includes("kubernetes.io/");
  if (causes.length > 0 || !native || name === "storage") return causes;
  return [notSupported(path, name, ["storage"])];
}
