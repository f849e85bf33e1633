/** What the reviews have in common (upstream `pkg/apis/authorization/validation`). */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type { SubjectAccessReviewSpec } from "../../../proto/gen/authorization.ts";
import { invalid } from "../machinery/causes.ts";
import type { Document } from "../machinery/resource.ts";

export function validateAttributes(spec: SubjectAccessReviewSpec): FieldCause[] {
  const { resourceAttributes, nonResourceAttributes } = spec;
  if (resourceAttributes !== undefined && nonResourceAttributes !== undefined) {
    const detail = "cannot be specified in combination with resourceAttributes";
    return [invalid("spec.nonResourceAttributes", nonResourceAttributes, detail)];
  }
  if (resourceAttributes === undefined && nonResourceAttributes === undefined) {
    const detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
    return [invalid("spec.resourceAttributes", null, detail)];
  }
  const { rawSelector = "", requirements = [] } = resourceAttributes?.fieldSelector ?? {};
  if (rawSelector !== "" && requirements.length > 0) {
    const detail = "may not specified at the same time as requirements";
    const path = "spec.resourceAttributes.fieldSelector.rawSelector";
    return [invalid(path, rawSelector, detail)];
  }
  return [];
}

export function validateSubject({ user = "", groups = [] }: SubjectAccessReviewSpec): FieldCause[] {
  if (user !== "" || groups.length > 0) return [];
  return [invalid("spec.user", user, "at least one of user or group must be specified")];
}

/** `kept`: the fields of metadata that the kind has. */
export function validateNoMetadata(
  { metadata = {} }: Document,
  ...kept: readonly string[]
): FieldCause[] {
  const given = Object.entries(metadata).filter(
    ([field, value]) =>
      value !== undefined && value !== "" && field !== "managedFields" && !kept.includes(field),
  );
  if (given.length === 0) return [];
  const detail = kept.length === 0 ? "must be empty" : `must be empty except for ${kept.join()}`;
  return [invalid("metadata", metadata, detail)];
}
