/** References to an object of any kind (upstream `validateIngressTypedLocalObjectReference`). */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type { TypedLocalObjectReference } from "../../../proto/gen/core.ts";
import { required } from "../machinery/causes.ts";
import { wrong } from "../machinery/field-rules.ts";
import { checkPathSegment, checkSubdomain } from "../machinery/names.ts";

export function validateReference(reference: TypedLocalObjectReference, at: string): FieldCause[] {
  const { apiGroup, kind = "", name = "" } = reference;
  return [
    ...(apiGroup === undefined ? [] : wrong(`${at}.apiGroup`, apiGroup, checkSubdomain(apiGroup))),
    ...segment(kind, `${at}.kind`),
    ...segment(name, `${at}.name`),
  ];
}

/** A text that stands in a URL's path and must be there. */
export function segment(text: string, field: string): FieldCause[] {
  return text === "" ? [required(field)] : wrong(field, text, checkPathSegment(text));
}
