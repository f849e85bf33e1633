import type { Plugin } from "../framework.ts";

/** A pod that names its node goes there only. */
export const nodeName: Plugin = {
  name: "NodeName",
  events: ["nodeAdded"],
  filter({ pod }, node) {
    const wanted = pod.pod.spec?.nodeName;
    if (!wanted || wanted === node.name) return [];
    return ["node(s) didn't match the requested node name"];
  },
};
