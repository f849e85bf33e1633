import type { Drill } from "../drill.ts";
import { failDisk } from "./failing-disk.ts";

export const diskFull: Drill = {
  name: "disk-full",
  summary: "the leader's disk is full: it names a successor, and is restarted when there is space",
  world: "masters",
  needsFaults: true,
  thresholds: {
    writeOutageMillis: 1_500,
    readOutageMillis: 1_500,
    watchOutageMillis: 2_000,
    failedCalls: 0,
    relists: 0,
    elections: 1,
    recoveryMillis: 15_000,
  },
  async fault(scene) {
    await failDisk(scene, await scene.victim("leader"), "full");
    await scene.hold(2_000);
  },
};
