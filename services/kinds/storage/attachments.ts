/** What kubelets and controllers call a volume of a CSI driver (upstream `pkg/volume/csi`). */
import { createHash } from "node:crypto";

/** The VolumeAttachment of a volume on a node. `handle`: what the driver calls the volume. */
export function attachmentName(driver: string, handle: string, node: string): string {
  return `csi-${createHash("sha256").update(`${handle}${driver}${node}`).digest("hex")}`;
}

/** In a node's status. */
export function attachedVolumeName(driver: string, handle: string): string {
  return `kubernetes.io/csi/${driver}^${handle}`;
}
