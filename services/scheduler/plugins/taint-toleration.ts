import { tolerates } from "../../kinds/mod.ts";
import type { Plugin } from "../framework.ts";

/** Keeps pods off tainted nodes; PreferNoSchedule only costs points. */
export const taintToleration: Plugin = {
  name: "TaintToleration",
  events: ["nodeAdded", "nodeUpdated"],
  filter({ pod }, { node }) {
    const taint = node?.spec?.taints?.find(
      (each) =>
        (each.effect === "NoSchedule" || each.effect === "NoExecute") &&
        !tolerates(pod.pod.spec?.tolerations, each),
    );
    if (!taint) return [];
    return [`node(s) had untolerated taint {${taint.key ?? ""}: ${taint.value ?? ""}}`];
  },
  score: {
    weight: 3,
    normalize: "fewest",
    points({ pod }, { node }) {
      const taints = node?.spec?.taints ?? [];
      return taints.filter(
        (taint) =>
          taint.effect === "PreferNoSchedule" && !tolerates(pod.pod.spec?.tolerations, taint),
      ).length;
    },
  },
};
