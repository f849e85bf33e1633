import type { StatusError } from "../../../ha/runtime/status-error.ts";
import type { Kind } from "../../kinds/mod.ts";
import { forbidden } from "../errors.ts";
import type { User } from "./authenticate.ts";

/** What somebody wants to do, in the words of upstream's authorizer. */
export interface Attributes {
  readonly user: User;
  /** get, list, watch, create, update, patch, delete or deletecollection. */
  readonly verb: string;
  readonly kind: Kind;
  /** e.g. `status`; "" is the object itself. */
  readonly subresource: string;
  /** "": cluster-scoped, or all namespaces. */
  readonly namespace: string;
  /** "": not about one named object. */
  readonly name: string;
  /** Of a list or watch. */
  readonly fieldSelector: string;
}

export interface Decision {
  readonly allowed: boolean;
  /** Added to the error when nobody allows it. */
  readonly reason?: string;
}

/** The seam for RBAC, webhooks and the like: the first that allows decides. */
export interface Authorizer {
  authorize(attributes: Attributes): Decision;
}

/** Throws Forbidden in upstream's words unless one of the authorizers allows it. */
export function authorize(authorizers: readonly Authorizer[], attributes: Attributes): void {
  const reasons: string[] = [];
  for (const authorizer of authorizers) {
    const decision = authorizer.authorize(attributes);
    if (decision.allowed) return;
    if (decision.reason !== undefined) reasons.push(decision.reason);
  }
  throw refusal(attributes, reasons);
}

function refusal(attributes: Attributes, reasons: readonly string[]): StatusError {
  const { user, verb, kind, subresource, namespace, name } = attributes;
  const resource = subresource === "" ? kind.plural : `${kind.plural}/${subresource}`;
  const where = namespace === "" ? "at the cluster scope" : `in the namespace "${namespace}"`;
  const why = reasons.length === 0 ? "" : `: ${reasons.join("; ")}`;
  return forbidden(
    kind,
    name,
    `User "${user.name}" cannot ${verb} resource "${resource}" in API group "${kind.group}" ` +
      `${where}${why}`,
  );
}
