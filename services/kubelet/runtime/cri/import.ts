/**
 * Brings an image of a layout into containerd. CRI has no such call, so this uses containerd's own
 * services on the same socket: its blobs, its names and its leases. Other runtimes do not have them
 * and answer UNIMPLEMENTED, which is told.
 */
import { randomUUID } from "node:crypto";
import { call, duplexIterable } from "../../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import { WriteAction, type WriteContentRequest } from "../../../../proto/gen/containerd_content.ts";
import type { Descriptor, LayoutImage } from "../layouts/mod.ts";
import { type CriConnection, criLimits } from "./connection.ts";

/** Below gRPC's usual limit of 4 MiB a message. */
const pieceBytesMax = 1024 * 1024;
/** What is in the store and named by nothing else is removed after this. */
const leaseSeconds = 3_600;

type Labels = { [key: string]: string };

/** Throws StatusError. `names`: under which the image is known then. */
export async function importImage(
  connection: CriConnection,
  image: LayoutImage,
  names: readonly string[],
): Promise<void> {
  const { containerd } = connection;
  const settings = { deadlineMillis: criLimits.actMillis };
  const lease = `trireme-import-${randomUUID()}`;
  const plain = { ...settings, metadata: containerd.metadata() };
  const labels = {
    "containerd.io/gc.expire": new Date(Date.now() + leaseSeconds * 1000).toISOString(),
  };
  try {
    await call(containerd.leases, "create", { id: lease, labels }, plain);
  } catch (error) {
    const { code, message } = StatusError.from(error);
    if (code !== Code.unimplemented) throw error;
    throw new StatusError(code, `the runtime takes no images of --image-root: ${message}`);
  }
  try {
    for (const blob of [...image.layers, image.config]) {
      await writeBlob(connection, image, blob, lease, {});
    }
    await writeBlob(connection, image, image.manifest, lease, keptBy(image));
    for (const name of names) await nameImage(connection, name, image.manifest);
  } finally {
    await call(containerd.leases, "delete", { id: lease }, plain).catch(() => undefined); // expires
  }
}

/** While the manifest is there, so are its configuration and layers. */
function keptBy({ config, layers }: LayoutImage): Labels {
  const children = [config, ...layers];
  return Object.fromEntries(
    children.map(({ digest }, index) => [`containerd.io/gc.ref.content.${index}`, digest]),
  );
}

async function writeBlob(
  { containerd }: CriConnection,
  image: LayoutImage,
  blob: Descriptor,
  lease: string,
  labels: Labels,
): Promise<void> {
  const answers = duplexIterable(
    containerd.content,
    "write",
    requests(image, blob, `${lease}-${blob.digest}`, labels),
    {
      metadata: containerd.metadata(lease),
      deadlineMillis: criLimits.pullMillis,
    },
  );
  try {
    for await (const { action } of answers) if (action === WriteAction.COMMIT) break;
  } catch (error) {
    if (StatusError.from(error).code !== Code.alreadyExists) throw error;
  }
}

async function* requests(
  image: LayoutImage,
  blob: Descriptor,
  ref: string,
  labels: Labels,
): AsyncGenerator<WriteContentRequest> {
  const { digest: expected, size: total } = blob;
  yield { action: WriteAction.STAT, ref, total, expected };
  let offset = 0;
  for await (const piece of image.read(blob)) {
    for (let at = 0; at < piece.length; at += pieceBytesMax) {
      const data = Buffer.from(piece.subarray(at, at + pieceBytesMax));
      yield { action: WriteAction.WRITE, ref, total, expected, offset, data };
      offset += data.length;
    }
  }
  yield { action: WriteAction.COMMIT, ref, total, expected, offset, labels };
}

async function nameImage(
  { containerd }: CriConnection,
  name: string,
  { mediaType, digest, size }: Descriptor,
): Promise<void> {
  const image = { name, target: { mediaType, digest, size } };
  const settings = { deadlineMillis: criLimits.actMillis, metadata: containerd.metadata() };
  try {
    await call(containerd.images, "create", { image }, settings);
  } catch (error) {
    if (StatusError.from(error).code !== Code.alreadyExists) throw error;
    await call(containerd.images, "update", { image }, settings);
  }
}
