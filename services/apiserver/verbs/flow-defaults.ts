/**
 * The flow schemas and priority levels that every cluster begins with: upstream's mandatory and
 * suggested ones (`apis/flowcontrol/bootstrap/default.go`).
 */
import type {
  FlowSchema,
  FlowSubject,
  NonResourcePolicyRule,
  PolicyRulesWithSubjects,
  PriorityLevelConfiguration,
  ResourcePolicyRule,
} from "../../../proto/gen/flowcontrol.ts";

const all = ["*"];

function limited(
  name: string,
  shares: number,
  lendablePercent: number,
  [queues, handSize]: readonly [number, number],
): PriorityLevelConfiguration {
  const queuing = { queues, handSize, queueLengthLimit: 50 };
  const limitResponse = { type: "Queue", queuing };
  const spec = { nominalConcurrencyShares: shares, lendablePercent, limitResponse };
  return { metadata: { name }, spec: { type: "Limited", limited: spec } };
}

/** Without these two there would be requests that belong nowhere. */
const mandatoryLevels: readonly PriorityLevelConfiguration[] = [
  {
    metadata: { name: "exempt" },
    spec: { type: "Exempt", exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 } },
  },
  {
    metadata: { name: "catch-all" },
    spec: {
      type: "Limited",
      limited: {
        nominalConcurrencyShares: 5,
        lendablePercent: 0,
        limitResponse: { type: "Reject" },
      },
    },
  },
];

const suggestedLevels: readonly PriorityLevelConfiguration[] = [
  limited("system", 30, 33, [64, 6]),
  limited("node-high", 40, 25, [64, 6]),
  limited("leader-election", 10, 0, [16, 4]),
  limited("workload-high", 40, 50, [128, 6]),
  limited("workload-low", 100, 90, [128, 6]),
  limited("global-default", 20, 50, [128, 6]),
];

const group = (name: string): FlowSubject => ({ kind: "Group", group: { name } });
const user = (name: string): FlowSubject => ({ kind: "User", user: { name } });
const account = (namespace: string, name: string): FlowSubject => ({
  kind: "ServiceAccount",
  serviceAccount: { namespace, name },
});

const everyone = [group("system:unauthenticated"), group("system:authenticated")];
const controllerManager = user("system:kube-controller-manager");
const scheduler = user("system:kube-scheduler");
const everything: ResourcePolicyRule = {
  ...{ verbs: all, apiGroups: all, resources: all, namespaces: all },
  clusterScope: true,
};
const everyPath: NonResourcePolicyRule = { verbs: all, nonResourceURLs: all };
const leases: ResourcePolicyRule = {
  verbs: ["get", "create", "update"],
  apiGroups: ["coordination.k8s.io"],
  resources: ["leases"],
  namespaces: all,
};

/** Whatever these subjects ask for. */
function whole(...subjects: FlowSubject[]): PolicyRulesWithSubjects {
  return { subjects, resourceRules: [everything], nonResourceRules: [everyPath] };
}

function schema(
  name: string,
  [level, matchingPrecedence]: readonly [string, number],
  method: string,
  ...rules: PolicyRulesWithSubjects[]
): FlowSchema {
  return {
    metadata: { name },
    spec: {
      priorityLevelConfiguration: { name: level },
      matchingPrecedence,
      ...(method !== "" && { distinguisherMethod: { type: method } }),
      rules,
    },
  };
}

/**
 * Upstream exempts all administrators. Here they are held to the limits like others, so that a load
 * test, which runs as one, cannot starve the control plane.
 */
const mandatorySchemas: readonly FlowSchema[] = [
  schema("exempt", ["exempt", 1], "", whole(user("system:kube-apiserver"))),
  schema("catch-all", ["catch-all", 10_000], "ByUser", whole(...everyone)),
];

const suggestedSchemas: readonly FlowSchema[] = [
  schema("probes", ["exempt", 2], "", {
    subjects: everyone,
    nonResourceRules: [{ verbs: ["get"], nonResourceURLs: ["/healthz", "/readyz", "/livez"] }],
  }),
  schema("system-leader-election", ["leader-election", 100], "ByUser", {
    subjects: [controllerManager, scheduler, account("kube-system", "*")],
    resourceRules: [leases],
  }),
  schema("endpoint-controller", ["workload-high", 150], "ByUser", {
    subjects: [controllerManager, account("kube-system", "endpoint-controller")],
    resourceRules: [
      {
        ...{ verbs: ["get", "create", "update"], apiGroups: [""] },
        ...{ resources: ["endpoints"], namespaces: all },
      },
    ],
  }),
  schema("workload-leader-election", ["leader-election", 200], "ByUser", {
    subjects: [account("kube-system", "*")],
    resourceRules: [leases],
  }),
  schema("system-node-high", ["node-high", 400], "ByUser", {
    subjects: [group("system:nodes")],
    resourceRules: [
      {
        ...{ verbs: all, apiGroups: [""], resources: ["nodes", "nodes/status"] },
        ...{ namespaces: all, clusterScope: true },
      },
      {
        ...{ verbs: all, apiGroups: ["coordination.k8s.io"], resources: ["leases"] },
        namespaces: all,
      },
    ],
  }),
  schema("system-nodes", ["system", 500], "ByUser", whole(group("system:nodes"))),
  schema(
    "kube-controller-manager",
    ["workload-high", 800],
    "ByNamespace",
    whole(controllerManager),
  ),
  schema("kube-scheduler", ["workload-high", 800], "ByNamespace", whole(scheduler)),
  schema(
    "kube-system-service-accounts",
    ["workload-high", 900],
    "ByNamespace",
    whole(account("kube-system", "*")),
  ),
  schema(
    "service-accounts",
    ["workload-low", 9_000],
    "ByUser",
    whole(group("system:serviceaccounts")),
  ),
  schema("global-default", ["global-default", 9_900], "ByUser", whole(...everyone)),
];

export const flowDefaults = {
  mandatory: { levels: mandatoryLevels, schemas: mandatorySchemas },
  levels: [...mandatoryLevels, ...suggestedLevels],
  schemas: [...mandatorySchemas, ...suggestedSchemas],
} as const;
