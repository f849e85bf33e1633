import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { keyOf } from "../client/mod.ts";
import type { Controller } from "./types.ts";

export interface NodeIpamOptions {
  /** Range that the nodes' ranges are taken from, e.g. 127.64.0.0/10. */
  readonly clusterCidr: string;
  /** Prefix length of one node's range. */
  readonly nodeMaskSize: number;
}

/** Gives every node its own range of pod addresses: spec.podCIDR. */
export function nodeIpamController(options: NodeIpamOptions): Controller {
  const ranges = parseRanges(options);
  return {
    name: "node-ipam",
    informers: ["Node"],
    // One, because two could give the same range away.
    workers: 1,
    start({ client, informer, log, on, queue, recorder, write }) {
      /** Given by this controller, perhaps not in the cache yet; by node name. */
      const given = new Map<string, string>();
      const enqueue = (node: { metadata?: { name?: string | undefined } | undefined }) =>
        queue.add(keyOf(node));
      on("Node", {
        added: enqueue,
        updated: (_, node) => enqueue(node),
        deleted(node) {
          given.delete(keyOf(node));
          // A range came free: nodes that found none may have it.
          for (const each of informer("Node").lister.list()) {
            if (!each.spec?.podCIDR) enqueue(each);
          }
        },
      });
      return async (name) => {
        const { lister } = informer("Node");
        const node = lister.get(name);
        if (!node || node.spec?.podCIDR || node.metadata?.deletionTimestamp) return;
        const taken = new Set(lister.list().map((each) => each.spec?.podCIDR));
        for (const [holder, range] of given) if (holder !== name) taken.add(range);
        const podCIDR = ranges.firstFree(taken);
        if (podCIDR === undefined) {
          const text = `no range of /${options.nodeMaskSize} is left in ${options.clusterCidr}`;
          recorder.event(
            { ...node, apiVersion: "v1", kind: "Node" },
            "Warning",
            "CIDRNotAvailable",
            text,
          );
          throw new StatusError(Code.resourceExhausted, text);
        }
        given.set(name, podCIDR);
        const spec = { ...node.spec, podCIDR, podCIDRs: [podCIDR] };
        try {
          await client.nodes.update({ ...node, spec }, write);
        } catch (error) {
          given.delete(name);
          throw error;
        }
        log.info("gave a node its range of pod addresses", { node: name, podCIDR });
      };
    },
  };
}

interface Ranges {
  firstFree(taken: ReadonlySet<string | undefined>): string | undefined;
}

function parseRanges({ clusterCidr, nodeMaskSize }: NodeIpamOptions): Ranges {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(clusterCidr);
  const bytes = match?.slice(1, 5).map(Number) ?? [];
  const prefix = Number(match?.[5]);
  if (!match || bytes.some((byte) => byte > 255) || prefix < 1 || prefix > 30) {
    throw new StatusError(
      Code.invalidArgument,
      `--cluster-cidr: "${clusterCidr}" is not an IPv4 range such as 127.64.0.0/10`,
    );
  }
  if (!Number.isInteger(nodeMaskSize) || nodeMaskSize <= prefix || nodeMaskSize > 30) {
    throw new StatusError(
      Code.invalidArgument,
      `--node-cidr-mask-size: ${nodeMaskSize} must be from ${prefix + 1} to 30`,
    );
  }
  const address = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
  const base = address - (address % 2 ** (32 - prefix));
  const count = 2 ** (nodeMaskSize - prefix);
  return {
    firstFree(taken) {
      for (let index = 0; index < count; index++) {
        const range = `${dotted(base + index * 2 ** (32 - nodeMaskSize))}/${nodeMaskSize}`;
        if (!taken.has(range)) return range;
      }
      return undefined;
    },
  };
}

function dotted(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");
}
