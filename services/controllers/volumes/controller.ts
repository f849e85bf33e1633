import type { PersistentVolume, PersistentVolumeClaim, Pod } from "../../../proto/gen/core.ts";
import type { StorageClass } from "../../../proto/gen/storage.ts";
import { isAlreadyExists, isNotFound, keyOf, splitKey } from "../../client/mod.ts";
import { canonical } from "../canonical.ts";
import type { Controller, ControllerContext } from "../types.ts";
import { provisionedBy, provisionerName, removeDirectory, volumeOf } from "./host-path.ts";
import { classOf, isKeptFor, volumeFor } from "./matching.ts";

const bindCompleted = "pv.kubernetes.io/bind-completed";
const boundByController = "pv.kubernetes.io/bound-by-controller";
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
    const needs = ({ metadata, spec }: Pod) => {
      for (const { persistentVolumeClaim: named } of spec?.volumes ?? []) {
        if (named?.claimName) queue.add(`${metadata?.namespace}/${named.claimName}`);
      }
    };
    on("Pod", { added: needs });
  }

  async claim(key: string): Promise<void> {
    const { informer } = this.#context;
    const { name, namespace } = splitKey(key);
    const claim = informer("PersistentVolumeClaim").lister.get(name, namespace);
    if (!claim || claim.metadata?.deletionTimestamp) return;
    const volumes = informer("PersistentVolume").lister;
    const named = claim.spec?.volumeName;
    if (!named) return this.#find(claim, volumes.list());
    const volume = volumes.get(named);
    if (volume && (!volume.spec?.claimRef || isKeptFor(volume, claim))) {
      return this.#bind(claim, volume);
    }
    if (claim.metadata?.annotations?.[bindCompleted] === undefined) return;
    if (!volume) return this.#lose(claim);
  }

  async #find(claim: PersistentVolumeClaim, volumes: readonly PersistentVolume[]): Promise<void> {
    const { informer, recorder } = this.#context;
    const uid = claim.metadata?.uid ?? "";
    const free = volumes.filter(({ metadata }) => {
      const taker = this.#given.get(metadata?.name ?? "");
      return taker === undefined || taker === uid;
    });
    const className = classOf(claim);
    const storageClass = informer("StorageClass").lister.get(className);
    const tell = (type: "Normal" | "Warning", reason: string, text: string) =>
      recorder.event(about(claim), type, reason, text);
    if (storageClass?.volumeBindingMode === "WaitForFirstConsumer" && !this.#isUsed(claim)) {
      const text = "waiting for first consumer to be created before binding";
      return tell("Normal", "WaitForFirstConsumer", text);
    }
    const volume = volumeFor(claim, free);
    if (volume) return this.#bind(claim, volume);
    if (className === "") {
      const text = "no persistent volumes available for this claim and no storage class is set";
      return tell("Normal", "FailedBinding", text);
    }
    if (!storageClass) {
      const text = `storageclass.storage.k8s.io ${JSON.stringify(className)} not found`;
      return tell("Warning", "ProvisioningFailed", text);
    }
    const { provisioner = "" } = storageClass;
    if (provisioner === provisionerName) return this.#provision(claim, storageClass);
    if (provisioner === "kubernetes.io/no-provisioner") {
      return tell("Normal", "FailedBinding", "no persistent volumes available for this claim");
    }
    const text =
      `Waiting for a volume to be created either by the external provisioner '${provisioner}' or ` +
      "manually by the system administrator. If volume creation is delayed, please verify that " +
      "the provisioner is running and correctly registered.";
    tell("Normal", "ExternalProvisioning", text);
  }

  #isUsed({ metadata }: PersistentVolumeClaim): boolean {
    const pods = this.#context.informer("Pod").lister.list(metadata?.namespace);
    return pods.some(({ spec }) =>
      spec?.volumes?.some((one) => one.persistentVolumeClaim?.claimName === metadata?.name),
    );
  }

  async #provision(claim: PersistentVolumeClaim, storageClass: StorageClass): Promise<void> {
    const { client, recorder, write } = this.#context;
    if (claim.spec?.volumeMode === "Block" || claim.spec?.selector) {
      const what = claim.spec.selector ? "selector" : "volumeMode Block";
      const text = `spec: ${provisionerName} makes directories, it supports no ${what}`;
      return recorder.event(about(claim), "Warning", "ProvisioningFailed", text);
    }
    let volume = volumeOf(claim, storageClass, this.#root);
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
      const annotations = { ...volume.metadata?.annotations, [boundByController]: "yes" };
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

  async #lose(claim: PersistentVolumeClaim): Promise<void> {
    const { client, recorder, write } = this.#context;
    if (claim.status?.phase === "Lost") return;
    const text = "Bound claim has lost its PersistentVolume. Data on the volume is lost!";
    recorder.event(about(claim), "Warning", "ClaimLost", text);
    const status = { ...claim.status, phase: "Lost" };
    await client.persistentVolumeClaims.updateStatus({ ...claim, status }, write);
  }

  async volume(name: string): Promise<void> {
    const { client, informer } = this.#context;
    const volume = informer("PersistentVolume").lister.get(name);
    if (!volume) {
      this.#given.delete(name);
      return;
    }
    const { claimRef } = volume.spec ?? {};
    const { phase } = volume.status ?? {};
    if (claimRef) this.#given.delete(name);
    if (!claimRef?.uid) {
      // Kept for a claim that is not there yet, it is free all the same.
      if (phase !== "Available" && phase !== "Bound") await this.#phase(volume, "Available");
      return;
    }
    // The API decides whether the claim is gone, not the cache.
    try {
      const claim = await client.persistentVolumeClaims.get(
        claimRef.name ?? "",
        claimRef.namespace,
      );
      if (claim.metadata?.uid === claimRef.uid) return;
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    if (phase !== "Released" && phase !== "Failed") await this.#phase(volume, "Released");
    await this.#reclaim(volume);
  }

  /** Deletes what was made here for the claim; every other volume waits for its owner. */
  async #reclaim(volume: PersistentVolume): Promise<void> {
    const { client, write } = this.#context;
    if (volume.spec?.persistentVolumeReclaimPolicy !== "Delete") return;
    if (volume.metadata?.annotations?.[provisionedBy] !== provisionerName) return;
    const { name = "", uid = "" } = volume.metadata;
    await removeDirectory(volume, this.#root);
    try {
      await client.persistentVolumes.delete(name, undefined, { ...write, preconditions: { uid } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  async #phase(volume: PersistentVolume, phase: string): Promise<void> {
    const { client, write } = this.#context;
    const status = { ...volume.status, phase };
    await client.persistentVolumes.updateStatus({ ...volume, status }, write);
  }
}
