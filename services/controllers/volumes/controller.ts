import type { PersistentVolume, PersistentVolumeClaim, Pod } from "../../../proto/gen/core.ts";
import type { StorageClass } from "../../../proto/gen/storage.ts";
import { type ApiObject, isAlreadyExists, isNotFound, keyOf, splitKey } from "../../client/mod.ts";
import { bindCompleted, boundByController, claimNamesOf } from "../../kinds/facts.ts";
import { canonical } from "../canonical.ts";
import type { Controller, ControllerContext } from "../types.ts";
import { removeDirectory, volumeOf } from "./host-path.ts";
import { type ClaimWorld, planClaim, planVolume, type Reclaim, type Told } from "./plan.ts";

const provisionerAnnotations = [
  "volume.beta.kubernetes.io/storage-provisioner",
  "volume.kubernetes.io/storage-provisioner",
];
/** Of a volume; no namespace has such a name. */
const volumePrefix = "volume!";
/** A directory of the controllers' machine is a volume of this class. */
const claimKind = "PersistentVolumeClaim";

export interface VolumeOptions {
  /** Absolute path of the directory in which volumes are made. */
  readonly root: string;
  readonly workers: number;
}

/** Binds claims to volumes, and makes volumes of the class that is built in. */
export function persistentVolumeController(options: VolumeOptions): Controller {
  return {
    name: "persistentvolume",
    informers: ["PersistentVolume", "PersistentVolumeClaim", "StorageClass", "Pod"],
    workers: options.workers,
    start(context) {
      const loop = new VolumeLoop(context, options.root);
      loop.watch();
      return (key) =>
        key.startsWith(volumePrefix)
          ? loop.volume(key.slice(volumePrefix.length))
          : loop.claim(key);
    },
  };
}

const about = (claim: PersistentVolumeClaim) => ({ ...claim, apiVersion: "v1", kind: claimKind });
const aboutVolume = (volume: PersistentVolume) => ({
  ...volume,
  apiVersion: "v1",
  kind: "PersistentVolume",
});

class VolumeLoop {
  readonly #context: ControllerContext;
  readonly #root: string;
  /** Volumes that were given away and that the cache shows free still, by name. */
  readonly #given = new Map<string, string>();

  constructor(context: ControllerContext, root: string) {
    this.#context = context;
    this.#root = root;
  }

  watch(): void {
    const { on, queue, informer } = this.#context;
    const waiting = () => {
      for (const claim of informer("PersistentVolumeClaim").lister.list()) {
        if (!claim.spec?.volumeName) queue.add(keyOf(claim));
      }
    };
    const claimed = (claim: PersistentVolumeClaim) => {
      queue.add(keyOf(claim));
      if (claim.spec?.volumeName) queue.add(`${volumePrefix}${claim.spec.volumeName}`);
    };
    on("PersistentVolumeClaim", {
      added: claimed,
      updated: (_, claim) => claimed(claim),
      deleted: claimed,
    });
    const seen = (volume: PersistentVolume) => {
      queue.add(`${volumePrefix}${volume.metadata?.name}`);
      const { name, namespace } = volume.spec?.claimRef ?? {};
      if (name) queue.add(`${namespace}/${name}`);
      else waiting();
    };
    on("PersistentVolume", { added: seen, updated: (_, volume) => seen(volume), deleted: seen });
    on("StorageClass", { added: waiting, updated: waiting });
    const needs = (pod: Pod) => {
      for (const name of claimNamesOf(pod)) queue.add(`${pod.metadata?.namespace}/${name}`);
    };
    on("Pod", { added: needs });
  }

