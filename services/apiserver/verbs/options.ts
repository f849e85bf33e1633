/** The options of requests, held to upstream's rules (apimachinery `meta/v1/validation`). */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type { ListRequest, PatchRequest, WriteOptions } from "../../../proto/gen/meta.ts";
import {
  forbidden,
  invalid as invalidCause,
  notSupported,
  notSupportedInOrder,
  required,
  tooLong,
} from "../../kinds/mod.ts";
import { invalid } from "../errors.ts";

export type OptionsKind =
  | "CreateOptions"
  | "DeleteOptions"
  | "ListOptions"
  | "PatchOptions"
  | "UpdateOptions";

/** Throws Invalid if there are causes. */
export function refuseOptions(kind: OptionsKind, causes: readonly FieldCause[]): void {
  if (causes.length > 0) throw invalid({ group: "meta.k8s.io", kind }, "", causes);
}

/** Throws Invalid. */
export function checkWriteOptions(kind: OptionsKind, options: WriteOptions | undefined): void {
  refuseOptions(kind, writeCauses(options));
}

/** Throws Invalid. */
export function checkPatchOptions({ patchType, force, options }: PatchRequest): void {
  const causes: FieldCause[] = [];
  if (isApply(patchType)) {
    if (!options?.fieldManager) {
      causes.push(required("fieldManager", "is required for apply patch"));
    }
  } else if (force !== undefined) {
    causes.push(forbidden("force", "may not be specified for non-apply patch"));
  }
  refuseOptions("PatchOptions", [...causes, ...writeCauses(options)]);
}

const applyTypes: ReadonlySet<string> = new Set(["apply", "application/apply-patch+yaml"]);

export function isApply(patchType: string | undefined): boolean {
  return applyTypes.has(patchType ?? "");
}

function writeCauses(options: WriteOptions | undefined): FieldCause[] {
  const { fieldManager = "", fieldValidation = "", dryRun } = options ?? {};
  const causes = [...managerCauses(fieldManager), ...dryRunCauses(dryRun)];
  const known = validations.some((each) => each.toLowerCase() === fieldValidation.toLowerCase());
  if (!known) causes.push(notSupported("fieldValidation", fieldValidation, validations));
  return causes;
}

const validations = ["", "Ignore", "Strict", "Warn"];

/** Upstream's `FieldManagerMaxLength`. */
export const fieldManagerLengthMax = 128;

function managerCauses(manager: string): FieldCause[] {
  const field = "fieldManager";
  const causes: FieldCause[] = [];
  if (Buffer.byteLength(manager) > fieldManagerLengthMax) {
    causes.push(tooLong(field, fieldManagerLengthMax));
  }
  let position = 0;
  for (const character of manager) {
    if (!/^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u.test(character)) {
      const shown = `${codePoint(character)} (at position ${position})`;
      causes.push(invalidCause(field, manager, `invalid character ${shown}`));
    }
    position += Buffer.byteLength(character);
  }
  return causes;
}

function codePoint(character: string): string {
  const number = character.codePointAt(0) ?? 0;
  return `U+${number.toString(16).toUpperCase().padStart(4, "0")}`;
}

export function dryRunCauses(dryRun: readonly string[] | undefined): FieldCause[] {
  const known = (dryRun ?? []).every((each) => each === "All");
  return known ? [] : [notSupported("dryRun", dryRun, ["All"])];
}

/** Throws Invalid. */
export function checkListOptions(options: ListRequest): void {
  const field = "resourceVersionMatch";
  const { resourceVersionMatch: match = "", resourceVersion = "" } = options;
  const causes: FieldCause[] = [];
  if (match !== "") {
    if (resourceVersion === "") {
      causes.push(forbidden(field, `${field} is forbidden unless resourceVersion is provided`));
    }
    if (options.continue) {
      causes.push(forbidden(field, `${field} is forbidden when continue is provided`));
    }
    if (match !== "Exact" && match !== "NotOlderThan") {
      causes.push(notSupportedInOrder(field, match, ["Exact", "NotOlderThan", ""]));
    }
    if (match === "Exact" && resourceVersion === "0") {
      causes.push(forbidden(field, `${field} "exact" is forbidden for resourceVersion "0"`));
    }
  }
  refuseOptions("ListOptions", causes);
}
