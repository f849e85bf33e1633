import type { Plugin } from "../framework.ts";

/**
 * Spreads the pods of one controller over the nodes, as upstream's default topology spread does. It
 * outweighs the scores for free room, so that three replicas on three nodes land on one each.
 */
export const ownerSpread: Plugin = {
  name: "PodTopologySpread",
  events: [],
  score: {
    weight: 6,
    normalize: "fewest",
    points({ pod }, { pods }) {
      if (pod.ownerUid === undefined) return 0;
      let siblings = 0;
      for (const { ownerUid, pod: other } of pods.values()) {
        if (ownerUid === pod.ownerUid && !other.metadata?.deletionTimestamp) siblings++;
      }
      return siblings;
    },
  },
};
