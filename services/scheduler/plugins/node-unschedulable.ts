import { tolerates } from "../../kinds/facts.ts";
import { on, type Plugin, refuseForGood } from "../framework/mod.ts";

const taint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" } as const;
const cordoned = refuseForGood("node(s) were unschedulable");

/** Cordoned nodes take no new pods, unless a pod tolerates the taint of that name. */
export const nodeUnschedulable: Plugin = {
  name: "NodeUnschedulable",
  alike: () => "",
  events: [on("Node", ["added", "updated"], (_pod, { next }) => !next?.spec?.unschedulable)],
  preFilter: ({ pod }) => ({ skip: tolerates(pod.pod.spec?.tolerations, taint) }),
  filter: (_cycle, { node }) => (node?.spec?.unschedulable ? cordoned : undefined),
};
