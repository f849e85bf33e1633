/** The CSINode of this node: which drivers it has, and what they call it (upstream nodeinfomanager). */
import type { Node } from "../../../proto/gen/core.ts";
import type { NodeGetInfoResponse } from "../../../proto/gen/csi.ts";
import type { CSINodeDriver } from "../../../proto/gen/storage.ts";
import {
  isNotFound,
  type LoopClock,
  retryOnConflict,
  type TriremeClient,
} from "../../client/mod.ts";

/** Upstream's, for the controllers of drivers that read nodes alone. */
const idAnnotation = "csi.volume.kubernetes.io/nodeid";

/** Throws what the API answers. */
export class NodeDrivers {
  readonly #client: Pick<TriremeClient, "nodes" | "resource">;
  readonly #nodeName: string;
  readonly #clock: LoopClock;

  constructor(
    client: Pick<TriremeClient, "nodes" | "resource">,
    nodeName: string,
    clock: LoopClock,
  ) {
    this.#client = client;
    this.#nodeName = nodeName;
    this.#clock = clock;
  }

  /** The node, too, is told: its labels say where the driver's volumes can be reached from. */
  async add(name: string, info: NodeGetInfoResponse): Promise<void> {
    const { nodeId: nodeID = "", maxVolumesPerNode: count = 0, accessibleTopology } = info;
    const segments = accessibleTopology?.segments ?? {};
    const topologyKeys = Object.keys(segments).sort();
    await this.#changeNode((node) => ({
      labels: { ...node.metadata?.labels, ...segments },
      annotations: withIds(node, { ...idsOf(node), [name]: nodeID }),
    }));
    await this.#changeDrivers((drivers) => [
      ...drivers.filter((one) => one.name !== name),
      { name, nodeID, topologyKeys, ...(count > 0 && { allocatable: { count } }) },
    ]);
  }

  async remove(name: string): Promise<void> {
    await this.#changeDrivers((drivers) => drivers.filter((one) => one.name !== name));
    await this.#changeNode((node) => {
      const { [name]: _, ...ids } = idsOf(node);
      return { annotations: withIds(node, ids) };
    });
  }

  async #changeNode(change: (node: Node) => Node["metadata"]): Promise<void> {
    const { nodes } = this.#client;
    await retryOnConflict(async () => {
      const node = await nodes.get(this.#nodeName);
      await nodes.update({ ...node, metadata: { ...node.metadata, ...change(node) } });
    }, this.#clock);
  }

  async #changeDrivers(
    change: (drivers: readonly CSINodeDriver[]) => CSINodeDriver[],
  ): Promise<void> {
    const nodes = this.#client.resource("CSINode");
    const name = this.#nodeName;
    await retryOnConflict(async () => {
      const stored = await nodes.get(name).catch((error: unknown) => {
        if (isNotFound(error)) return undefined;
        throw error;
      });
      const drivers = change(stored?.spec?.drivers ?? []);
      if (stored !== undefined) {
        await nodes.update({ ...stored, spec: { drivers } });
        return;
      }
      const { uid } = (await this.#client.nodes.get(name)).metadata ?? {};
      const ownerReferences = [{ apiVersion: "v1", kind: "Node", name, uid }];
      await nodes.create({ metadata: { name, ownerReferences }, spec: { drivers } });
    }, this.#clock);
  }
}

function idsOf({ metadata }: Node): Record<string, string> {
  try {
    return JSON.parse(metadata?.annotations?.[idAnnotation] ?? "{}") as Record<string, string>;
  } catch {
    return {}; // written by another hand: the drivers say their ids anew
  }
}

/** The node's annotations; without ids, the one for them is not there. */
function withIds({ metadata }: Node, ids: Record<string, string>): Record<string, string> {
  const { [idAnnotation]: _, ...others } = metadata?.annotations ?? {};
  if (Object.keys(ids).length === 0) return others;
  return { ...others, [idAnnotation]: JSON.stringify(ids) };
}
