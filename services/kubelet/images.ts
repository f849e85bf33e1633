/** Removes images that no container uses, when the disk is needed. */
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Log } from "../../ha/runtime/types.ts";
import type { ImageService } from "./runtime/images.ts";

/** The least recently used first. Those in use stay; a failure is told, and the others go. */
export async function removeUnusedImages(
  images: Pick<ImageService, "list" | "remove">,
  log: Log,
): Promise<void> {
  const found = images.list().toSorted((a, b) => a.usedAt - b.usedAt);
  for (const { id, names } of found) {
    const [reference = id] = names;
    try {
      await images.remove(reference);
      log.info("an image that no container uses is removed", { image: reference });
    } catch (thrown) {
      const { code, message } = StatusError.from(thrown);
      if (code === Code.failedPrecondition) continue; // a container uses it
      log.warn("an image could not be removed", { image: reference, error: message });
    }
  }
}
