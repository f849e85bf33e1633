/** What of a definition may not change. */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type { CustomResourceDefinition } from "../../../../proto/gen/apiextensions.ts";
import { invalid } from "../../machinery/causes.ts";
import { isConditionTrue } from "../../machinery/conditions.ts";
import type { Document } from "../../machinery/resource.ts";

export function validateDefinitionUpdate(next: Document, stored: Document): FieldCause[] {
  const { spec = {} } = next as CustomResourceDefinition;
  const { spec: before = {}, status } = stored as CustomResourceDefinition;
  const causes: FieldCause[] = [];
  const immutable = (field: string, value: unknown, old: unknown): void => {
    if (value !== old) causes.push(invalid(`spec.${field}`, value, "field is immutable"));
  };
  if (isConditionTrue(status?.conditions, "Established")) {
    immutable("scope", spec.scope, before.scope);
    immutable("names.kind", spec.names?.kind, before.names?.kind);
  }
  immutable("group", spec.group, before.group);
  immutable("names.plural", spec.names?.plural, before.names?.plural);
  return causes;
}

/** Every version in which objects may be stored stays defined, the present one among them. */
export function validateStoredVersions({ spec, status }: CustomResourceDefinition): FieldCause[] {
  const field = "status.storedVersions";
  const stored = status?.storedVersions ?? [];
  if (stored.length === 0) return [invalid(field, null, "must have at least one stored version")];
  const causes: FieldCause[] = [];
  const versions = spec?.versions ?? [];
  for (const { name = "", storage } of versions) {
    if (storage !== true || stored.includes(name)) continue;
    causes.push(invalid(field, stored, `must have the storage version ${name}`));
  }
  for (const [index, version] of stored.entries()) {
    if (versions.some(({ name = "" }) => name === version)) continue;
    causes.push(invalid(`${field}[${index}]`, version, "must appear in spec.versions"));
  }
  return causes;
}
