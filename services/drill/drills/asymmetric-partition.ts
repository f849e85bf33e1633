import type { Drill } from "../drill.ts";
import { deafened } from "./partitions.ts";

export const asymmetricPartition: Drill = {
  name: "asymmetric-partition",
  summary: "the leading master is heard and hears nobody: it must step down, and another lead",
  world: "masters",
  needsFaults: true,
  thresholds: {
    writeOutageMillis: 3_000,
    readOutageMillis: 3_000,
    watchOutageMillis: 4_000,
    failedCalls: 0,
    relists: 0,
    elections: 2,
    recoveryMillis: 10_000,
  },
  async fault(scene) {
    const leader = await scene.victim("leader");
    await scene.setFaults(`${leader.name} hears nobody`, deafened(scene.world.members, leader));
    await scene.hold(5_000);
  },
};
