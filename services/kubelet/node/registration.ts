/** Makes sure that the Node object exists and carries this kubelet's labels and taints. */
import type { Log } from "../../../ha/runtime/types.ts";
import type { Node } from "../../../proto/gen/core.ts";
import { isAlreadyExists, isConflict, isNotFound, type ResourceClient } from "../../client/mod.ts";

const conflictsMax = 5;

/** Resolves to the stored object. Taints are set at creation only: later they are the cluster's. */
export async function registerNode(
  nodes: Pick<ResourceClient<Node>, "get" | "create" | "patch">,
  wanted: Node,
  log: Log,
): Promise<Node> {
  const name = wanted.metadata?.name ?? "";
  for (let attempt = 1; ; attempt++) {
    try {
      const made = await nodes.create(wanted).catch((error: unknown) => {
        if (isAlreadyExists(error)) return undefined;
        throw error;
      });
      if (made !== undefined) {
        log.info("the node has been registered", { node: name });
        return made;
      }
      const stored = await nodes.get(name);
      const labels = wanted.metadata?.labels ?? {};
      const has = stored.metadata?.labels ?? {};
      if (Object.entries(labels).every(([key, value]) => has[key] === value)) return stored;
      return await nodes.patch(name, undefined, "merge", { metadata: { labels } });
    } catch (error) {
      // Deleted or changed in between: look again.
      if ((isNotFound(error) || isConflict(error)) && attempt < conflictsMax) continue;
      throw error;
    }
  }
}
