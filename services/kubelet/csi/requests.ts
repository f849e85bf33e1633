/** From volumes of the API to what their CSI drivers are asked. */
import { createHash } from "node:crypto";
import type {
  CSIVolumeSource,
  PersistentVolume,
  Pod,
  SecretReference,
} from "../../../proto/gen/core.ts";
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

/** Of a volume that a claim is bound to. */
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

/** What a driver is told of the pod, if its CSIDriver asks for that. */
async function podInfo(
  { metadata = {}, spec = {} }: Pod,
  driver: string,
  source: ConfigSource,
  ephemeral: boolean,
): Promise<Readonly<Record<string, string>>> {
  const found = await source.csiDriver?.(driver);
  const { podInfoOnMount = false, attachRequired = true } = found?.spec ?? {};
  if (found !== undefined && attachRequired && !ephemeral) {
    const why = "its CSIDriver requires volumes to be attached, which this cluster does not do";
    throw new ContainerConfigError(`driver ${driver}: ${why}`);
  }
  if (!podInfoOnMount) return {};
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
