/** What the four kinds of RBAC have in common (upstream `pkg/apis/rbac/validation`). */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type { PolicyRule, RoleRef, Subject } from "../../../proto/gen/rbac.ts";
import { invalid, notSupportedInOrder, required } from "../machinery/causes.ts";
import { equalJson } from "../machinery/json.ts";
import { checkPathSegment, checkSubdomain } from "../machinery/names.ts";
import type { Column, Document } from "../machinery/resource.ts";

export const rbacGroup = "rbac.authorization.k8s.io";

/** A binding of either kind. */
interface Binding {
  readonly subjects?: readonly Subject[] | undefined;
  roleRef?: RoleRef | undefined;
}

export function validateRules(rules: readonly PolicyRule[], namespaced: boolean): FieldCause[] {
  return rules.flatMap((rule, index) => validateRule(rule, namespaced, `rules[${index}]`));
}

function validateRule(rule: PolicyRule, namespaced: boolean, path: string): FieldCause[] {
  const { verbs = [], apiGroups = [], resources = [], resourceNames = [] } = rule;
  const { nonResourceURLs = [] } = rule;
  const causes: FieldCause[] = [];
  if (verbs.length === 0) {
    causes.push(required(`${path}.verbs`, "verbs must contain at least one value"));
  }
  if (nonResourceURLs.length > 0) {
    const wrong = (why: string) =>
      causes.push(invalid(`${path}.nonResourceURLs`, nonResourceURLs, why));
    if (namespaced) wrong("namespaced rules cannot apply to non-resource URLs");
    if (apiGroups.length + resources.length + resourceNames.length > 0) {
      wrong("rules cannot apply to both regular resources and non-resource URLs");
    }
    return causes;
  }
  if (apiGroups.length === 0) {
    causes.push(required(`${path}.apiGroups`, "resource rules must supply at least one api group"));
  }
  if (resources.length === 0) {
    causes.push(required(`${path}.resources`, "resource rules must supply at least one resource"));
  }
  return causes;
}

/** Fills in the API groups that follow from the kinds. */
export function setBindingDefaults(document: Document): void {
  const binding = document as Binding;
  binding.roleRef ??= {};
  binding.roleRef.apiGroup ||= rbacGroup;
  for (const subject of binding.subjects ?? []) {
    if (subject.kind === "User" || subject.kind === "Group") subject.apiGroup ||= rbacGroup;
  }
}

/** `roleKinds`: what the binding may refer to. */
export function validateBinding(
  document: Document,
  namespaced: boolean,
  roleKinds: readonly string[],
): FieldCause[] {
  const { roleRef = {}, subjects = [] } = document as Binding;
  const { apiGroup = "", kind = "", name = "" } = roleRef;
  const causes: FieldCause[] = [];
  if (apiGroup !== rbacGroup) {
    causes.push(notSupportedInOrder("roleRef.apiGroup", apiGroup, [rbacGroup]));
  }
  if (!roleKinds.includes(kind)) causes.push(notSupportedInOrder("roleRef.kind", kind, roleKinds));
  if (name === "") causes.push(required("roleRef.name"));
  for (const problem of name === "" ? [] : checkPathSegment(name)) {
    causes.push(invalid("roleRef.name", name, problem));
  }
  subjects.forEach((subject, index) => {
    causes.push(...validateSubject(subject, namespaced, `subjects[${index}]`));
  });
  return causes;
}

function validateSubject(subject: Subject, namespaced: boolean, path: string): FieldCause[] {
  const { kind = "", apiGroup = "", name = "", namespace = "" } = subject;
  const causes: FieldCause[] = [];
  if (name === "") causes.push(required(`${path}.name`));
  if (kind === "ServiceAccount") {
    for (const problem of name === "" ? [] : checkSubdomain(name)) {
      causes.push(invalid(`${path}.name`, name, problem));
    }
    if (apiGroup !== "") causes.push(notSupportedInOrder(`${path}.apiGroup`, apiGroup, [""]));
    if (!namespaced && namespace === "") causes.push(required(`${path}.namespace`));
  } else if (kind === "User" || kind === "Group") {
    if (apiGroup !== rbacGroup) {
      causes.push(notSupportedInOrder(`${path}.apiGroup`, apiGroup, [rbacGroup]));
    }
  } else
    causes.push(notSupportedInOrder(`${path}.kind`, kind, ["ServiceAccount", "User", "Group"]));
  return causes;
}

export function validateBindingUpdate(next: Document, stored: Document): FieldCause[] {
  const roleRef = (next as Binding).roleRef;
  if (equalJson(roleRef, (stored as Binding).roleRef)) return [];
  return [invalid("roleRef", roleRef, "cannot change roleRef")];
}

export const roleColumn: Column = {
  name: "Role",
  value: (document) => {
    const { kind = "", name = "" } = (document as Binding).roleRef ?? {};
    return `${kind}/${name}`;
  },
};

export const subjectColumns: readonly Column[] = [
  { name: "Users", wide: true, value: (document) => subjectNames(document, "User") },
  { name: "Groups", wide: true, value: (document) => subjectNames(document, "Group") },
  {
    name: "ServiceAccounts",
    wide: true,
    value: (document) => subjectNames(document, "ServiceAccount"),
  },
];

function subjectNames(document: Document, kind: string): string {
  const named = ((document as Binding).subjects ?? []).filter((subject) => subject.kind === kind);
  return named
    .map(({ namespace = "", name = "" }) => {
      return kind === "ServiceAccount" ? `${namespace}/${name}` : name;
    })
    .join(", ");
}
