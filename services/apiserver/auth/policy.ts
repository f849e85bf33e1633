/**
 * Who may do what, until RBAC objects say it: the rights of the components, after upstream's
 * bootstrap policy (`plugin/pkg/auth/authorizer/rbac/bootstrappolicy`).
 */
import type { RequestInfo } from "../request-info.ts";
import { authenticatedGroup } from "./authenticate.ts";
import type { Authorizer, Decision } from "./authorize.ts";

interface Rule {
  readonly verbs: readonly string[];
  /** `<resource>[/<subresource>]`, with the group as `.suffix`; `*` is everything. */
  readonly resources?: readonly string[];
  /** Paths of requests that are about no resource; a trailing `*` covers what begins so. */
  readonly paths?: readonly string[];
}

interface Grant {
  readonly user?: string;
  readonly group?: string;
  readonly rules: readonly Rule[];
}

const read = ["get", "list", "watch"] as const;
const write = ["create", "update", "patch", "delete"] as const;
const everything: Rule = { verbs: ["*"], resources: ["*"], paths: ["*"] };
const recordEvents: Rule = { verbs: ["create", "update", "patch"], resources: ["events"] };
const elect: Rule = {
  verbs: [...read, ...write],
  resources: ["leases.coordination.k8s.io"],
};

const policy: readonly Grant[] = [
  { group: "system:masters", rules: [everything] },
  // What must be known before one can say who one is (design: discovery is open to everyone).
  {
    group: "system:unauthenticated",
    rules: [{ verbs: ["get"], paths: ["/api", "/apis", "/version", "/healthz*"] }],
  },
  // Upstream's system:discovery and system:public-info-viewer, and how this master sees the cluster.
  {
    group: authenticatedGroup,
    rules: [
      {
        verbs: ["get"],
        paths: [
          "/api*",
          "/apis*",
          "/openapi*",
          "/version",
          "/healthz*",
          "/livez*",
          "/readyz*",
          "/cluster/status",
        ],
      },
    ],
  },
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
    authorize(request): Decision {
      const { user } = request;
      const allowed = grants.some(
        (grant) =>
          (grant.user === user.name ||
            (grant.group !== undefined && user.groups.includes(grant.group))) &&
          grant.rules.some((rule) => covers(rule, request)),
      );
      return { allowed };
    },
  };
}

function covers(rule: Rule, request: RequestInfo): boolean {
  const { group, resource, subresource, verb, path } = request;
  if (!rule.verbs.includes("*") && !rule.verbs.includes(verb)) return false;
  if (resource === "") return (rule.paths ?? []).some((pattern) => matchesPath(pattern, path));
  const { resources = [] } = rule;
  if (resources.includes("*")) return true;
  const plain = subresource === "" ? resource : `${resource}/${subresource}`;
  return resources.includes(group === "" ? plain : `${plain}.${group}`);
}

function matchesPath(pattern: string, path: string): boolean {
  return pattern.endsWith("*") ? path.startsWith(pattern.slice(0, -1)) : pattern === path;
}
