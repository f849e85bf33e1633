import { StatusError } from "../../../ha/runtime/status-error.ts";
import type { ControllerRevision, StatefulSet } from "../../../proto/gen/apps.ts";
import type { PersistentVolumeClaim, Pod } from "../../../proto/gen/core.ts";
import type { OwnerReference } from "../../../proto/gen/meta.ts";
import { isAlreadyExists, isNamespaceTerminating, isNotFound } from "../../client/mod.ts";
import { canonical } from "../canonical.ts";
import { controllerReference } from "../owners.ts";
import type { ControllerContext } from "../types.ts";
import { claimsOf, ordinalOf, podOf, startOf, withIdentity } from "./identity.ts";

const about = (set: StatefulSet) => ({ ...set, apiVersion: "apps/v1", kind: "StatefulSet" });

/** Writes pods and claims for StatefulSets (upstream `StatefulPodControl`). */
export class StatefulPods {
  readonly #context: ControllerContext;

  constructor(context: ControllerContext) {
    this.#context = context;
  }

  /**
   * First the claims, then the pod. A claim that goes with an earlier pod of that name is waited for:
   * its end brings the set back.
   */
  async create(set: StatefulSet, revision: ControllerRevision, ordinal: number): Promise<void> {
    const { client, recorder, write } = this.#context;
    if (this.#isStale(set, ordinal)) return;
    const pod = podOf(set, revision, ordinal);
    const name = pod.metadata?.name ?? "";
    const text = `create Pod ${name} in StatefulSet ${set.metadata?.name}`;
    try {
      await this.claim(set, ordinal);
      await client.pods.create(pod, write);
      recorder.event(about(set), "Normal", "SuccessfulCreate", `${text} successful`);
    } catch (error) {
      if (isAlreadyExists(error) || isNamespaceTerminating(error)) throw error;
      const { message } = StatusError.from(error);
      recorder.event(about(set), "Warning", "FailedCreate", `${text} failed error: ${message}`);
      throw error;
    }
  }

  #isStale(set: StatefulSet, ordinal: number): boolean {
    const { lister } = this.#context.informer("PersistentVolumeClaim");
    const pod = `${set.metadata?.name}-${ordinal}`;
    return claimsOf(set, ordinal).some(({ claim }) => {
      const there = lister.get(claim.metadata?.name ?? "", claim.metadata?.namespace);
      const owners = there?.metadata?.ownerReferences ?? [];
      return owners.some(({ kind, name }) => kind === "Pod" && name === pod);
    });
  }

  async delete(set: StatefulSet, pod: Pod): Promise<void> {
    const { client, recorder, write } = this.#context;
    const { name = "", namespace, uid = "" } = pod.metadata ?? {};
    const text = `delete Pod ${name} in StatefulSet ${set.metadata?.name}`;
    try {
      await client.pods.delete(name, namespace, { ...write, preconditions: { uid } });
      recorder.event(about(set), "Normal", "SuccessfulDelete", `${text} successful`);
    } catch (error) {
      if (isNotFound(error)) return;
      const { message } = StatusError.from(error);
      recorder.event(about(set), "Warning", "FailedDelete", `${text} failed error: ${message}`);
      throw error;
    }
  }

  tellRecreation(set: StatefulSet, pod: Pod): void {
    const failed = pod.status?.phase === "Failed";
    const reason = failed ? "RecreatingFailedPod" : "RecreatingTerminatedPod";
    const { name, namespace } = set.metadata ?? {};
    const what = failed ? "failed" : "terminated";
    const text = `StatefulSet ${namespace}/${name} is recreating ${what} Pod ${pod.metadata?.name}`;
    this.#context.recorder.event(about(set), failed ? "Warning" : "Normal", reason, text);
  }

  /** Gives the pod back the labels that tell who it is, if they were taken away. */
  async identify(set: StatefulSet, pod: Pod): Promise<void> {
    const { client, write } = this.#context;
    const wanted = withIdentity(set, pod, ordinalOf(set, pod) ?? 0);
    if (canonical(wanted.metadata?.labels) === canonical(pod.metadata?.labels)) return;
    const { name = "", namespace } = pod.metadata ?? {};
    const patch = { metadata: { labels: wanted.metadata?.labels } };
    await client.pods.patch(name, namespace, "merge", patch, write);
  }

  /** Makes the claims of the ordinal that are missing. */
  async claim(set: StatefulSet, ordinal: number): Promise<void> {
    const { client, informer, recorder, write } = this.#context;
    for (const { claim } of claimsOf(set, ordinal)) {
      const { name = "", namespace } = claim.metadata ?? {};
      const there = informer("PersistentVolumeClaim").lister.get(name, namespace);
      if (there?.metadata?.deletionTimestamp) {
        throw StatusError.from(new Error(`PVC ${name} is being deleted`));
      }
      if (there) continue;
      const text = `create Claim ${name} Pod ${set.metadata?.name}-${ordinal} in StatefulSet ${set.metadata?.name}`;
      const owners = ownersOf(set, claim, undefined);
      const owned = { ...claim, metadata: { ...claim.metadata, ownerReferences: owners } };
      try {
        await client.persistentVolumeClaims.create(owned, write);
        recorder.event(about(set), "Normal", "SuccessfulCreate", `${text} success`);
      } catch (error) {
        if (isAlreadyExists(error)) continue;
        if (isNamespaceTerminating(error)) throw error;
        const { message } = StatusError.from(error);
        recorder.event(about(set), "Warning", "FailedCreate", `${text} failed error: ${message}`);
        throw error;
      }
    }
  }

  /** Makes the garbage collector take the claims with the set, or with the pod, as asked. */
  async retain(set: StatefulSet, pod: Pod): Promise<void> {
    const { client, informer, write } = this.#context;
    const ordinal = ordinalOf(set, pod) ?? 0;
    const start = startOf(set);
    const surplus = ordinal < start || ordinal >= start + (set.spec?.replicas ?? 1);
    for (const { claim } of claimsOf(set, ordinal)) {
      const { name = "", namespace } = claim.metadata ?? {};
      const there = informer("PersistentVolumeClaim").lister.get(name, namespace);
      if (there === undefined || there.metadata?.deletionTimestamp) continue;
      const ownerReferences = ownersOf(set, there, surplus ? pod : undefined);
      if (canonical(ownerReferences) === canonical(there.metadata?.ownerReferences ?? [])) continue;
      const metadata = { ...there.metadata, ownerReferences };
      await client.persistentVolumeClaims.update({ ...there, metadata }, write);
    }
  }
}

/** `surplus`: the pod of the claim, when the set has become too small for it. */
function ownersOf(
  set: StatefulSet,
  claim: PersistentVolumeClaim,
  surplus: Pod | undefined,
): OwnerReference[] {
  const { whenDeleted, whenScaled } = set.spec?.persistentVolumeClaimRetentionPolicy ?? {};
  const ofPod = surplus !== undefined && whenScaled === "Delete";
  const ofSet = !ofPod && whenDeleted === "Delete";
  const others = (claim.metadata?.ownerReferences ?? []).filter(
    ({ kind, uid, name = "" }) =>
      uid !== set.metadata?.uid && !(kind === "Pod" && name.startsWith(`${set.metadata?.name}-`)),
  );
  if (ofPod) others.push(controllerReference(surplus, "v1", "Pod"));
  if (ofSet) others.push(controllerReference(set, "apps/v1", "StatefulSet"));
  return others;
}
