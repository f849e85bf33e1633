import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Node } from "../../../proto/gen/core.ts";
import { keyOf } from "../../client/mod.ts";
import type { Controller } from "../types.ts";
import { NodeRanges, type NodeRangesOptions } from "./ranges.ts";

/** Ranges are given in memory, without a pause: several at a time never give the same one away. */
const workers = 10;

/** Gives every node its own range of pod addresses: spec.podCIDR. */
export function nodeIpamController(options: NodeRangesOptions): Controller {
  // Refuses wrong options at once.
  new NodeRanges(options);
  return {
    name: "node-ipam",
    informers: ["Node"],
    workers,
    start({ client, informer, log, on, queue, recorder, write }) {
      const ranges = new NodeRanges(options);
      /** Nodes that found no free range. */
      const unserved = new Set<string>();
      const seen = (node: Node) => {
        const { podCIDR } = node.spec ?? {};
        if (podCIDR) ranges.note(keyOf(node), podCIDR);
        else queue.add(keyOf(node));
      };
      on("Node", {
        added: seen,
        updated: (_, node) => seen(node),
        deleted(node) {
          ranges.release(keyOf(node));
          unserved.delete(keyOf(node));
          for (const name of unserved) queue.add(name);
        },
      });
      return async (name) => {
        const node = informer("Node").lister.get(name);
        if (!node || node.spec?.podCIDR || node.metadata?.deletionTimestamp) return;
        // A range whose write has failed stays with its node: the write may have arrived.
        const podCIDR = ranges.claim(name);
        if (podCIDR === undefined) {
          unserved.add(name);
          const text = `no range of /${options.nodeMaskSize} is left in ${options.clusterCidr}`;
          const about = { ...node, apiVersion: "v1", kind: "Node" };
          recorder.event(about, "Warning", "CIDRNotAvailable", text);
          throw new StatusError(Code.resourceExhausted, text);
        }
        unserved.delete(name);
        const patch = {
          metadata: { uid: node.metadata?.uid },
          spec: { podCIDR, podCIDRs: [podCIDR] },
        };
        await client.nodes.patch(name, undefined, "merge", patch, write);
        log.info("gave a node its range of pod addresses", { node: name, podCIDR });
      };
    },
  };
}
