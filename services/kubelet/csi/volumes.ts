/**
 * Volumes that CSI drivers mount (upstream `pkg/volume/csi`).
 *
 *     <pod>/volumes/<volume>/vol_data.json    what was asked of which driver
 *     <pod>/volumes/<volume>/mount            where the driver mounts it for the pod
 *     <root>/plugins/kubernetes.io/csi/<driver>/<hash>/globalmount    where it mounts it for the node
 *     <root>/plugins/kubernetes.io/csi/<driver>/<hash>/pods/<uid>     a pod that uses that
 *
 * A volume is published once for each pod, and staged for the node where the driver wants that,
 * until the last pod has gone. What was begun is undone, after a kubelet's restart, too: the file
 * is written before the driver is asked.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Metadata } from "@grpc/grpc-js";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import {
  NodeServiceCapability_RPC_Type as Capability,
  VolumeCapability_AccessMode_Mode as Mode,
  type VolumeCapability,
} from "../../../proto/gen/csi.ts";
import { attachedVolumeName } from "../../kinds/facts.ts";
import { type CsiDrivers, callDriver } from "./drivers.ts";

/** What a pod asks of a driver. */
export interface CsiRequest {
  readonly driver: string;
  /** What the driver calls the volume. */
  readonly handle: string;
  readonly readOnly: boolean;
  readonly fsType: string;
  /** Of the PersistentVolume; empty for a volume of the pod's own. */
  readonly accessModes: readonly string[];
  readonly mountOptions: readonly string[];
  readonly attributes: Readonly<Record<string, string>>;
  readonly publishSecrets: Readonly<Record<string, string>>;
  readonly stageSecrets: Readonly<Record<string, string>>;
  /** A volume of the pod's own is never staged. */
  readonly ephemeral: boolean;
}

interface VolumeData {
  readonly driver: string;
  readonly handle: string;
  readonly staging: string | undefined;
  published: boolean;
}

const dataFile = "vol_data.json";

export class CsiVolumes {
  readonly #drivers: CsiDrivers;
  readonly #root: string;
  /** Staging and unstaging of one volume happen one after the other. */
  readonly #turns = new Map<string, Promise<unknown>>();
  /** Uids of the pods that use a volume, by its name in the node's status. */
  readonly #users = new Map<string, Set<string>>();
  #shown: ReadonlySet<string> = new Set();
  /** Called when `inUse` is no longer what the API shows. */
  changed: () => void = () => undefined;

  /** `root`: the kubelet's state directory. */
  constructor(drivers: CsiDrivers, root: string) {
    this.#drivers = drivers;
    this.#root = join(root, "plugins", "kubernetes.io", "csi");
  }

  /** Which volumes pods use here, for the node's status: nothing of them may be detached. */
  inUse(): string[] {
    return [...this.#users.keys()].sort();
  }

  /** What the API shows of `inUse`. */
  shown(names: readonly string[]): void {
    this.#shown = new Set(names);
  }

  /** Takes up what an earlier instance has begun. `podsDir`: the directories of the pods. */
  async load(podsDir: string): Promise<void> {
    for (const uid of await namesIn(podsDir)) {
      const volumes = join(podsDir, uid, "volumes");
      for (const volume of await namesIn(volumes)) {
        const data = await readData(join(volumes, volume));
        if (data !== undefined) this.#use(data, uid);
      }
    }
  }

  /**
   * Resolves to the directory of the mounted volume. `dir`: of the volume in the pod's directory.
   * `attachment`: asked for what the attacher tells, once the node is known to use the volume.
   */
  async publish(
    dir: string,
    podUid: string,
    request: CsiRequest,
    attachment: () => Promise<Readonly<Record<string, string>> | undefined>,
  ): Promise<string> {
    const target = join(dir, "mount");
    const known = await readData(dir);
    if (known?.published) return target;
    const client = this.#drivers.client(request.driver);
    const staging = await this.#stagingOf(request);
    const { driver, handle } = request;
    const data: VolumeData = { driver, handle, staging, published: false };
    const name = this.#use(data, podUid);
    await mkdir(dir, { recursive: true, mode: 0o750 });
    await writeFile(join(dir, dataFile), JSON.stringify(data));
    const told = await attachment();
    if (told !== undefined && !this.#shown.has(name)) {
      throw new StatusError(
        Code.unavailable,
        `volume ${handle} has not been added to the list of volumesInUse in the node's status yet`,
      );
    }
    const publishContext = { ...told };
    if (staging !== undefined) await this.#stage(staging, podUid, request, publishContext);
    await callDriver(client, client.nodePublishVolume, new Metadata(), {
      volumeId: handle,
      publishContext,
      stagingTargetPath: staging ?? "",
      targetPath: target,
      volumeCapability: capabilityOf(request),
      readonly: request.readOnly,
      secrets: { ...request.publishSecrets },
      volumeContext: { ...request.attributes },
    });
    data.published = true;
    await writeFile(join(dir, dataFile), JSON.stringify(data));
    return target;
  }

  /** Undoes what was published for a pod. Throws what a driver answers: nothing is deleted then. */
  async release(volumesDir: string, podUid: string): Promise<void> {
    const names = await readdir(volumesDir).catch(() => []); // the pod has no volumes
    for (const name of names) {
      const dir = join(volumesDir, name);
      const data = await readData(dir);
      if (data === undefined) continue;
      const client = this.#drivers.client(data.driver);
      const [volumeId, targetPath] = [data.handle, join(dir, "mount")];
      const request = { volumeId, targetPath };
      await callDriver(client, client.nodeUnpublishVolume, new Metadata(), request);
      if (data.staging !== undefined) await this.#unstage(data.staging, podUid, data);
      await rm(join(dir, dataFile));
      this.#leave(data, podUid);
    }
  }

  #use({ driver, handle }: VolumeData, podUid: string): string {
    const name = attachedVolumeName(driver, handle);
    const users = this.#users.get(name) ?? new Set();
    if (!users.has(podUid)) this.#users.set(name, users.add(podUid));
    if (!this.#shown.has(name)) this.changed();
    return name;
  }

  #leave({ driver, handle }: VolumeData, podUid: string): void {
    const name = attachedVolumeName(driver, handle);
    const users = this.#users.get(name);
    users?.delete(podUid);
    if (users?.size !== 0) return;
    this.#users.delete(name);
    this.changed();
  }

