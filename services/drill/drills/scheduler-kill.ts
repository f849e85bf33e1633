import type { Drill } from "../drill.ts";
import { scalesOnward } from "./loop-work.ts";

export const schedulerKill: Drill = {
  name: "scheduler-kill",
  summary: "the leading scheduler is killed: the other one binds, once, what is waiting",
  world: "cluster",
  pods: true,
  thresholds: {
    writeOutageMillis: 1_000,
    readOutageMillis: 1_000,
    watchOutageMillis: 1_500,
    failedCalls: 0,
    relists: 0,
    elections: 0,
    podsDisturbed: 0,
    containersTwice: 0,
    recoveryMillis: 25_000,
  },
  ...scalesOnward("kube-scheduler", "scheduler"),
};
