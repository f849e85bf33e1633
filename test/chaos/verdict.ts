/** What must hold after a chaos run. */
import { StatusError } from "../../ha/runtime/status-error.ts";
import type { TriremeClient } from "../../services/client/mod.ts";
import { until } from "../e2e/cluster.ts";
import type { ContainerWatch, Doubled } from "./containers.ts";
import { deployments, isComplete, namespace, serviceName } from "./rollouts.ts";
import type { FailedRequest } from "./traffic.ts";
import type { Kill } from "./victims.ts";

const settleMillisMax = 120_000;

/** A lost node's containers are ended by the supervisor, which notices the loss within this time. */
const lostContainersMillis = 1_500;

/** Every list is empty in a run that has passed. */
export interface Faults {
  readonly doubledPods: readonly Doubled[];
  readonly surplusProcesses: readonly string[];
  readonly endpoints: readonly string[];
  readonly unfinishedRollouts: readonly string[];
  readonly failedRequests: readonly FailedRequest[];
}

/** Waits for each condition in turn, at most as long as the cluster has to settle. */
export async function faultsAfterSettling(
  client: TriremeClient,
  containers: ContainerWatch,
): Promise<Omit<Faults, "failedRequests">> {
  const unfinishedRollouts = await lastFaults(() => rolloutFaults(client));
  const endpoints = await lastFaults(() => endpointFaults(client));
  const surplusProcesses = await lastFaults(() => processFaults(client, containers));
  return {
    doubledPods: [...containers.doubled.values()],
    surplusProcesses,
    endpoints,
    unfinishedRollouts,
  };
}

/** What is still wrong at the end; nothing, as soon as nothing is. */
async function lastFaults(find: () => Promise<readonly string[]>): Promise<readonly string[]> {
  let last: readonly string[] = ["could not be examined"];
  try {
    await until(
      "no faults",
      async () => {
        last = await find();
        return last.length === 0;
      },
      settleMillisMax,
    );
    return [];
  } catch (error) {
    const { cause } = error as Error;
    return cause === undefined ? last : [...last, StatusError.from(cause).message];
  }
}

async function rolloutFaults(client: TriremeClient): Promise<readonly string[]> {
  const all = await Promise.all(deployments.map((name) => client.deployments.get(name, namespace)));
  return all
    .filter((each) => !isComplete(each))
    .map(({ metadata, spec, status }) => {
      const counts = [status?.replicas, status?.updatedReplicas, status?.availableReplicas];
      return (
        `${metadata?.name}: generation ${metadata?.generation}, observed ` +
        `${status?.observedGeneration}; of ${spec?.replicas} wanted: replicas, updated, available ` +
        counts.map((count) => count ?? 0).join(", ")
      );
    });
}

async function endpointFaults(client: TriremeClient): Promise<readonly string[]> {
  const labelSelector = `app=${deployments[0]}`;
  const { items } = await client.pods.list({ namespace, labelSelector });
  const ready = items.filter(
    ({ metadata, status }) =>
      metadata?.deletionTimestamp === undefined &&
      status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True"),
  );
  const wanted = ready.map(({ status }) => status?.podIP ?? "").sort();
  const { subsets } = await client.endpoints.get(serviceName, namespace);
  const found = (subsets ?? [])
    .flatMap(({ addresses }) => addresses ?? [])
    .map(({ ip }) => ip ?? "")
    .sort();
  if (found.join() === wanted.join()) return [];
  return [`endpoints are ${found.join(" ")}, the ready pods ${wanted.join(" ")}`];
}

async function processFaults(
  client: TriremeClient,
  containers: ContainerWatch,
): Promise<readonly string[]> {
  const running = containers.list();
  const faults: string[] = [];
  for (const name of deployments) {
    const { spec } = await client.deployments.get(name, namespace);
    const pods = running.filter(({ deployment }) => deployment === name).map(({ pod }) => pod);
    if (pods.length === (spec?.replicas ?? 1)) continue;
    faults.push(`${name}: ${spec?.replicas} replicas, ${pods.length} processes: ${pods.join(" ")}`);
  }
  return faults;
}

/**
 * Excluded, because the client cannot tell which processes its connection went through: a request
 * that was under way at some moment between the signal to a kube-proxy and the end of its process
 * (the kernel gives it connections until then), and one under way between the signal to a kubelet
 * and the end of its node's containers. A request that began later has to succeed.
 */
export function isExcused({ beganAt, endedAt }: FailedRequest, kills: readonly Kill[]): boolean {
  return kills.some(({ kind, at, goneAt }) => {
    if (endedAt < at) return false;
    if (kind === "kube-proxy") return beganAt <= goneAt;
    return kind === "kubelet" && beganAt <= goneAt + lostContainersMillis;
  });
}
