/** Figures that others have published, shown beside a run's own; none of them is a goal. */
import type { ReportReference } from "./report/report-data.ts";

const etcdSource = "etcd.io/docs/v3.5/op-guide/performance";
const etcdMachines = "three members with 8 vCPU, 16 GB and an SSD each, client on a fourth machine";
const sloSource = "kubernetes/community: sig-scalability/slos/api_call_latency.md";

/** By profile. etcd tells of mean latencies, which are no p99, and so stand in the conditions. */
export const references: Readonly<Record<string, readonly ReportReference[]>> = {
  put: [
    {
      name: "etcd 3.2, all members, 1,000 clients",
      perSecond: 50_104,
      conditions: `256-byte values, 100 connections, mean latency 20 ms; ${etcdMachines}`,
      source: etcdSource,
    },
    {
      name: "etcd 3.2, leader only, 1 client",
      perSecond: 583,
      conditions: `256-byte values, mean latency 1.6 ms; ${etcdMachines}`,
      source: etcdSource,
    },
  ],
  get: [
    {
      name: "etcd 3.2, linearizable, 1,000 clients",
      perSecond: 141_578,
      conditions: `256-byte values, 100 connections, mean latency 5.5 ms; ${etcdMachines}`,
      source: etcdSource,
    },
    {
      name: "etcd 3.2, linearizable, 1 client",
      perSecond: 1_353,
      conditions: `256-byte values, mean latency 0.7 ms; ${etcdMachines}`,
      source: etcdSource,
    },
  ],
  "pods-create": [mutatingObjective()],
  "pods-churn": [mutatingObjective()],
  "nodes-heartbeat": [mutatingObjective()],
  list: [listObjective()],
  "relist-storm": [listObjective()],
};

function mutatingObjective(): ReportReference {
  return {
    name: "Kubernetes' objective for mutating calls",
    p99Ms: 1_000,
    conditions: "each resource and verb, over 5 minutes, without webhooks and extensions",
    source: sloSource,
  };
}

function listObjective(): ReportReference {
  return {
    name: "Kubernetes' objective for reads of many objects",
    p99Ms: 30_000,
    conditions: "scope namespace or cluster, over 5 minutes",
    source: sloSource,
  };
}
