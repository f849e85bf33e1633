/** What a claim asks for: in a claim, in the templates of a stateful set and in a pod's own. */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type { PersistentVolumeClaimSpec, TypedObjectReference } from "../../../proto/gen/core.ts";
import { invalid, required } from "../machinery/causes.ts";
import { equalJson } from "../machinery/json.ts";
import { validateLabelSelector } from "../machinery/label-selector.ts";
import { checkLabelName, checkSubdomain } from "../machinery/names.ts";
import { canonicalise, parseQuantity, quantityMessage } from "../machinery/quantity.ts";
import { oneOf } from "./pod/field-checks.ts";
import { validateAccessModes, validateClassName, volumeModes } from "./volume-claims.ts";

export function setClaimSpecDefaults(spec: PersistentVolumeClaimSpec): void {
  spec.volumeMode ??= "Filesystem";
  canonicalise(spec.resources?.limits);
  canonicalise(spec.resources?.requests);
}

/** Upstream's `ValidatePersistentVolumeClaimSpec`; `path`: of the spec. */
export function validateClaimSpec(spec: PersistentVolumeClaimSpec, path: string): FieldCause[] {
  const { accessModes = [], selector, resources } = spec;
  const causes: FieldCause[] = [];
  if (accessModes.length === 0) {
    causes.push(required(`${path}.accessModes`, "at least 1 access mode is required"));
  }
  if (selector !== undefined) causes.push(...validateLabelSelector(selector, `${path}.selector`));
  return [
    ...causes,
    ...validateAccessModes(accessModes, `${path}.accessModes`),
    ...validateStorage(resources?.requests?.["storage"], `${path}.resources[storage]`),
    ...validateClassName(spec.storageClassName, `${path}.storageClassName`),
    ...oneOf(spec.volumeMode, volumeModes, `${path}.volumeMode`),
    ...validateSources(spec, path),
    ...validateClassName(spec.volumeAttributesClassName, `${path}.volumeAttributesClassName`),
  ];
}

function validateStorage(text: string | undefined, path: string): FieldCause[] {
  if (text === undefined) return [required(path)];
  const quantity = parseQuantity(text);
  if (quantity === undefined) return [invalid(path, text, quantityMessage)];
  return quantity.nanos > 0n ? [] : [invalid(path, text, "must be greater than zero")];
}

/** Upstream's `GetWarningsForPersistentVolumeClaimSpec`. */
export function claimSpecWarnings(spec: PersistentVolumeClaimSpec, path: string): string[] {
  return (["requests", "limits"] as const).flatMap((list) => {
    const text = spec.resources?.[list]?.["storage"] ?? "0";
    const quantity = parseQuantity(text);
    if (quantity === undefined || quantity.nanos % 1_000_000_000n === 0n) return [];
    const value = JSON.stringify(text);
    return [
      `${path}.resources.${list}[storage]: fractional byte value ${value} is invalid, ` +
        "must be an integer",
    ];
  });
}

function validateSources(spec: PersistentVolumeClaimSpec, path: string): FieldCause[] {
  const { dataSource, dataSourceRef } = spec;
  const causes = [
    ...(dataSource === undefined ? [] : validateSource(dataSource, `${path}.dataSource`)),
    ...(dataSourceRef === undefined ? [] : validateSource(dataSourceRef, `${path}.dataSourceRef`)),
  ];
  if (dataSource === undefined || dataSourceRef === undefined) return causes;
  if (dataSourceRef.namespace) {
    const detail = "may not be specified when dataSourceRef.namespace is specified";
    return [...causes, invalid(path, {}, detail)];
  }
  const { namespace: _, ...local } = dataSourceRef;
  if (equalJson(dataSource, local)) return causes;
  return [...causes, invalid(path, {}, "must match dataSourceRef")];
}

function validateSource(source: TypedObjectReference, path: string): FieldCause[] {
  const { apiGroup = "", kind = "", name = "", namespace = "" } = source;
  const causes: FieldCause[] = [];
  if (name === "") causes.push(required(`${path}.name`));
  if (kind === "") causes.push(required(`${path}.kind`));
  if (apiGroup === "" && kind !== "PersistentVolumeClaim") {
    const detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
    causes.push(invalid(path, kind, detail));
  }
  if (apiGroup !== "") {
    for (const problem of checkSubdomain(apiGroup)) {
      causes.push(invalid(`${path}.apiGroup`, apiGroup, problem));
    }
  }
  if (namespace !== "") {
    for (const problem of checkLabelName(namespace)) {
      causes.push(invalid(`${path}.namespace`, namespace, problem));
    }
  }
  return causes;
}
