/** The names of a definition. */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type { CustomResourceDefinitionNames } from "../../../../proto/gen/apiextensions.ts";
import { invalid } from "../../machinery/causes.ts";
import { nameRules } from "../../machinery/names.ts";

/** An RFC 1035 label: names of versions, plurals, short names. */
export const checkDnsLabel = nameRules.service;

export function validateNames(names: CustomResourceDefinitionNames, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  for (const field of ["plural", "singular"] as const) {
    const name = names[field];
    if (name) causes.push(...problemsOf(`${path}.${field}`, name, ""));
  }
  for (const field of ["kind", "listKind"] as const) {
    const name = names[field];
    const mixed = "may have mixed case, but should otherwise match: ";
    if (name) causes.push(...problemsOf(`${path}.${field}`, name, mixed));
  }
  for (const [index, name] of (names.shortNames ?? []).entries()) {
    causes.push(...problemsOf(`${path}.shortNames[${index}]`, name, ""));
  }
  if (names.kind && names.kind === names.listKind) {
    const detail = "kind and listKind may not be the same";
    causes.push(invalid(`${path}.listKind`, names.listKind, detail));
  }
  for (const [index, name] of (names.categories ?? []).entries()) {
    causes.push(...problemsOf(`${path}.categories[${index}]`, name, ""));
  }
  return causes;
}

function problemsOf(field: string, name: string, mixedCase: string): FieldCause[] {
  const problems = checkDnsLabel(mixedCase === "" ? name : name.toLowerCase());
  if (problems.length === 0) return [];
  return [invalid(field, name, `${mixedCase}${problems.join(",")}`)];
}