  async claim(key: string): Promise<void> {
    const { client, informer, recorder, write } = this.#context;
    const { name, namespace } = splitKey(key);
    const claim = informer("PersistentVolumeClaim").lister.get(name, namespace);
    if (!claim || claim.metadata?.deletionTimestamp) return;
    const step = planClaim(claim, this.#worldOf(claim));
    switch (step.kind) {
      case "bind":
        return this.#bind(claim, step.volume);
      case "provision":
        return this.#provision(claim, step.storageClass, step.node);
      case "external":
        await this.#nameProvisioner(claim, step.provisioner);
        return this.#tell(about(claim), step.event);
      case "pending":
        return this.#tell(about(claim), step.event);
      case "lost": {
        if (claim.status?.phase === "Lost") return;
        const { type, reason, message } = step.event;
        recorder.event(about(claim), type, reason, message);
        const { accessModes: _, capacity: __, ...kept } = claim.status ?? {};
        const status = { ...kept, phase: "Lost" };
        await client.persistentVolumeClaims.updateStatus({ ...claim, status }, write);
      }
    }
  }

  #worldOf(claim: PersistentVolumeClaim): ClaimWorld {
    const { informer } = this.#context;
    const { lister } = informer("PersistentVolume");
    const uid = claim.metadata?.uid ?? "";
    const volumes = lister.list().filter(({ metadata }) => {
      const taker = this.#given.get(metadata?.name ?? "");
      return taker === undefined || taker === uid;
    });
    return {
      volumes,
      volume: (name) => lister.get(name),
      storageClass: (name) => informer("StorageClass").lister.get(name),
      waitingPod: this.#waitingPod(claim),
    };
  }

