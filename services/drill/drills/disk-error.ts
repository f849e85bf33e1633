import type { Drill } from "../drill.ts";
import { failDisk } from "./failing-disk.ts";

export const diskError: Drill = {
  name: "disk-error",
  summary: "a follower's disk fails: it acknowledges nothing more, and the others go on",
  world: "masters",
  needsFaults: true,
  thresholds: {
    writeOutageMillis: 300,
    readOutageMillis: 500,
    watchOutageMillis: 1_500,
    failedCalls: 0,
    relists: 0,
    elections: 0,
    recoveryMillis: 15_000,
  },
  async fault(scene) {
    await failDisk(scene, await scene.victim("follower"), "io");
    await scene.hold(2_000);
  },
};
