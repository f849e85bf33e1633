/** The guarantees of the control plane, judged by the store's true history and the evidence. */
import type { Deployment, ReplicaSet } from "../../../proto/gen/apps.ts";
import type { Pod } from "../../../proto/gen/core.ts";
import { Violation } from "../../../services/drill/checker/violation.ts";
import type { TrueEvent } from "../truth.ts";
import type { Evidence } from "./evidence.ts";

const podPrefix = "/registry/pods/";
const setPrefix = "/registry/replicasets/";
const deploymentPrefix = "/registry/deployments/";

/** The last state of all objects under a prefix. */
function present<T>(events: readonly TrueEvent[], prefix: string): Map<string, T> {
  const found = new Map<string, T>();
  for (const { key, type, value } of events) {
    if (!key.startsWith(prefix)) continue;
    if (type === "delete") found.delete(key);
    else found.set(key, JSON.parse(value) as T);
  }
  return found;
}

/** A pod that is assigned to a node stays there, and one Bind at most is acknowledged for it. */
export function assertNoDoubleBind(events: readonly TrueEvent[], evidence: Evidence): void {
  const nodes = new Map<string, string>();
  for (const { key, type, value, revision } of events) {
    if (!key.startsWith(podPrefix) || type === "delete") continue;
    const { metadata, spec } = JSON.parse(value) as Pod;
    const uid = metadata?.uid ?? "";
    const known = nodes.get(uid);
    const node = spec?.nodeName;
    if (known !== undefined && node !== known) {
      throw new Violation(`no double bind: ${key} went from ${known} to ${node} at ${revision}`);
    }
    if (node) nodes.set(uid, node);
  }
  const acknowledged = new Map<string, string>();
  for (const binding of evidence.bindings) {
    if (!binding.acknowledged) continue;
    const { pod, uid, node, caller } = binding;
    const before = acknowledged.get(uid);
    if (before !== undefined) {
      throw new Violation(`no double bind: ${pod} was bound by ${before} and by ${caller}`);
    }
    acknowledged.set(uid, caller);
    if (nodes.get(uid) !== node) {
      const text = `${pod} was acknowledged on ${node}, and is on ${nodes.get(uid)}`;
      throw new Violation(`no double bind: ${text}`);
    }
  }
}

/** Every acknowledged pod was stored, and only what a client asked to delete was deleted. */
export function assertNoLostPod(events: readonly TrueEvent[], evidence: Evidence): void {
  const stored = new Set<string>();
  const last = new Map<string, string>();
  for (const { key, type, value, revision } of events) {
    if (!key.startsWith(podPrefix)) continue;
    if (type === "put") {
      const uid = (JSON.parse(value) as Pod).metadata?.uid ?? "";
      const before = last.get(key);
      if (before !== undefined && before !== uid) {
        throw new Violation(`no lost pod: ${key} was overwritten at revision ${revision}`);
      }
      stored.add(uid);
      last.set(key, uid);
      continue;
    }
    last.delete(key);
    if (!evidence.deletionsAsked.has(key.slice(podPrefix.length))) {
      throw new Violation(`no lost pod: ${key} was deleted at ${revision}, which nobody asked for`);
    }
  }
  for (const [uid, name] of evidence.created) {
    if (!stored.has(uid)) throw new Violation(`no lost pod: ${name} (${uid}) was never stored`);
  }
}

/** Informers go on from the revision they have seen, on whatever master answers. */
export function assertNoRelist(evidence: Evidence): void {
  if (evidence.relists === 0) return;
  throw new Violation(`no relist: informers listed ${evidence.relists} times again`);
}

/** Pods that were told to end for another. */
export function preemptionsIn(events: readonly TrueEvent[]): number {
  const victims = new Set<string>();
  for (const { key, type, value } of events) {
    if (!key.startsWith(podPrefix) || type === "delete") continue;
    const { metadata, status } = JSON.parse(value) as Pod;
    const told = status?.conditions?.some(({ reason }) => reason === "PreemptionByScheduler");
    if (told) victims.add(metadata?.uid ?? "");
  }
  return victims.size;
}

/** What is not yet as it was asked for; empty: the cluster has converged. */
export function unsettled(events: readonly TrueEvent[]): string[] {
  const pods = [...present<Pod>(events, podPrefix).values()];
  const open = pods
    .filter(({ spec, metadata }) => !spec?.nodeName || metadata?.deletionTimestamp)
    .map(({ metadata }) => `${metadata?.name} is unbound or ends still`);
  for (const set of present<ReplicaSet>(events, setPrefix).values()) {
    const { name = "", uid } = set.metadata ?? {};
    const wanted = set.spec?.replicas ?? 1;
    const owned = pods.filter(({ metadata }) =>
      metadata?.ownerReferences?.some((owner) => owner.uid === uid),
    ).length;
    const { readyReplicas = 0, replicas = 0 } = set.status ?? {};
    if (owned !== wanted || replicas !== wanted || readyReplicas !== wanted) {
      open.push(`${name}: ${owned} pods, status ${replicas}, ready ${readyReplicas} of ${wanted}`);
    }
  }
  for (const deployment of present<Deployment>(events, deploymentPrefix).values()) {
    const { name = "", generation = 1 } = deployment.metadata ?? {};
    const wanted = deployment.spec?.replicas ?? 1;
    const {
      observedGeneration = 0,
      updatedReplicas = 0,
      availableReplicas = 0,
      replicas = 0,
    } = deployment.status ?? {};
    const counts = [replicas, updatedReplicas, availableReplicas];
    if (observedGeneration < generation || counts.some((count) => count !== wanted)) {
      open.push(`${name}: its rollout has ${counts.join(", ")} of ${wanted} pods`);
    }
  }
  return open;
}
