import { posix } from "node:path";
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  PersistentVolume,
  type PersistentVolumeSpec,
  PersistentVolumesService,
} from "../../../proto/gen/core.ts";
import { forbidden, invalid, notSupported, required } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { differences } from "../machinery/differences.ts";
import { unchanged } from "../machinery/field-rules.ts";
import { equalJson } from "../machinery/json.ts";
import { canonicalise, parseQuantity, quantityMessage } from "../machinery/quantity.ts";
import type { Document } from "../machinery/resource.ts";
import { rfc3339Seconds } from "../machinery/time.ts";
import { oneOf } from "./pod/field-checks.ts";
import { validateNodeSelector } from "./pod/validation.ts";
import {
  classAnnotationWarnings,
  shownAccessModes,
  storageClassOf,
  validateAccessModes,
  validateClassName,
  volumeModes,
} from "./volume-claims.ts";
import { setSourceDefaults, sourceOf, validateSources } from "./volume-sources.ts";

type Status = NonNullable<PersistentVolume["status"]>;

const specOf = (document: Document): PersistentVolumeSpec =>
  (document as PersistentVolume).spec ?? {};
const statusOf = (document: Document): Status => (document as PersistentVolume).status ?? {};

export const persistentVolume = defineKind({
  message: "trireme.core.v1.PersistentVolume",
  codec: PersistentVolume,
  service: PersistentVolumesService,
  countsGenerations: false,
  shortNames: ["pv"],

  setDefaults(document) {
    const volume = document as PersistentVolume;
    volume.spec ??= {};
    volume.spec.persistentVolumeReclaimPolicy ||= "Retain";
    volume.spec.volumeMode ??= "Filesystem";
    canonicalise(volume.spec.capacity);
    setSourceDefaults(volume.spec);
    volume.status ??= {};
    volume.status.phase ||= "Pending";
  },
  prepareForCreate(document) {
    const lastPhaseTransitionTime = document.metadata?.creationTimestamp;
    document["status"] = { phase: "Pending", lastPhaseTransitionTime } satisfies Status;
  },
  prepareForUpdate(next, stored, now) {
    const [status, before] = [statusOf(next), statusOf(stored)];
    const { lastPhaseTransitionTime: since } = status;
    if (status.phase === before.phase) {
      if (since === undefined) setTransition(next, before.lastPhaseTransitionTime);
    } else if (since === undefined || since === before.lastPhaseTransitionTime) {
      setTransition(next, rfc3339Seconds(now));
    }
  },
  warnings: warningsOf,
  validate: (document) => validateSpec(document),
  validateUpdate: (next, stored) => validateSpecUpdate(specOf(next), specOf(stored)),
  columns: [
    nameColumn,
    { name: "Capacity", value: (document) => specOf(document).capacity?.["storage"] ?? "0" },
    { name: "Access Modes", value: (document) => shownAccessModes(specOf(document).accessModes) },
    {
      name: "Reclaim Policy",
      value: (document) => specOf(document).persistentVolumeReclaimPolicy ?? "",
    },
    {
      name: "Status",
      value: (document) =>
        document.metadata?.deletionTimestamp === undefined
          ? (statusOf(document).phase ?? "")
          : "Terminating",
    },
    { name: "Claim", value: claimOf },
    {
      name: "StorageClass",
      value: (document) => storageClassOf(document, specOf(document).storageClassName),
    },
    {
      name: "VolumeAttributesClass",
      value: (document) => specOf(document).volumeAttributesClassName ?? "<unset>",
    },
    { name: "Reason", value: (document) => statusOf(document).reason ?? "" },
    ageColumn,
    {
      name: "VolumeMode",
      wide: true,
      value: (document) => specOf(document).volumeMode ?? "<unset>",
    },
  ],
});

const optionsAnnotation = "volume.beta.kubernetes.io/mount-options";

/** Kinds of volumes that have gone: since when deprecated, since when without function. */
const gone: readonly (readonly [keyof PersistentVolumeSpec, string, string])[] = [
  ["cephfs", "v1.28", "v1.31"],
  ["photonPersistentDisk", "v1.11", "v1.16"],
  ["scaleIO", "v1.16", "v1.22"],
  ["storageos", "v1.22", "v1.25"],
  ["glusterfs", "v1.25", "v1.26"],
  ["rbd", "v1.28", "v1.31"],
];

/** Upstream's `GetWarningsForPersistentVolume`. */
function warningsOf(document: Document): string[] {
  const spec = specOf(document);
  const warnings = classAnnotationWarnings(document, "metadata.annotations");
  if (document.metadata?.annotations?.[optionsAnnotation] !== undefined) {
    const told = 'deprecated since v1.31; use "mountOptions" attribute instead';
    warnings.push(`metadata.annotations[${optionsAnnotation}]: ${told}`);
  }
  if (spec.persistentVolumeReclaimPolicy === "Recycle") {
    warnings.push(
      "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the " +
        "recommended approach is to use dynamic provisioning.",
    );
  }
  for (const [name, deprecated, removed] of gone) {
    if (spec[name] === undefined) continue;
    // Upstream spells this one so.
    const shown = name === "storageos" ? "storageOS" : name;
    warnings.push(`spec.${shown}: deprecated in ${deprecated}, non-functional in ${removed}+`);
  }
  return warnings;
}

