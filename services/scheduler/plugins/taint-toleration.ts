import { tolerates } from "../../kinds/facts.ts";
import { normalizeFewest, on, type Plugin, refuseForGood } from "../framework/mod.ts";

/** Keeps pods off tainted nodes; PreferNoSchedule only costs points. */
export const taintToleration: Plugin = {
  name: "TaintToleration",
  alike: ({ pod }) => JSON.stringify(pod.spec?.tolerations ?? []),
  events: [
    on("Node", ["added", "updated"], ({ pod }, { next }) =>
      (next?.spec?.taints ?? []).every(
        (taint) => taint.effect === "PreferNoSchedule" || tolerates(pod.spec?.tolerations, taint),
      ),
    ),
  ],
  filter({ pod }, { taints }) {
    if (taints.length === 0) return undefined;
    const taint = taints.find((each) => !tolerates(pod.pod.spec?.tolerations, each));
    if (!taint) return undefined;
    const { key = "", value = "" } = taint;
    return refuseForGood(`node(s) had untolerated taint {${key}: ${value}}`);
  },
  preScore: ({ snapshot }, nodes) =>
    snapshot.hasAvoided && nodes.some(({ avoidances }) => avoidances.length > 0)
      ? undefined
      : "skip",
  score: {
    weight: 3,
    normalize: normalizeFewest,
    points({ pod }, { avoidances }) {
      if (avoidances.length === 0) return 0;
      return avoidances.filter((taint) => !tolerates(pod.pod.spec?.tolerations, taint)).length;
    },
  },
};
