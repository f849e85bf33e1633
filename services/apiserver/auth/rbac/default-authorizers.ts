import type { Authorizer } from "../authorize.ts";
import { mastersAuthorizer } from "../masters.ts";
import { rbacAuthorizer } from "./authorizer.ts";
import { bootstrapPolicy } from "./bootstrap/mod.ts";
import { RbacPolicy } from "./policy.ts";

/** What the default roles say, for a port behind which there are no roles: etcd's. */
export function defaultAuthorizers(): Authorizer[] {
  const { roles, bindings } = bootstrapPolicy();
  return [mastersAuthorizer, rbacAuthorizer(RbacPolicy.holding([...roles, ...bindings]))];
}
