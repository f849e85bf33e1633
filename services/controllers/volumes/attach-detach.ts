/**
 * Asks for the attachment of CSI volumes to the nodes of their pods, and ends it when no pod of the
 * node uses them any more (upstream `pkg/controller/volume/attachdetach`). The driver's attacher,
 * which runs beside it, does the work and says so in the VolumeAttachment.
 *
 * A volume stays attached while its node says that it is in use: the kubelet says so before it
 * mounts the volume, and until it has unmounted it. Of a node that is gone, or that an administrator
 * has marked as out of service, nothing is awaited.
 */
import type { Node, PersistentVolume, Pod } from "../../../proto/gen/core.ts";
import type { VolumeAttachment } from "../../../proto/gen/storage.ts";
import { isAlreadyExists, isConflict, isNotFound, keyOf } from "../../client/mod.ts";
import {
  attachedVolumeName,
  attachmentName,
  claimNamesOf,
  equalJson,
  isBoundClaim,
  isFinished,
} from "../../kinds/facts.ts";
import type { Controller, ControllerContext } from "../types.ts";

const outOfService = "node.kubernetes.io/out-of-service";
const sharedModes = ["ReadOnlyMany", "ReadWriteMany"];

/** A volume that pods of a node use. */
interface Use {
  readonly volume: PersistentVolume;
  readonly driver: string;
  readonly handle: string;
  readonly pods: Pod[];
}

/** The keys are nodes' names. */
export function attachDetachController(workers: number): Controller {
  return {
    name: "attachdetach",
    component: "attachdetach-controller",
    informers: [
      ...(["Node", "Pod", "PersistentVolumeClaim", "PersistentVolume"] as const),
      ...(["CSIDriver", "VolumeAttachment"] as const),
    ],
    workers,
    start(context) {
      const loop = new AttachLoop(context);
      loop.watch();
      return (node) => loop.node(node);
    },
  };
}

class AttachLoop {
  readonly #context: ControllerContext;
  /** Attachments whose outcome the pods have been told, with that outcome. */
  readonly #told = new Map<string, string>();

  constructor(context: ControllerContext) {
    this.#context = context;
  }

  watch(): void {
    const { on, queue, informer } = this.#context;
    const pod = (one: Pod) => {
      if (one.spec?.nodeName && claimNamesOf(one).length > 0) queue.add(one.spec.nodeName);
    };
    on("Pod", { added: pod, updated: (_, next) => pod(next), deleted: pod });
    const node = (one: Node) => queue.add(keyOf(one));
    on("Node", {
      updated: (before, next) => {
        const inUse = (of: Node) => [of.status?.volumesInUse, of.spec?.taints];
        if (!equalJson(inUse(before), inUse(next))) node(next);
      },
      deleted: node,
    });
    on("PersistentVolumeClaim", {
      updated: (before, { metadata }) => {
        if (isBoundClaim(before)) return;
        for (const each of informer("Pod").lister.list(metadata?.namespace)) pod(each);
      },
    });
    const attachment = ({ spec }: VolumeAttachment) => queue.add(spec?.nodeName ?? "");
    on("VolumeAttachment", {
      added: attachment,
      updated: (_, next) => attachment(next),
      deleted: (gone) => {
        this.#told.delete(gone.metadata?.name ?? "");
        attachment(gone);
        // Another node may wait for the volume.
        for (const each of informer("Pod").lister.list()) pod(each);
      },
    });
  }

  async node(name: string): Promise<void> {
    const { informer } = this.#context;
    const node = informer("Node").lister.get(name);
    const uses = this.#usesOn(name);
    const all = informer("VolumeAttachment").lister.list();
    const present = all.filter(({ spec }) => spec?.nodeName === name);
    for (const one of present) {
      const use = uses.get(one.metadata?.name ?? "");
      if (use !== undefined) this.#tell(one, use);
      else if (mayDetach(one, node, this.#volumeOf(one))) await this.#detach(one);
    }
    if (node !== undefined) await this.#showAttached(node, present);
    for (const [attachment, use] of uses) {
      if (present.some(({ metadata }) => metadata?.name === attachment)) continue;
      const elsewhere = all.find((one) => isOf(one, use.volume));
      if (elsewhere === undefined || isShared(use.volume))
        await this.#attach(attachment, use, name);
      else this.#refuse(use);
    }
  }

  /** By the names of their attachments. Pods that have ended use nothing. */
  #usesOn(node: string): ReadonlyMap<string, Use> {
    const { informer } = this.#context;
    const uses = new Map<string, Use>();
    for (const pod of informer("Pod").lister.list()) {
      if (pod.spec?.nodeName !== node || isFinished(pod)) continue;
      for (const claimName of claimNamesOf(pod)) {
        const claim = informer("PersistentVolumeClaim").lister.get(
          claimName,
          pod.metadata?.namespace,
        );
        if (claim === undefined || !isBoundClaim(claim)) continue;
        const volume = informer("PersistentVolume").lister.get(claim.spec?.volumeName ?? "");
        const { driver = "", volumeHandle: handle = "" } = volume?.spec?.csi ?? {};
        if (volume === undefined || driver === "" || !this.#attaches(driver)) continue;
        const name = attachmentName(driver, handle, node);
        const use = uses.get(name) ?? { volume, driver, handle, pods: [] };
        use.pods.push(pod);
        uses.set(name, use);
      }
    }
    return uses;
  }

  /** A driver that the cluster has not been told about is taken for one that attaches. */
  #attaches(driver: string): boolean {
    const found = this.#context.informer("CSIDriver").lister.get(driver);
    return found?.spec?.attachRequired ?? true;
  }

  #volumeOf({ spec }: VolumeAttachment): PersistentVolume | undefined {
    const name = spec?.source?.persistentVolumeName ?? "";
    return this.#context.informer("PersistentVolume").lister.get(name);
  }

