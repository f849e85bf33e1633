/** What claims and volumes share: access modes, classes, sizes. */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { forbidden, invalid, notSupported } from "../machinery/causes.ts";
import { checkSubdomain } from "../machinery/names.ts";
import type { Document } from "../machinery/resource.ts";

/** Finalizers that keep claims which pods use, and volumes which claims have. */
export const claimProtection = "kubernetes.io/pvc-protection";
export const volumeProtection = "kubernetes.io/pv-protection";

const shortModes: Readonly<Record<string, string>> = {
  ReadWriteOnce: "RWO",
  ReadOnlyMany: "ROX",
  ReadWriteMany: "RWX",
  ReadWriteOncePod: "RWOP",
};
const accessModes = Object.keys(shortModes);
export const volumeModes = ["Block", "Filesystem"];

/** The older way to name a storage class, on claims and on volumes. */
const classAnnotation = "volume.beta.kubernetes.io/storage-class";

/** E.g. `RWO,ROX`, as columns show access modes. */
export function shownAccessModes(modes: readonly string[] | undefined): string {
  return Object.entries(shortModes)
    .filter(([mode]) => modes?.includes(mode))
    .map(([, short]) => short)
    .join(",");
}

export function storageClassOf(document: Document, className: string | undefined): string {
  return document.metadata?.annotations?.[classAnnotation] ?? className ?? "";
}

export function classAnnotationWarnings(document: Document, path: string): string[] {
  if (document.metadata?.annotations?.[classAnnotation] === undefined) return [];
  const told = 'deprecated since v1.8; use "storageClassName" attribute instead';
  return [`${path}[${classAnnotation}]: ${told}`];
}

export function validateClassAnnotationUpdate(next: Document, stored: Document): FieldCause[] {
  const annotation = (document: Document) => document.metadata?.annotations?.[classAnnotation];
  if (annotation(next) === annotation(stored)) return [];
  const path = `metadata.annotations[${classAnnotation}]`;
  return [invalid(path, annotation(next) ?? "", "field is immutable")];
}

export function validateAccessModes(modes: readonly string[], path: string): FieldCause[] {
  const causes = modes
    .filter((mode) => !accessModes.includes(mode))
    .map((mode) => notSupported(path, mode, accessModes));
  const known = modes.filter((mode) => accessModes.includes(mode));
  const exclusive = known.includes("ReadWriteOncePod");
  if (exclusive && known.some((mode) => mode !== "ReadWriteOncePod")) {
    causes.push(forbidden(path, "may not use ReadWriteOncePod with other access modes"));
  }
  return causes;
}

/** Absent and empty are allowed. */
export function validateClassName(name: string | undefined, path: string): FieldCause[] {
  if (!name) return [];
  return checkSubdomain(name).map((problem) => invalid(path, name, problem));
}
