import type { Drill } from "../drill.ts";
import { scalesOnward } from "./loop-work.ts";
import { untouchedMasters } from "./untouched-masters.ts";

export const controllerKill: Drill = {
  name: "controller-kill",
  summary:
    "the leading controller manager is killed: the other one goes on, and does nothing twice",
  world: "cluster",
  pods: true,
  thresholds: { ...untouchedMasters, recoveryMillis: 25_000 },
  ...scalesOnward("kube-controller-manager", "controller-manager"),
};