  #tell(object: ApiObject, event: Told | undefined): void {
    if (event === undefined) return;
    this.#context.recorder.event(object, event.type, event.reason, event.message);
  }

  #waitingPod({ metadata }: PersistentVolumeClaim): string | undefined {
    const pods = this.#context.informer("Pod").lister.list(metadata?.namespace);
    const waiting = pods.find(
      (pod) => !pod.spec?.nodeName && claimNamesOf(pod).includes(metadata?.name ?? ""),
    );
    return waiting?.metadata?.name;
  }

  /** By these, provisioners outside know which claims are theirs. */
  async #nameProvisioner(claim: PersistentVolumeClaim, provisioner: string): Promise<void> {
    const { client, write } = this.#context;
    const known = claim.metadata?.annotations ?? {};
    if (provisionerAnnotations.every((name) => known[name] === provisioner)) return;
    const named = Object.fromEntries(provisionerAnnotations.map((name) => [name, provisioner]));
    const metadata = { ...claim.metadata, annotations: { ...known, ...named } };
    await client.persistentVolumeClaims.update({ ...claim, metadata }, write);
  }

  async #provision(
    claim: PersistentVolumeClaim,
    storageClass: StorageClass,
    node: string | undefined,
  ): Promise<void> {
    const { client, recorder, write } = this.#context;
    let volume = volumeOf(claim, storageClass, this.#root, node);
    try {
      volume = await client.persistentVolumes.create(volume, write);
      const text = `Successfully provisioned volume ${volume.metadata?.name}`;
      recorder.event(about(claim), "Normal", "ProvisioningSucceeded", text);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      volume = await client.persistentVolumes.get(volume.metadata?.name ?? "");
    }
    await this.#bind(claim, volume);
  }

  /** First the volume, then the claim: what is interrupted is taken up again from either side. */
  async #bind(claim: PersistentVolumeClaim, volume: PersistentVolume): Promise<void> {
    const { client, write } = this.#context;
    const { name, namespace, uid = "", resourceVersion } = claim.metadata ?? {};
    const volumeName = volume.metadata?.name ?? "";
    this.#given.set(volumeName, uid);
    let kept = volume;
    if (volume.spec?.claimRef?.uid !== uid) {
      const reference = {
        apiVersion: "v1",
        kind: claimKind,
        name,
        namespace,
        uid,
        resourceVersion,
      };
      // What a person has written stays theirs, and is not taken back.
      const annotations = {
        ...volume.metadata?.annotations,
        ...(!volume.spec?.claimRef && { [boundByController]: "yes" }),
      };
      kept = await client.persistentVolumes.update(
        {
          ...volume,
          metadata: { ...volume.metadata, annotations },
          spec: { ...volume.spec, claimRef: reference },
        },
        write,
      );
    }
    if (kept.status?.phase !== "Bound") await this.#phase(kept, "Bound");
    let bound = claim;
    if (claim.metadata?.annotations?.[bindCompleted] === undefined) {
      const annotations = {
        ...claim.metadata?.annotations,
        [bindCompleted]: "yes",
        ...(!claim.spec?.volumeName && { [boundByController]: "yes" }),
      };
      bound = await client.persistentVolumeClaims.update(
        {
          ...claim,
          metadata: { ...claim.metadata, annotations },
          spec: { ...claim.spec, volumeName },
        },
        write,
      );
    }
    const { accessModes, capacity } = kept.spec ?? {};
    const status = { ...bound.status, phase: "Bound", accessModes, capacity };
    if (canonical(status) === canonical(bound.status ?? {})) return;
    await client.persistentVolumeClaims.updateStatus({ ...bound, status }, write);
  }

  async volume(name: string): Promise<void> {
    const { client, informer, queue, write } = this.#context;
    const volume = informer("PersistentVolume").lister.get(name);
    if (!volume) {
      this.#given.delete(name);
      return;
    }
    const { claimRef } = volume.spec ?? {};
    if (claimRef) this.#given.delete(name);
    const step = planVolume(volume, await this.#claimOf(volume));
    switch (step.kind) {
      case "phase":
        if (volume.status?.phase !== step.phase) await this.#phase(volume, step.phase);
        return;
      case "claim":
        this.#tell(aboutVolume(volume), step.event);
        queue.add(`${claimRef?.namespace}/${claimRef?.name}`);
        return;
      case "unbind": {
        const { claimRef: reference, ...spec } = volume.spec ?? {};
        const { [boundByController]: _, ...annotations } = volume.metadata?.annotations ?? {};
        const kept = step.whole ? spec : { ...spec, claimRef: { ...reference, uid: "" } };
        const metadata = { ...volume.metadata, annotations };
        const freed = { ...volume, metadata, spec: kept };
        await this.#phase(await client.persistentVolumes.update(freed, write), "Available");
        return;
      }
      case "release":
        await this.#release(volume, step.reclaim);
    }
  }

  /** Undefined: the claim that the volume refers to is gone. The API decides that, not the cache. */
  async #claimOf({ spec }: PersistentVolume): Promise<PersistentVolumeClaim | undefined> {
    const { client, informer } = this.#context;
    const { name = "", namespace, uid } = spec?.claimRef ?? {};
    if (!uid) return undefined;
    const cached = informer("PersistentVolumeClaim").lister.get(name, namespace);
    if (cached?.metadata?.uid === uid) return cached;
    try {
      const claim = await client.persistentVolumeClaims.get(name, namespace);
      return claim.metadata?.uid === uid ? claim : undefined;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async #release(volume: PersistentVolume, reclaim: Reclaim): Promise<void> {
    const { client, write } = this.#context;
    const { phase } = volume.status ?? {};
    let released = volume;
    if (phase !== "Released" && phase !== "Failed") {
      released = await this.#phase(volume, "Released");
    }
    if (reclaim.kind === "fail") {
      if (phase === "Failed") return;
      this.#tell(aboutVolume(volume), reclaim.event);
      await this.#phase(released, "Failed", reclaim.event.message);
      return;
    }
    if (reclaim.kind === "keep" || volume.metadata?.deletionTimestamp) return;
    const { name = "", uid = "" } = volume.metadata ?? {};
    await removeDirectory(volume, this.#root);
    try {
      await client.persistentVolumes.delete(name, undefined, { ...write, preconditions: { uid } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  async #phase(
    volume: PersistentVolume,
    phase: string,
    message?: string,
  ): Promise<PersistentVolume> {
    const { client, write } = this.#context;
    const { message: _, ...before } = volume.status ?? {};
    const status = { ...before, phase, ...(message !== undefined && { message }) };
    return client.persistentVolumes.updateStatus({ ...volume, status }, write);
  }
}
