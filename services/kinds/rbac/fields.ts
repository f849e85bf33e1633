/** What becomes of the fields of roles and bindings. */
import { behaves, type SupportTable } from "../machinery/field-support.ts";

const authorizer = "the RBAC authorizer reads it";

export const rbacFields: SupportTable = {
  "trireme.rbac.v1.Role": behaves(authorizer, "apiVersion kind metadata rules"),
  "trireme.rbac.v1.ClusterRole": {
    ...behaves(authorizer, "apiVersion kind metadata rules"),
    ...behaves("the clusterrole-aggregation controller follows it", "aggregationRule"),
  },
  "trireme.rbac.v1.RoleBinding": behaves(authorizer, "apiVersion kind metadata subjects roleRef"),
  "trireme.rbac.v1.ClusterRoleBinding": behaves(
    authorizer,
    "apiVersion kind metadata subjects roleRef",
  ),
  "trireme.rbac.v1.PolicyRule": behaves(
    authorizer,
    "verbs apiGroups resources resourceNames nonResourceURLs",
  ),
  "trireme.rbac.v1.Subject": behaves(authorizer, "kind apiGroup name namespace"),
  "trireme.rbac.v1.RoleRef": behaves(authorizer, "apiGroup kind name"),
  "trireme.rbac.v1.AggregationRule": behaves(
    "the clusterrole-aggregation controller follows it",
    "clusterRoleSelectors",
  ),
};
