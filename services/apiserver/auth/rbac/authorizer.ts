import { unavailable } from "../../errors.ts";
import type { RequestInfo } from "../../request-info.ts";
import type { Authorizer, Decision } from "../authorize.ts";
import { bootstrapPolicy } from "./bootstrap/mod.ts";
import { type Grant, RbacPolicy } from "./policy.ts";

/** Allows what a role allows that is bound to the user or to one of its groups. */
export function rbacAuthorizer(policy: RbacPolicy): Authorizer {
  return {
    authorize(request): Decision {
      let found: Grant | undefined;
      const missing: string[] = [];
      policy.visit(
        request.user,
        request.namespace,
        (grant, role) => {
          if (!role.allows(request)) return false;
          found = grant;
          return true;
        },
        missing,
      );
      const grant = found;
      if (grant === undefined && !policy.complete) return whileStarting(request);
      if (grant === undefined) return refusal(missing);
      return {
        allowed: true,
        get reason() {
          return `RBAC: allowed by ${describe(grant)}`;
        },
      };
    },
  };
}

let defaults: Authorizer | undefined;

/**
 * Health, discovery and the status that balancers steer by are as the default roles say. Throws
 * Unavailable for everything else: the answer is not known yet.
 */
function whileStarting(request: RequestInfo): Decision {
  if (request.resource !== "") {
    throw unavailable("the apiserver is starting: its roles have not been read yet");
  }
  if (defaults === undefined) {
    const { roles, bindings } = bootstrapPolicy();
    defaults = rbacAuthorizer(RbacPolicy.holding([...roles, ...bindings]));
  }
  return defaults.authorize(request);
}

function refusal(missing: readonly string[]): Decision {
  if (missing.length === 0) return { allowed: false };
  const texts = [...new Set(missing)];
  const shown = texts.length === 1 ? texts[0] : `[${texts.join(", ")}]`;
  return { allowed: false, reason: `RBAC: ${shown}` };
}

/** In upstream's words, e.g. `ClusterRoleBinding "a" of ClusterRole "b" to Group "c"`. */
function describe({ kind, name, namespace, roleRef, subject }: Grant): string {
  const binding = kind === "RoleBinding" ? `${name}/${namespace}` : name;
  const account = subject.kind === "ServiceAccount";
  const who = account ? `${subject.name}/${subject.namespace || namespace}` : subject.name;
  return (
    `${kind} ${JSON.stringify(binding)} of ${roleRef.kind} ${JSON.stringify(roleRef.name)} ` +
    `to ${subject.kind} ${JSON.stringify(who)}`
  );
}
