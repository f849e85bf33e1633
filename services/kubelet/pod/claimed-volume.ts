/** Volumes that a pod has by a PersistentVolumeClaim: directories of this node. */
import { existsSync } from "node:fs";
import { chmod, mkdir } from "node:fs/promises";
import { isAbsolute } from "node:path";
import type { PersistentVolume, Pod } from "../../../proto/gen/core.ts";
import { notOfPod } from "../../kinds/facts.ts";
import { ContainerConfigError } from "../runtime/types.ts";
import type { ConfigSource } from "./environment.ts";

/** Made for the pods of any user; what is there keeps its owner and its mode. */
const directoryMode = 0o777;

/** Throws while the claim has no volume. `owner`: the pod that the claim was made for. */
export async function claimedVolume(
  source: ConfigSource,
  namespace: string,
  name: string,
  owner?: Pod,
): Promise<PersistentVolume> {
  const refuse = refusal(name);
  const claim = await source.claim(namespace, name);
  if (claim === undefined) throw refuse("not found");
  const foreign = owner && notOfPod(claim, owner);
  if (foreign !== undefined) throw new ContainerConfigError(foreign);
  const volumeName = claim.spec?.volumeName ?? "";
  if (claim.status?.phase !== "Bound" || volumeName === "")
    throw refuse("is not bound to a volume");
  const volume = await source.volume(volumeName);
  if (volume === undefined) throw refuse(`is bound to volume ${volumeName}, which does not exist`);
  if (volume.spec?.claimRef?.uid !== claim.metadata?.uid) {
    throw refuse(`is bound to volume ${volumeName}, which belongs to another claim`);
  }
  return volume;
}

function refusal(claim: string): (problem: string) => ContainerConfigError {
  return (problem) => new ContainerConfigError(`persistentvolumeclaim "${claim}" ${problem}`);
}

/** The volume's directory. Throws for volumes that are no directories of a node. */
export async function pathOfVolume(volume: PersistentVolume, claimName: string): Promise<string> {
  const refuse = refusal(claimName);
  const volumeName = volume.metadata?.name ?? "";
  const { hostPath, local, volumeMode = "Filesystem" } = volume.spec ?? {};
  const path = hostPath?.path ?? local?.path;
  if (path === undefined || volumeMode !== "Filesystem") {
    const what = "only hostPath, local and csi of volumeMode Filesystem are";
    throw refuse(`is bound to volume ${volumeName}, whose source is not supported: ${what}`);
  }
  if (!isAbsolute(path)) throw refuse(`is bound to volume ${volumeName}: ${path} is not absolute`);
  if (existsSync(path)) return path;
  if (hostPath?.type !== "DirectoryOrCreate") {
    throw refuse(`is bound to volume ${volumeName}: ${path} does not exist on this node`);
  }
  await mkdir(path, { recursive: true });
  await chmod(path, directoryMode);
  return path;
}
