/** The nodes and pods of the scheduler's benchmark, much as upstream's `scheduler_perf` has them. */
import type { Node, Pod, PodSpec } from "../../../proto/gen/core.ts";

export const zones = 10;
const owners = 20;
const zone = "topology.kubernetes.io/zone";
const hostname = "kubernetes.io/hostname";

export function benchNode(index: number): Node {
  const name = `n${index}`;
  return {
    metadata: { name, labels: { [hostname]: name, [zone]: `z${index % zones}` } },
    spec: {},
    status: {
      allocatable: { cpu: "64", memory: "256Gi", pods: "1000" },
      capacity: { cpu: "64", memory: "256Gi", pods: "1000" },
      conditions: [{ type: "Ready", status: "True" }],
    },
  };
}

const of = (app: string) => ({ labelSelector: { matchLabels: { app } } });

/** What the measured pods ask for, by the name of the workload. */
export const workloads: Readonly<Record<string, (app: string) => PodSpec>> = {
  basic: () => ({}),
  "node affinity": () => ({
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [
            { matchExpressions: [{ key: zone, operator: "In", values: ["z0", "z1", "z2"] }] },
          ],
        },
      },
    },
  }),
  "pod affinity": (app) => ({
    affinity: {
      podAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: zone, ...of(app) }],
      },
    },
  }),
  "anti-affinity": (app) => ({
    affinity: {
      podAntiAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: hostname, ...of(app) }],
      },
    },
  }),
  "preferred affinity": (app) => ({
    affinity: {
      podAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [
          { weight: 1, podAffinityTerm: { topologyKey: hostname, ...of(app) } },
        ],
      },
    },
  }),
  spread: (app) => ({
    topologySpreadConstraints: [
      { maxSkew: 5, topologyKey: zone, whenUnsatisfiable: "DoNotSchedule", ...of(app) },
    ],
  }),
  "preferred spread": (app) => ({
    topologySpreadConstraints: [
      { maxSkew: 5, topologyKey: hostname, whenUnsatisfiable: "ScheduleAnyway", ...of(app) },
    ],
  }),
};

export function benchPod(serial: number, workload: string): Pod {
  const app = `${workload.replaceAll(" ", "-")}-${serial % owners}`;
  const requests = { cpu: "10m", memory: "16Mi" };
  const name = `p${serial}`;
  return {
    metadata: { name, namespace: "default", labels: { app } },
    spec: {
      containers: [{ name: "c", image: "web:1", resources: { requests } }],
      ...workloads[workload]?.(app),
    },
  };
}
