import type { Drill } from "../drill.ts";
import { scalesOnward } from "./loop-work.ts";
import { untouchedMasters } from "./untouched-masters.ts";

export const schedulerKill: Drill = {
  name: "scheduler-kill",
  summary: "the leading scheduler is killed: the other one binds, once, what is waiting",
  world: "cluster",
  pods: true,
  thresholds: { ...untouchedMasters, recoveryMillis: 25_000 },
  ...scalesOnward("kube-scheduler", "scheduler"),
};
