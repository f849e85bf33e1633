import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Node } from "../../../proto/gen/core.ts";
import { keyOf } from "../../client/mod.ts";
import type { Controller } from "../types.ts";
import { clusterRanges, type NodeIpamOptions } from "./options.ts";

/** Ranges are given in memory, without a pause: several at a time never give the same one away. */
const workers = 10;

/** Gives every node its own range of pod addresses, one of each family: spec.podCIDRs. */
export function nodeIpamController(options: NodeIpamOptions): Controller {
  // Refuses wrong options at once.
  clusterRanges(options);
  return {
    name: "node-ipam",
    informers: ["Node"],
    workers,
    start({ client, informer, log, on, queue, recorder, write }) {
      const ranges = clusterRanges(options);
      /** Nodes that found no free range. */
      const unserved = new Set<string>();
      const release = (name: string) => {
        for (const each of ranges) each.release(name);
      };
      const seen = (node: Node) => {
        const { podCIDRs = [] } = node.spec ?? {};
        if (podCIDRs.length === 0) queue.add(keyOf(node));
        else for (const each of ranges) each.note(keyOf(node), podCIDRs);
      };
      on("Node", {
        added: seen,
        updated: (_, node) => seen(node),
        deleted(node) {
          release(keyOf(node));
          unserved.delete(keyOf(node));
          for (const name of unserved) queue.add(name);
        },
      });
      return async (name) => {
        const node = informer("Node").lister.get(name);
        if (!node || node.spec?.podCIDRs?.length || node.metadata?.deletionTimestamp) return;
        // A range whose write has failed stays with its node: the write may have arrived.
        const podCIDRs = ranges.flatMap((each) => each.claim(name) ?? []);
        if (podCIDRs.length < ranges.length) {
          release(name);
          unserved.add(name);
          const text = `no range for the node is left in ${options.clusterCidr}`;
          const about = { ...node, apiVersion: "v1", kind: "Node" };
          recorder.event(about, "Warning", "CIDRNotAvailable", text);
          throw new StatusError(Code.resourceExhausted, text);
        }
        unserved.delete(name);
        const patch = {
          metadata: { uid: node.metadata?.uid },
          spec: { podCIDR: podCIDRs[0], podCIDRs },
        };
        await client.nodes.patch(name, undefined, "merge", patch, write);
        log.info("gave a node its range of pod addresses", { node: name, podCIDRs });
      };
    },
  };
}
