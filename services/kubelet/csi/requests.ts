/** From volumes of the API to what their CSI drivers are asked. */
import { createHash } from "node:crypto";
import type {
  CSIVolumeSource,
  PersistentVolume,
  Pod,
  SecretReference,
} from "../../../proto/gen/core.ts";
import { attachmentName } from "../../kinds/facts.ts";
import type { ConfigSource } from "../pod/environment.ts";
import { ContainerConfigError } from "../runtime/types.ts";
import type { CsiRequest } from "./volumes.ts";

/** Of a volume that lives with its pod. `volumeName`: as the pod names it. */
export async function inlineRequest(
  pod: Pod,
  volumeName: string,
  csi: CSIVolumeSource,
  source: ConfigSource,
): Promise<CsiRequest> {
  const { driver = "", readOnly = false, fsType = "", volumeAttributes = {} } = csi;
  const { namespace = "", uid = "" } = pod.metadata ?? {};
  const hash = createHash("sha256").update(`${volumeName}${driver}${uid}`).digest("hex");
  const secret = csi.nodePublishSecretRef;
  return {
    ...{ driver, readOnly, fsType, accessModes: [], mountOptions: [], stageSecrets: {} },
    handle: `csi-${hash}`,
    attributes: { ...volumeAttributes, ...(await podInfo(pod, driver, source, true)) },
    publishSecrets: await secretOf(secret && { name: secret.name, namespace }, source),
    ephemeral: true,
  };
}

/** Of a volume that a claim is bound to. Throws until it is attached, where its driver wants that. */
export async function boundRequest(
  pod: Pod,
  volume: PersistentVolume,
  source: ConfigSource,
): Promise<CsiRequest> {
  const { csi = {}, accessModes = [], mountOptions = [] } = volume.spec ?? {};
  const { driver = "", volumeHandle: handle = "", readOnly = false, fsType = "" } = csi;
  return {
    ...{ driver, handle, readOnly, fsType, accessModes, mountOptions, ephemeral: false },
    attributes: { ...csi.volumeAttributes, ...(await podInfo(pod, driver, source, false)) },
    publishSecrets: await secretOf(csi.nodePublishSecretRef, source),
    stageSecrets: await secretOf(csi.nodeStageSecretRef, source),
  };
}

/**
 * What the attacher of the driver tells its other half, of an attached volume. Undefined: the driver
 * attaches nothing. Throws, in upstream's words, while the volume is not attached.
 */
export async function attachmentOf(
  { driver, handle, ephemeral }: CsiRequest,
  node: string,
  source: ConfigSource,
): Promise<Readonly<Record<string, string>> | undefined> {
  if (ephemeral) return undefined;
  const { attachRequired = true } = (await source.csiDriver?.(driver))?.spec ?? {};
  if (!attachRequired) return undefined;
  const name = attachmentName(driver, handle, node);
  const attachment = await source.attachment?.(name);
  const refuse = (problem: string) => new ContainerConfigError(problem);
  if (attachment === undefined) {
    throw refuse(`volume attachment ${name} of volume ${handle} is not there yet`);
  }
  if (attachment.metadata?.deletionTimestamp !== undefined) {
    throw refuse("volume attachment is being deleted");
  }
  const { attached = false, attachError, attachmentMetadata = {} } = attachment.status ?? {};
  if (attached) return attachmentMetadata;
  throw refuse(attachError?.message ?? `volume ${handle} is not attached to node ${node} yet`);
}

/** What a driver is told of the pod, if its CSIDriver asks for that. */
async function podInfo(
  { metadata = {}, spec = {} }: Pod,
  driver: string,
  source: ConfigSource,
  ephemeral: boolean,
): Promise<Readonly<Record<string, string>>> {
  const found = await source.csiDriver?.(driver);
  if (!found?.spec?.podInfoOnMount) return {};
  return {
    "csi.storage.k8s.io/pod.name": metadata.name ?? "",
    "csi.storage.k8s.io/pod.namespace": metadata.namespace ?? "",
    "csi.storage.k8s.io/pod.uid": metadata.uid ?? "",
    "csi.storage.k8s.io/serviceAccount.name": spec.serviceAccountName ?? "",
    "csi.storage.k8s.io/ephemeral": String(ephemeral),
  };
}

async function secretOf(
  reference: SecretReference | undefined,
  source: ConfigSource,
): Promise<Readonly<Record<string, string>>> {
  if (reference === undefined) return {};
  const { name = "", namespace = "" } = reference;
  const secret = await source.secret(namespace, name);
  if (secret === undefined) throw new ContainerConfigError(`secrets "${name}" not found`);
  return Object.fromEntries(
    Object.entries(secret.data ?? {}).map(([key, text]) => {
      return [key, Buffer.from(text, "base64").toString("utf8")];
    }),
  );
}
