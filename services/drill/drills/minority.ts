import type { Drill } from "../drill.ts";
import { isolated } from "./partitions.ts";

export const minority: Drill = {
  name: "minority",
  summary: "a follower is cut off and comes back: the others go on, and it disturbs no leader",
  world: "masters",
  needsFaults: true,
  thresholds: {
    writeOutageMillis: 300,
    readOutageMillis: 500,
    watchOutageMillis: 2_500,
    failedCalls: 0,
    relists: 0,
    elections: 0,
    recoveryMillis: 10_000,
  },
  async fault(scene) {
    const follower = await scene.victim("follower");
    await scene.setFaults(`partition of ${follower.name}`, isolated(scene.world.members, follower));
    await scene.hold(4_000);
  },
};
