import { on, type Plugin, refuseForGood } from "../framework/mod.ts";

const otherNode = refuseForGood("node(s) didn't match the requested node name");

/** A pod that names its node goes there only. */
export const nodeName: Plugin = {
  name: "NodeName",
  alike: ({ pod }) => pod.spec?.nodeName ?? "",
  events: [on("Node", ["added"])],
  preFilter: ({ pod }) => ({ skip: !pod.pod.spec?.nodeName }),
  filter: ({ pod }, node) => (pod.pod.spec?.nodeName === node.name ? undefined : otherNode),
};
