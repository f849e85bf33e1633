import { tolerates } from "../../kinds/mod.ts";
import type { Plugin } from "../framework.ts";

const taint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" } as const;

/** Cordoned nodes take no new pods, unless a pod tolerates the taint of that name. */
export const nodeUnschedulable: Plugin = {
  name: "NodeUnschedulable",
  events: ["nodeAdded", "nodeUpdated"],
  filter({ pod }, { node }) {
    if (!node?.spec?.unschedulable) return [];
    if (tolerates(pod.pod.spec?.tolerations, taint)) return [];
    return ["node(s) were unschedulable"];
  },
};
