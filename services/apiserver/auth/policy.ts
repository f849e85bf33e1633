/**
 * Who may do what, until RBAC objects say it: the rights of the components, after upstream's
 * bootstrap policy (`plugin/pkg/auth/authorizer/rbac/bootstrappolicy`).
 */
import type { Attributes, Authorizer, Decision } from "./authorize.ts";

interface Rule {
  readonly verbs: readonly string[];
  /** `<resource>[/<subresource>]`, with the group as `.suffix`; `*` is everything. */
  readonly resources: readonly string[];
}

interface Grant {
  readonly user?: string;
  readonly group?: string;
  readonly rules: readonly Rule[];
}

const read = ["get", "list", "watch"] as const;
const write = ["create", "update", "patch", "delete"] as const;
const everything: Rule = { verbs: ["*"], resources: ["*"] };
const recordEvents: Rule = { verbs: ["create", "update", "patch"], resources: ["events"] };
const elect: Rule = {
  verbs: [...read, ...write],
  resources: ["leases.coordination.k8s.io"],
};

export const policy: readonly Grant[] = [
  { group: "system:masters", rules: [everything] },
  {
    user: "system:kube-scheduler",
    rules: [
      elect,
      recordEvents,
      { verbs: ["get", "list", "watch", "delete"], resources: ["pods"] },
      { verbs: ["create"], resources: ["pods/binding", "pods/eviction"] },
      { verbs: ["update", "patch"], resources: ["pods/status"] },
      {
        verbs: read,
        resources: [
          "nodes",
          "namespaces",
          "services",
          "endpoints",
          "nodelivenesses.node.trireme.io",
          "replicasets.apps",
          "deployments.apps",
          "configmaps",
        ],
      },
    ],
  },
  // All controllers share one identity until each has a service account of its own.
  { user: "system:kube-controller-manager", rules: [everything] },
  {
    user: "system:kube-proxy",
    rules: [recordEvents, { verbs: read, resources: ["services", "endpoints", "nodes"] }],
  },
  {
    user: "system:kube-apiserver",
    rules: [
      { verbs: read, resources: ["*"] },
      { verbs: write, resources: ["nodelivenesses.node.trireme.io"] },
    ],
  },
];

/** Decides by the table alone. */
export function tableAuthorizer(grants: readonly Grant[] = policy): Authorizer {
  return {
    authorize(attributes): Decision {
      const { user } = attributes;
      const allowed = grants.some(
        (grant) =>
          (grant.user === user.name ||
            (grant.group !== undefined && user.groups.includes(grant.group))) &&
          grant.rules.some((rule) => covers(rule, attributes)),
      );
      return { allowed };
    },
  };
}

function covers(rule: Rule, attributes: Attributes): boolean {
  const { kind, subresource, verb } = attributes;
  if (!rule.verbs.includes("*") && !rule.verbs.includes(verb)) return false;
  if (rule.resources.includes("*")) return true;
  const plain = subresource === "" ? kind.plural : `${kind.plural}/${subresource}`;
  return rule.resources.includes(kind.group === "" ? plain : `${plain}.${kind.group}`);
}
