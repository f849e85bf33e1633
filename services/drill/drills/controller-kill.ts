import type { Drill } from "../drill.ts";
import { scalesOnward } from "./loop-work.ts";

export const controllerKill: Drill = {
  name: "controller-kill",
  summary:
    "the leading controller manager is killed: the other one goes on, and does nothing twice",
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
  ...scalesOnward("kube-controller-manager", "controller-manager"),
};
