/**
 * Priority levels and who belongs to which: upstream's suggested configuration of API Priority and
 * Fairness (`apis/flowcontrol/bootstrap/default.go`), as a table.
 */
import { nodeNameOf } from "../auth/node-authorizer.ts";
import type { RequestInfo } from "../request-info.ts";

export interface PriorityLevel {
  readonly name: string;
  /** Of the seats of the apiserver, in proportion to all levels' shares. */
  readonly shares: number;
  /** Part of its seats, 0 to 1, that other levels may use while they are idle. */
  readonly lendable: number;
}

export const priorityLevels = {
  leaderElection: { name: "leader-election", shares: 10, lendable: 0 },
  nodeHigh: { name: "node-high", shares: 40, lendable: 0.25 },
  system: { name: "system", shares: 30, lendable: 0.33 },
  workloadHigh: { name: "workload-high", shares: 40, lendable: 0.5 },
  workloadLow: { name: "workload-low", shares: 100, lendable: 0.9 },
  globalDefault: { name: "global-default", shares: 20, lendable: 0.5 },
  catchAll: { name: "catch-all", shares: 5, lendable: 0 },
} as const satisfies Readonly<Record<string, PriorityLevel>>;

const controlPlane = new Set(["system:kube-scheduler", "system:kube-controller-manager"]);
const serviceAccounts = "system:serviceaccounts";

/** The level of a request; undefined: the apiserver's own, which is never held back. */
export function priorityLevelOf(request: RequestInfo): PriorityLevel | undefined {
  const { user, group, resource, namespace } = request;
  if (user.name === "system:kube-apiserver") return undefined;
  const lease = group === "coordination.k8s.io" && resource === "leases";
  if (nodeNameOf(user) !== undefined) {
    const alive = lease || (group === "" && resource === "nodes");
    return alive ? priorityLevels.nodeHigh : priorityLevels.system;
  }
  const ofSystem =
    controlPlane.has(user.name) || user.groups.includes(`${serviceAccounts}:kube-system`);
  if (lease && (ofSystem || namespace === "kube-system")) return priorityLevels.leaderElection;
  if (ofSystem) return priorityLevels.workloadHigh;
  if (user.groups.includes(serviceAccounts)) return priorityLevels.workloadLow;
  if (user.groups.includes("system:authenticated")) return priorityLevels.globalDefault;
  return priorityLevels.catchAll;
}

/** Requests of one flow wait in one queue; flows take turns. Service accounts: their namespace. */
export function flowOf({ user }: RequestInfo): string {
  const account = /^system:serviceaccount:([^:]+):/.exec(user.name);
  return account?.[1] === undefined ? user.name : `namespace ${account[1]}`;
}
