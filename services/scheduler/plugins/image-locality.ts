import { type Plugin, StateKey } from "../framework/mod.ts";

const mebibyte = 1024 * 1024;
/** Below the first nothing is gained by locality; above the second nothing more (upstream). */
const bytesMin = 23 * mebibyte;
const bytesMaxPerContainer = 1000 * mebibyte;

interface Wanted {
  /** The pod's images, and which share of all nodes has each. */
  readonly images: readonly { readonly name: string; readonly spread: number }[];
  readonly bytesMax: number;
}
const wanted = new StateKey<Wanted>("ImageLocality");

/** Prefers nodes that have the pod's images, the larger the more. */
export const imageLocality: Plugin = {
  name: "ImageLocality",
  preScore(cycle) {
    const { snapshot, pod } = cycle;
    const containers = pod.pod.spec?.containers ?? [];
    const images = containers.map(({ image }) => {
      const name = normalizedName(image ?? "");
      // An image that few nodes have counts less, so that they are not flooded.
      return { name, spread: snapshot.nodesWithImage(name) / snapshot.nodes.length };
    });
    if (images.every(({ spread }) => spread === 0)) return "skip";
    cycle.write(wanted, { images, bytesMax: bytesMaxPerContainer * containers.length });
    return undefined;
  },
  score: {
    weight: 1,
    points(cycle, node) {
      const { images, bytesMax } = cycle.read(wanted);
      let sum = 0;
      for (const { name, spread } of images) sum += (node.images.get(name) ?? 0) * spread;
      const within = Math.min(Math.max(sum, bytesMin), bytesMax);
      return (100 * (within - bytesMin)) / (bytesMax - bytesMin);
    },
  },
};

function normalizedName(image: string): string {
  const afterSlash = image.slice(image.lastIndexOf("/") + 1);
  return afterSlash.includes(":") || afterSlash.includes("@") ? image : `${image}:latest`;
}
