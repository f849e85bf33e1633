import type { Plugin } from "../framework.ts";

const mebibyte = 1024 * 1024;
/** Below the first nothing is gained by locality; above the second nothing more (upstream). */
const bytesMin = 23 * mebibyte;
const bytesMaxPerContainer = 1000 * mebibyte;

/** Prefers nodes that have the pod's images, the larger the more. */
export const imageLocality: Plugin = {
  name: "ImageLocality",
  events: [],
  score: {
    weight: 1,
    normalize: "none",
    points({ pod, nodes }, { images }) {
      const containers = pod.pod.spec?.containers ?? [];
      if (containers.length === 0) return 0;
      let sum = 0;
      for (const { image } of containers) {
        const name = normalizedName(image ?? "");
        const size = images.get(name);
        if (size === undefined) continue;
        // An image that few nodes have counts less, so that they are not flooded.
        const having = nodes.filter((each) => each.images.has(name)).length;
        sum += size * (having / nodes.length);
      }
      const bytesMax = bytesMaxPerContainer * containers.length;
      const within = Math.min(Math.max(sum, bytesMin), bytesMax);
      return (100 * (within - bytesMin)) / (bytesMax - bytesMin);
    },
  },
};

function normalizedName(image: string): string {
  const afterSlash = image.slice(image.lastIndexOf("/") + 1);
  return afterSlash.includes(":") || afterSlash.includes("@") ? image : `${image}:latest`;
}
