/** The chain that decides what a user may do. */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { RequestInfo } from "../request-info.ts";

export interface Decision {
  readonly allowed: boolean;
  /** Added to the error when no authorizer allows the request. */
  readonly reason?: string;
}

/**
 * The seam for RBAC, webhooks and the like. Called once per request, before its body is decoded;
 * must be quick and must not change anything. The first authorizer that allows a request decides.
 */
export interface Authorizer {
  authorize(request: RequestInfo): Decision;
}

/** The first that allows the request; otherwise what all of them had against it. */
export function decide(authorizers: readonly Authorizer[], request: RequestInfo): Decision {
  const reasons: string[] = [];
  for (const authorizer of authorizers) {
    const decision = authorizer.authorize(request);
    if (decision.allowed) return decision;
    if (decision.reason !== undefined) reasons.push(decision.reason);
  }
  return reasons.length === 0 ? refused : { allowed: false, reason: reasons.join("; ") };
}

const refused: Decision = { allowed: false };

/** Is told of decisions, for the audit log. */
export interface DecisionObserver {
  decided(decision: Decision): void;
}

/** Throws Forbidden in upstream's words unless one of the authorizers allows the request. */
export function authorize(
  authorizers: readonly Authorizer[],
  request: RequestInfo,
  observer?: DecisionObserver,
): void {
  const decision = decide(authorizers, request);
  observer?.decided(decision);
  if (!decision.allowed) throw refusal(request, decision.reason);
}

function refusal(request: RequestInfo, reason: string | undefined): StatusError {
  const { user, verb, group, resource, subresource, namespace, name, path } = request;
  const why = reason === undefined ? "" : `: ${reason}`;
  if (resource === "") {
    const text = `forbidden: User "${user.name}" cannot ${verb} path "${path}"${why}`;
    return new StatusError(Code.permissionDenied, text, { reason: "Forbidden" });
  }
  const shown = subresource === "" ? resource : `${resource}/${subresource}`;
  const where = namespace === "" ? "at the cluster scope" : `in the namespace "${namespace}"`;
  const text =
    `User "${user.name}" cannot ${verb} resource "${shown}" in API group "${group}" ` +
    `${where}${why}`;
  const full = group === "" ? resource : `${resource}.${group}`;
  const subject = name === "" ? full : `${full} "${name}"`;
  return new StatusError(Code.permissionDenied, `${subject} is forbidden: ${text}`, {
    reason: "Forbidden",
    group,
    kind: resource,
    name,
  });
}