  /** Undefined: the driver mounts the volume for each pod anew. */
  async #stagingOf({ driver, handle, ephemeral }: CsiRequest): Promise<string | undefined> {
    if (ephemeral) return undefined;
    const client = this.#drivers.client(driver);
    const asked = await callDriver(client, client.nodeGetCapabilities, new Metadata(), {});
    const stages = (asked.capabilities ?? []).some(
      ({ type }) => type?.value?.type === Capability.STAGE_UNSTAGE_VOLUME,
    );
    if (!stages) return undefined;
    const hash = createHash("sha256").update(handle).digest("hex");
    return join(this.#root, driver, hash, "globalmount");
  }

  #stage(
    staging: string,
    podUid: string,
    request: CsiRequest,
    publishContext: { [key: string]: string },
  ): Promise<void> {
    return this.#inTurn(staging, async () => {
      const users = join(dirname(staging), "pods");
      await mkdir(users, { recursive: true, mode: 0o750 });
      await mkdir(staging, { recursive: true, mode: 0o750 });
      await writeFile(join(users, podUid), "");
      const client = this.#drivers.client(request.driver);
      // Idempotent: a driver that has staged the volume says so by succeeding.
      await callDriver(client, client.nodeStageVolume, new Metadata(), {
        volumeId: request.handle,
        publishContext,
        stagingTargetPath: staging,
        volumeCapability: capabilityOf(request),
        secrets: { ...request.stageSecrets },
        volumeContext: { ...request.attributes },
      });
    });
  }

  #unstage(staging: string, podUid: string, { driver, handle }: VolumeData): Promise<void> {
    return this.#inTurn(staging, async () => {
      const users = join(dirname(staging), "pods");
      const others = (await readdir(users).catch(() => [])).filter((uid) => uid !== podUid);
      if (others.length === 0 && existsSync(staging)) {
        const client = this.#drivers.client(driver);
        const request = { volumeId: handle, stagingTargetPath: staging };
        await callDriver(client, client.nodeUnstageVolume, new Metadata(), request);
      }
      await rm(join(users, podUid), { force: true });
      if (others.length === 0) await rm(dirname(staging), { recursive: true, force: true });
    });
  }

  #inTurn<T>(staging: string, act: () => Promise<T>): Promise<T> {
    const key = basename(dirname(staging));
    const before = this.#turns.get(key) ?? Promise.resolve();
    const turn = before.then(act, act);
    const settled = turn.then(
      () => undefined,
      () => undefined,
    );
    this.#turns.set(key, settled);
    void settled.then(() => {
      if (this.#turns.get(key) === settled) this.#turns.delete(key);
    });
    return turn;
  }
}

/** The first access mode of the volume decides, as upstream's. */
function capabilityOf({ fsType, mountOptions, accessModes }: CsiRequest): VolumeCapability {
  const modes: Readonly<Record<string, Mode>> = {
    ReadWriteOnce: Mode.SINGLE_NODE_WRITER,
    ReadOnlyMany: Mode.MULTI_NODE_READER_ONLY,
    ReadWriteMany: Mode.MULTI_NODE_MULTI_WRITER,
    ReadWriteOncePod: Mode.SINGLE_NODE_WRITER,
  };
  const mount = { fsType, mountFlags: [...mountOptions], volumeMountGroup: "" };
  return {
    accessType: { $case: "mount", value: mount },
    accessMode: { mode: modes[accessModes[0] ?? "ReadWriteOnce"] ?? Mode.UNKNOWN },
  };
}

/** Empty where there is no such directory. */
function namesIn(dir: string): Promise<string[]> {
  return readdir(dir).catch(() => []);
}

async function readData(dir: string): Promise<VolumeData | undefined> {
  const text = await readFile(join(dir, dataFile), "utf8").catch((error: unknown) => {
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return "";
    throw error;
  });
  return text === "" ? undefined : (JSON.parse(text) as VolumeData);
}
