/** What each object is charged with, and which quotas count it: one row a case. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type {
  Container,
  PersistentVolumeClaim,
  Pod,
  PodSpec,
  ResourceQuotaSpec,
} from "../../proto/gen/core.ts";
import {
  countedResourceOf,
  formatQuantity,
  isCounted,
  quotaUsage,
  usageOf,
} from "../../services/kinds/mod.ts";

const now = Date.parse("2026-03-01T12:00:00Z");
const going = (secondsAgo: number, grace: number) => ({
  deletionTimestamp: new Date(now - secondsAgo * 1000).toISOString(),
  deletionGracePeriodSeconds: grace,
});
const resource = (name: string) => countedResourceOf(`count/${name}`);
const box = (requests?: object, limits?: object, extra: object = {}) =>
  ({ name: "c", resources: { requests, limits }, ...extra }) as Container;
const podOf = (spec: PodSpec, phase = "Running"): Pod => ({ spec, status: { phase } });
const shown = (plural: string, object: object) =>
  Object.fromEntries(
    [...usageOf(resource(plural), object, now)]
      .map(([name, amount]) => [name, formatQuantity(amount)] as const)
      .filter(([, amount]) => amount !== "0")
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );

const alone = { "count/pods": "1", pods: "1" };
const charges: readonly [string, string, object, object][] = [
  ["a pod that asks for nothing", "pods", podOf({ containers: [box()] }), alone],
  [
    "requests count under both of their names",
    "pods",
    podOf({ containers: [box({ cpu: "250m", memory: "1Gi" })] }),
    { ...alone, cpu: "250m", memory: "1Gi", "requests.cpu": "250m", "requests.memory": "1Gi" },
  ],
  [
    "limits count under one name",
    "pods",
    podOf({ containers: [box(undefined, { cpu: "1", memory: "2Gi" })] }),
    { ...alone, "limits.cpu": "1", "limits.memory": "2Gi" },
  ],
  [
    "containers add up",
    "pods",
    podOf({ containers: [box({ cpu: "250m" }), box({ cpu: "750m" })] }),
    { ...alone, cpu: "1", "requests.cpu": "1" },
  ],
  [
    "an init container that asks for more than the rest counts instead",
    "pods",
    podOf({ initContainers: [box({ cpu: "3" })], containers: [box({ cpu: "1" })] }),
    { ...alone, cpu: "3", "requests.cpu": "3" },
  ],
  [
    "an init container that asks for less does not count",
    "pods",
    podOf({ initContainers: [box({ cpu: "1" })], containers: [box({ cpu: "2" })] }),
    { ...alone, cpu: "2", "requests.cpu": "2" },
  ],
  [
    "a sidecar runs beside the containers",
    "pods",
    podOf({
      initContainers: [box({ cpu: "1" }, undefined, { restartPolicy: "Always" })],
      containers: [box({ cpu: "2" })],
    }),
    { ...alone, cpu: "3", "requests.cpu": "3" },
  ],
  [
    "a sidecar runs beside the init containers after it",
    "pods",
    podOf({
      initContainers: [
        box({ cpu: "1" }, undefined, { restartPolicy: "Always" }),
        box({ cpu: "4" }),
      ],
      containers: [box({ cpu: "2" })],
    }),
    { ...alone, cpu: "5", "requests.cpu": "5" },
  ],
  [
    "overhead adds to requests, and to limits that are set",
    "pods",
    podOf({
      overhead: { cpu: "100m", memory: "64Mi" },
      containers: [box({ cpu: "1" }, { memory: "64Mi" })],
    }),
    {
      ...alone,
      cpu: "1100m",
      "limits.memory": "128Mi",
      memory: "64Mi",
      "requests.cpu": "1100m",
      "requests.memory": "64Mi",
    },
  ],
  [
    "resources of the whole pod replace the sum",
    "pods",
    podOf({ resources: { requests: { cpu: "4" } }, containers: [box({ cpu: "1" })] } as PodSpec),
    { ...alone, cpu: "4", "requests.cpu": "4" },
  ],
  [
    "extended resources count as requests",
    "pods",
    podOf({ containers: [box({ "example.com/gpu": "2" }, { "example.com/gpu": "2" })] }),
    { ...alone, "requests.example.com/gpu": "2", "limits.example.com/gpu": "2" },
  ],
  [
    "ephemeral storage counts",
    "pods",
    podOf({ containers: [box({ "ephemeral-storage": "1Gi" }, { "ephemeral-storage": "2Gi" })] }),
    {
      ...alone,
      "ephemeral-storage": "1Gi",
      "limits.ephemeral-storage": "2Gi",
      "requests.ephemeral-storage": "1Gi",
    },
  ],
  [
    "a pod that succeeded is an object only",
    "pods",
    podOf({ containers: [box({ cpu: "1" })] }, "Succeeded"),
    { "count/pods": "1" },
  ],
  [
    "a pod that failed is an object only",
    "pods",
    podOf({ containers: [box({ cpu: "1" })] }, "Failed"),
    { "count/pods": "1" },
  ],
  [
    "a pod that is being deleted counts as long as its grace lasts, and as long again",
    "pods",
    { ...podOf({ containers: [box({ cpu: "1" })] }), metadata: going(29, 30) },
    { ...alone, cpu: "1", "requests.cpu": "1" },
  ],
  [
    "a pod that should be gone by then is an object only",
    "pods",
    { ...podOf({ containers: [box({ cpu: "1" })] }), metadata: going(31, 30) },
    { "count/pods": "1" },
  ],
  ["a ClusterIP service", "services", { spec: { ports: [{ port: 1 }] } }, service({})],
  [
    "a NodePort service takes a port of the nodes for each of its own",
    "services",
    { spec: { type: "NodePort", ports: [{ port: 1 }, { port: 2 }] } },
    service({ "services.nodeports": "2" }),
  ],
  [
    "a LoadBalancer service takes both",
    "services",
    { spec: { type: "LoadBalancer", ports: [{ port: 1 }] } },
    service({ "services.loadbalancers": "1", "services.nodeports": "1" }),
  ],
  [
    "a LoadBalancer service that wants no ports of the nodes",
    "services",
    {
      spec: {
        type: "LoadBalancer",
        allocateLoadBalancerNodePorts: false,
        ports: [{ port: 1 }, { port: 2, nodePort: 30_000 }],
      },
    },
    service({ "services.loadbalancers": "1", "services.nodeports": "1" }),
  ],
  ["an ExternalName service", "services", { spec: { type: "ExternalName" } }, service({})],
  [
    "a claim without a class",
    "persistentvolumeclaims",
    { spec: { resources: { requests: { storage: "5Gi" } } } },
    { "count/persistentvolumeclaims": "1", persistentvolumeclaims: "1", "requests.storage": "5Gi" },
  ],
  [
    "a claim counts against its class, too",
    "persistentvolumeclaims",
    { spec: { storageClassName: "gold", resources: { requests: { storage: "5Gi" } } } },
    {
      "count/persistentvolumeclaims": "1",
      "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
      "gold.storageclass.storage.k8s.io/requests.storage": "5Gi",
      persistentvolumeclaims: "1",
      "requests.storage": "5Gi",
    },
  ],
  ["a secret", "secrets", {}, { "count/secrets": "1", secrets: "1" }],
  ["an object of the core group without a name of its own", "events", {}, { "count/events": "1" }],
  ["an object of another group", "jobs.batch", {}, { "count/jobs.batch": "1" }],
  ["a custom resource", "cows.farm.example.com", {}, { "count/cows.farm.example.com": "1" }],
];

function service(more: object) {
  const all = { "count/services": "1", services: "1", ...more };
  return Object.fromEntries(Object.entries(all).sort(([a], [b]) => (a < b ? -1 : 1)));
}

for (const [title, plural, object, expected] of charges) {
  test(`charged: ${title}`, () => {
    const sorted = Object.entries(expected).sort(([a], [b]) => (a < b ? -1 : 1));
    assert.deepEqual(shown(plural, object), Object.fromEntries(sorted));
  });
}

const exists = (scopeName: string): ResourceQuotaSpec => ({ scopes: [scopeName] });
const chosen = (operator: string, ...values: string[]): ResourceQuotaSpec => ({
  scopeSelector: { matchExpressions: [{ scopeName: "PriorityClass", operator, values }] },
});
const plain = podOf({ containers: [box()] });
const sized = podOf({ containers: [box({ cpu: "1" })] });
const bounded = podOf({ activeDeadlineSeconds: 60, containers: [box()] });
const high = podOf({ priorityClassName: "high", containers: [box()] });
const across = podOf({
  containers: [box()],
  affinity: {
    podAntiAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [
        { weight: 1, podAffinityTerm: { topologyKey: "zone", namespaces: ["other"] } },
      ],
    },
  },
});

const scopes: readonly [string, ResourceQuotaSpec, Pod, boolean][] = [
  ["no scope counts all", {}, plain, true],
  ["Terminating counts a pod with a deadline", exists("Terminating"), bounded, true],
  ["Terminating leaves out the others", exists("Terminating"), plain, false],
  ["NotTerminating counts a pod without a deadline", exists("NotTerminating"), plain, true],
  ["NotTerminating leaves out the others", exists("NotTerminating"), bounded, false],
  ["BestEffort counts what asks for nothing", exists("BestEffort"), plain, true],
  ["BestEffort leaves out the others", exists("BestEffort"), sized, false],
  ["NotBestEffort counts what asks for something", exists("NotBestEffort"), sized, true],
  ["NotBestEffort leaves out the others", exists("NotBestEffort"), plain, false],
  ["PriorityClass counts pods of any class", exists("PriorityClass"), high, true],
  ["PriorityClass leaves out pods of none", exists("PriorityClass"), plain, false],
  ["PriorityClass In names the class", chosen("In", "low", "high"), high, true],
  ["PriorityClass In another class", chosen("In", "low"), high, false],
  ["PriorityClass In does not hold without a class", chosen("In", "low"), plain, false],
  ["PriorityClass NotIn another class", chosen("NotIn", "low"), high, true],
  ["PriorityClass NotIn the class", chosen("NotIn", "high"), high, false],
  ["PriorityClass NotIn holds without a class", chosen("NotIn", "high"), plain, true],
  ["PriorityClass DoesNotExist", chosen("DoesNotExist"), plain, true],
  ["PriorityClass DoesNotExist with a class", chosen("DoesNotExist"), high, false],
  ["CrossNamespacePodAffinity", exists("CrossNamespacePodAffinity"), across, true],
  ["CrossNamespacePodAffinity without", exists("CrossNamespacePodAffinity"), plain, false],
  [
    "all scopes must hold",
    { scopes: ["Terminating", "NotBestEffort"] },
    podOf({ activeDeadlineSeconds: 1, containers: [box({ cpu: "1" })] }),
    true,
  ],
  ["one of two scopes is not enough", { scopes: ["Terminating", "NotBestEffort"] }, sized, false],
];

for (const [title, spec, pod, expected] of scopes) {
  test(`scope: ${title}`, () => {
    assert.equal(isCounted({ spec }, resource("pods"), pod), expected);
  });
}

test("scope: with scopes, nothing but pods and claims counts", () => {
  const quota = { spec: exists("VolumeAttributesClass") };
  const claim = (name?: string): PersistentVolumeClaim => ({
    spec: { volumeAttributesClassName: name },
  });
  assert.equal(isCounted(quota, resource("services"), {}), false);
  assert.equal(isCounted(quota, resource("jobs.batch"), {}), false);
  assert.equal(isCounted(quota, resource("persistentvolumeclaims"), claim("fast")), true);
  assert.equal(isCounted(quota, resource("persistentvolumeclaims"), claim()), false);
});

const owners: readonly [string, string, string][] = [
  ["pods", "pods", ""],
  ["requests.cpu", "pods", ""],
  ["limits.memory", "pods", ""],
  ["requests.example.com/gpu", "pods", ""],
  ["hugepages-2Mi", "pods", ""],
  ["services.nodeports", "services", ""],
  ["requests.storage", "persistentvolumeclaims", ""],
  ["gold.storageclass.storage.k8s.io/requests.storage", "persistentvolumeclaims", ""],
  ["configmaps", "configmaps", ""],
  ["count/secrets", "secrets", ""],
  ["count/deployments.apps", "deployments", "apps"],
  ["count/cows.farm.example.com", "cows", "farm.example.com"],
];
for (const [name, plural, group] of owners) {
  test(`counted by ${name}: ${plural}${group && `.${group}`}`, () => {
    assert.deepEqual(countedResourceOf(name), { plural, group });
  });
}

test("used: every bound has an amount, and those whose objects are unknown have none", () => {
  const hard = { pods: "5", "requests.cpu": "2", configmaps: "3", "count/cows.farm": "1" };
  const lists: Record<string, object[]> = { pods: [sized, sized, plain], configmaps: [] };
  const used = quotaUsage({ spec: { hard } }, ({ plural }) => lists[plural], now);
  assert.deepEqual(used, { pods: "3", "requests.cpu": "2", configmaps: "0" });
});
