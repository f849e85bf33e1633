import { type Plugin, refuse } from "../framework/mod.ts";

/** A pod with gates is not tried until their owners have removed them all (KEP-3521). */
export const schedulingGates: Plugin = {
  name: "SchedulingGates",
  preEnqueue({ pod }) {
    const gates = (pod.spec?.schedulingGates ?? []).map(({ name = "" }) => name);
    return gates.length === 0
      ? undefined
      : refuse(`waiting for scheduling gates: [${gates.join(" ")}]`);
  },
};
