import { isDeepStrictEqual } from "node:util";
import type { ClusterRole, PolicyRule, RoleBinding, RoleRef } from "../../../proto/gen/rbac.ts";
import { copyJson, type Document, type Resource } from "../../kinds/mod.ts";
import { type Authorizer, decide } from "../auth/authorize.ts";
import { mastersGroup } from "../auth/masters.ts";
import {
  compactRules,
  elementaryRightsMax,
  missingRights,
  quotedList,
  ruleText,
} from "../auth/rbac/covers.ts";
import type { RbacPolicy } from "../auth/rbac/policy.ts";
import { badRequest, forbidden, notFound } from "../errors.ts";
import type { User } from "../request-info.ts";
import type { AdmissionPlugin, AdmissionRequest } from "./chain.ts";

const group = "rbac.authorization.k8s.io";
const everything: readonly PolicyRule[] = [
  { apiGroups: ["*"], resources: ["*"], verbs: ["*"] },
  { nonResourceURLs: ["*"], verbs: ["*"] },
];

export interface EscalationOptions {
  readonly authorizers: readonly Authorizer[];
  readonly policy: RbacPolicy;
  /** Named in the error for a role that does not exist. */
  readonly roles: Resource;
  readonly clusterRoles: Resource;
}

/**
 * A user may write a role only with rights that the user has, and bind only such a role (upstream
 * `registry/rbac/…/policybased`). The verb `escalate` on the role, or `bind`, gives that freedom.
 */
export function rbacEscalation(options: EscalationOptions): AdmissionPlugin {
  return {
    name: "rbac-escalation",
    resources: ["roles", "clusterroles", "rolebindings", "clusterrolebindings"].map(
      (plural) => `${plural}.${group}`,
    ),
    operations: ["create", "update"],
    validate(request) {
      const { document, stored, user } = request;
      if (document === undefined || user.groups.includes(mastersGroup)) return;
      if (stored !== undefined && onlyForDeletion(document, stored)) return;
      const { roleRef } = document as RoleBinding;
      if (roleRef === undefined) checkRole(options, request, document as ClusterRole);
      else checkBinding(options, request, roleRef);
    },
  };
}

function checkRole(
  options: EscalationOptions,
  request: AdmissionRequest,
  document: ClusterRole,
): void {
  const { user, resource, namespace, name } = request;
  const where = { verb: "escalate", resource: resource.plural, namespace, name };
  if (allowed(options, user, where)) return;
  const before = (request.stored ?? {}) as ClusterRole;
  if (document.aggregationRule !== undefined || before.aggregationRule !== undefined) {
    const held = options.policy.rulesOf(user, namespace);
    if (missingRights(held, everything)?.length !== 0) {
      const why = "must have cluster-admin privileges to use an aggregationRule";
      throw forbidden(resource, name, why);
    }
  }
  checkRights(options, request, document.rules ?? []);
}

function checkBinding(
  options: EscalationOptions,
  request: AdmissionRequest,
  roleRef: RoleRef,
): void {
  const { user, namespace } = request;
  const { kind, name = "" } = roleRef;
  const resource = kind === "Role" ? options.roles : options.clusterRoles;
  if (allowed(options, user, { verb: "bind", resource: resource.plural, namespace, name })) return;
  const role = options.policy.roleOf(roleRef, namespace);
  if (role === undefined) throw notFound(resource, name);
  checkRights(options, request, role.rules);
}

/** Throws Forbidden with the rights that the user lacks. */
function checkRights(
  { policy }: EscalationOptions,
  { user, resource, namespace, name }: AdmissionRequest,
  wanted: readonly PolicyRule[],
): void {
  const missing = missingRights(policy.rulesOf(user, namespace), wanted);
  if (missing === undefined) {
    throw badRequest(`rules: they stand for more than ${elementaryRightsMax} single rights`);
  }
  if (missing.length === 0) return;
  const texts = [...new Set(compactRules(missing).map(ruleText))].sort();
  const why =
    `user ${JSON.stringify(user.name)} (groups=${quotedList(user.groups)}) is attempting to grant ` +
    `RBAC permissions not currently held:\n${texts.join("\n")}`;
  throw forbidden(resource, name, why);
}

function allowed(
  { authorizers }: EscalationOptions,
  user: User,
  where: { verb: string; resource: string; namespace: string; name: string },
): boolean {
  const rest = { group, subresource: "", fieldSelector: "", path: "" };
  return decide(authorizers, { user, ...where, ...rest }).allowed;
}

/** Nothing differs but what the garbage collector changes. */
function onlyForDeletion(next: Document, stored: Document): boolean {
  const rest = (document: Document): Document => {
    const {
      ownerReferences: _,
      finalizers: __,
      resourceVersion: ___,
      ...metadata
    } = document.metadata ?? {};
    return copyJson({ ...document, metadata });
  };
  return isDeepStrictEqual(rest(next), rest(stored));
}
