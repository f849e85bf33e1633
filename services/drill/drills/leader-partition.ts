import type { Drill } from "../drill.ts";
import { isolated } from "./partitions.ts";

export const leaderPartition: Drill = {
  name: "leader-partition",
  summary: "the leading master is cut off from its peers, not from clients: it must answer nothing",
  world: "masters",
  needsFaults: true,
  thresholds: {
    writeOutageMillis: 1_500,
    readOutageMillis: 1_500,
    watchOutageMillis: 2_500,
    failedCalls: 0,
    relists: 0,
    elections: 1,
    recoveryMillis: 10_000,
  },
  async fault(scene) {
    const leader = await scene.victim("leader");
    await scene.setFaults(`partition of ${leader.name}`, isolated(scene.world.members, leader));
    await scene.hold(5_000);
  },
};
