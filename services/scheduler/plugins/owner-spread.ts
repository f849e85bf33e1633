import { normalizeFewest, type Plugin } from "../framework/mod.ts";

/**
 * Spreads the pods of one controller over the nodes, as upstream's default topology spread does. It
 * outweighs the scores for free room, so that three replicas on three nodes land on one each.
 */
export const ownerSpread: Plugin = {
  name: "PodTopologySpread",
  preScore: ({ pod }) => (pod.ownerUid === undefined ? "skip" : undefined),
  score: {
    weight: 6,
    normalize: normalizeFewest,
    points: ({ pod }, node) => (pod.ownerUid === undefined ? 0 : node.replicasOf(pod.ownerUid)),
  },
};
