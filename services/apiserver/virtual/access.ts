/** Questions about rights, put to the authorizers as requests would be. */
import type {
  FieldSelectorAttributes,
  SelfSubjectAccessReviewSpec,
  SubjectAccessReviewSpec,
  SubjectAccessReviewStatus,
} from "../../../proto/gen/authorization.ts";
import { decide } from "../auth/authorize.ts";
import { pathInfo, type RequestInfo, type User } from "../request-info.ts";
import type { Backend } from "../verbs/backend.ts";

export function accessOf(
  backend: Backend,
  user: User,
  spec: SelfSubjectAccessReviewSpec,
): SubjectAccessReviewStatus {
  const { allowed, reason } = decide(backend.authorizers, requestOf(user, spec));
  return { allowed, ...(reason !== undefined && { reason }) };
}

/** Whom a review names. */
export function subjectOf(spec: SubjectAccessReviewSpec): User {
  const { user = "", groups = [], uid, extra = {} } = spec;
  const known = Object.entries(extra).map(([key, values = []]) => [key, values.map(String)]);
  return { name: user, groups, uid, extra: Object.fromEntries(known) };
}

function requestOf(user: User, spec: SelfSubjectAccessReviewSpec): RequestInfo {
  const { resourceAttributes, nonResourceAttributes } = spec;
  if (resourceAttributes === undefined) {
    const { path = "", verb = "" } = nonResourceAttributes ?? {};
    return pathInfo(user, path, verb);
  }
  const { verb = "", group = "", resource = "", subresource = "" } = resourceAttributes;
  const { namespace = "", name = "", fieldSelector } = resourceAttributes;
  return {
    user,
    verb,
    group,
    resource,
    subresource,
    namespace,
    name,
    fieldSelector: selectorText(fieldSelector),
    path: "",
  };
}

function selectorText({ rawSelector, requirements = [] }: FieldSelectorAttributes = {}): string {
  if (rawSelector) return rawSelector;
  // A requirement of several values selects more than any one of them, so it narrows nothing here.
  const single = requirements.filter(({ values = [] }) => values.length === 1);
  return single
    .map(({ key = "", operator, values = [] }) => {
      return `${key}${operator === "NotIn" ? "!=" : "="}${values[0]}`;
    })
    .join(",");
}