  async #attach(name: string, { volume, driver }: Use, nodeName: string): Promise<void> {
    const { client, write } = this.#context;
    const source = { persistentVolumeName: volume.metadata?.name };
    const spec = { attacher: driver, nodeName, source };
    try {
      await client.resource("VolumeAttachment").create({ metadata: { name }, spec }, write);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }

  async #detach({ metadata }: VolumeAttachment): Promise<void> {
    if (metadata?.deletionTimestamp !== undefined) return;
    const { client, write } = this.#context;
    const { name = "", uid = "" } = metadata ?? {};
    const options = { ...write, preconditions: { uid } };
    try {
      await client.resource("VolumeAttachment").delete(name, undefined, options);
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }

  /** What the node's status says of volumes that are attached to it. */
  async #showAttached(node: Node, present: readonly VolumeAttachment[]): Promise<void> {
    const { client, write } = this.#context;
    const volumesAttached = present
      .filter(({ status }) => status?.attached)
      .flatMap((one) => {
        const { driver = "", volumeHandle = "" } = this.#volumeOf(one)?.spec?.csi ?? {};
        const name = attachedVolumeName(driver, volumeHandle);
        return driver === "" ? [] : [{ name, devicePath: "" }];
      });
    if (equalJson(node.status?.volumesAttached ?? [], volumesAttached)) return;
    const status = { ...node.status, volumesAttached };
    await client.nodes.updateStatus({ ...node, status }, write);
  }

  /** Once for each outcome. */
  #tell({ metadata, status }: VolumeAttachment, { volume, pods }: Use): void {
    const problem = status?.attachError?.message;
    const outcome = status?.attached ? "attached" : problem;
    const key = metadata?.name ?? "";
    if (outcome === undefined || this.#told.get(key) === outcome) return;
    this.#told.set(key, outcome);
    const about = `for volume ${JSON.stringify(volume.metadata?.name)}`;
    for (const pod of pods) {
      if (status?.attached) {
        const text = `AttachVolume.Attach succeeded ${about} `;
        this.#event(pod, "Normal", "SuccessfulAttachVolume", text);
      } else {
        const text = `AttachVolume.Attach failed ${about} : ${problem}`;
        this.#event(pod, "Warning", "FailedAttachVolume", text);
      }
    }
  }

  #refuse({ volume, pods }: Use): void {
    const name = JSON.stringify(volume.metadata?.name);
    const why =
      "Volume is already exclusively attached to one node and can't be attached to another";
    const text = `Multi-Attach error for volume ${name} ${why}`;
    for (const pod of pods) this.#event(pod, "Warning", "FailedAttachVolume", text);
  }

  #event(pod: Pod, type: "Normal" | "Warning", reason: string, message: string): void {
    const about = { ...pod, apiVersion: "v1", kind: "Pod" };
    this.#context.recorder.event(about, type, reason, message);
  }
}

function isOf({ spec }: VolumeAttachment, { metadata }: PersistentVolume): boolean {
  return spec?.source?.persistentVolumeName === metadata?.name;
}

function isShared({ spec }: PersistentVolume): boolean {
  return (spec?.accessModes ?? []).some((mode) => sharedModes.includes(mode));
}

/** Attachments that another program has made are its own. */
function mayDetach(
  { metadata, spec }: VolumeAttachment,
  node: Node | undefined,
  volume: PersistentVolume | undefined,
): boolean {
  const { driver = "", volumeHandle = "" } = volume?.spec?.csi ?? {};
  const own = attachmentName(driver, volumeHandle, spec?.nodeName ?? "");
  const { name = "" } = metadata ?? {};
  if (volume === undefined ? !/^csi-[0-9a-f]{64}$/.test(name) : name !== own) return false;
  if (node === undefined) return true;
  if (node.spec?.taints?.some(({ key }) => key === outOfService)) return true;
  // A volume that is gone cannot be told from others in use.
  if (volume === undefined) return (node.status?.volumesInUse ?? []).length === 0;
  return !(node.status?.volumesInUse ?? []).includes(attachedVolumeName(driver, volumeHandle));
}