function setTransition(document: Document, time: string | undefined): void {
  if (time === undefined) return;
  document["status"] = { ...statusOf(document), lastPhaseTransitionTime: time };
}

function claimOf(document: Document): string {
  const { claimRef } = specOf(document);
  return claimRef === undefined ? "" : `${claimRef.namespace ?? ""}/${claimRef.name ?? ""}`;
}

function validateSpec(document: Document): FieldCause[] {
  const spec = specOf(document);
  const { accessModes = [], nodeAffinity, persistentVolumeReclaimPolicy: reclaim } = spec;
  const path = "spec.persistentVolumeReclaimPolicy";
  const causes = accessModes.length === 0 ? [required("spec.accessModes")] : [];
  causes.push(
    ...validateAccessModes(accessModes, "spec.accessModes"),
    ...validateCapacity(spec.capacity),
    ...oneOf(reclaim, ["Delete", "Recycle", "Retain"], path),
  );
  if (nodeAffinity?.required !== undefined) {
    causes.push(...validateNodeSelector(nodeAffinity.required, "spec.nodeAffinity.required"));
  } else if (nodeAffinity !== undefined) {
    const detail = "must specify required node constraints";
    causes.push(required("spec.nodeAffinity.required", detail));
  }
  causes.push(...validateSources(spec, document.metadata?.name ?? ""));
  const root = spec.hostPath?.path && posix.normalize(spec.hostPath.path) === "/";
  if (root && reclaim === "Recycle") {
    causes.push(forbidden(path, "may not be 'recycle' for a hostPath mount of '/'"));
  }
  return [
    ...causes,
    ...validateClassName(spec.storageClassName, "spec.storageClassName"),
    ...oneOf(spec.volumeMode, volumeModes, "spec.volumeMode"),
    ...validateAttributes(spec),
  ];
}

function validateCapacity(given: Readonly<Record<string, string>> | undefined): FieldCause[] {
  const path = "spec.capacity";
  const capacity = given ?? {};
  const names = Object.keys(capacity);
  const causes = names.length === 0 ? [required(path)] : [];
  if (capacity["storage"] === undefined || names.length > 1) {
    causes.push(notSupported(path, given ?? null, ["storage"]));
  }
  for (const [name, text] of Object.entries(capacity)) {
    const quantity = parseQuantity(text);
    const at = `${path}[${name}]`;
    if (quantity === undefined) causes.push(invalid(at, text, quantityMessage));
    else if (quantity.nanos <= 0n) causes.push(invalid(at, text, "must be greater than zero"));
  }
  return causes;
}

function validateAttributes(spec: PersistentVolumeSpec): FieldCause[] {
  const { volumeAttributesClassName: name } = spec;
  const path = "spec.volumeAttributesClassName";
  if (name === undefined) return [];
  const causes =
    name === "" ? [required(path, "an empty string is disallowed")] : validateClassName(name, path);
  if (spec.csi !== undefined) return causes;
  const detail = "has to be specified when using volumeAttributesClassName";
  return [...causes, required("spec.csi", detail)];
}

function validateSpecUpdate(
  next: PersistentVolumeSpec,
  stored: PersistentVolumeSpec,
): FieldCause[] {
  const [source, before] = [sourceOf(next), sourceOf(stored)];
  // The secret for expansion may be added.
  if (
    before.csi !== undefined &&
    before.csi.controllerExpandSecretRef === undefined &&
    source.csi
  ) {
    const { controllerExpandSecretRef: _, ...csi } = source.csi;
    source.csi = csi;
  }
  const causes: FieldCause[] = [];
  if (!equalJson(source, before)) {
    const rule = "spec.persistentvolumesource is immutable after creation";
    const detail = `${rule}\n${differences(before, source)}`;
    causes.push(forbidden("spec.persistentvolumesource", detail));
  }
  causes.push(...unchanged("volumeMode", next.volumeMode, stored.volumeMode));
  if (stored.nodeAffinity !== undefined && !equalJson(next.nodeAffinity, stored.nodeAffinity)) {
    const detail = "field is immutable, except for updating from beta label to GA";
    causes.push(invalid("nodeAffinity", next.nodeAffinity, detail));
  }
  if (stored.volumeAttributesClassName && next.volumeAttributesClassName === undefined) {
    const detail = "update from non-nil value to nil is forbidden";
    causes.push(forbidden("spec.volumeAttributesClassName", detail));
  }
  return causes;
}
