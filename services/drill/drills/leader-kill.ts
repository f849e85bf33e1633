import type { Drill } from "../drill.ts";

export const leaderKill: Drill = {
  name: "leader-kill",
  summary: "the leading master is killed: another leads within 300 ms, and nothing is lost",
  world: "masters",
  thresholds: {
    writeOutageMillis: 300,
    readOutageMillis: 300,
    watchOutageMillis: 500,
    failedCalls: 0,
    relists: 0,
    elections: 1,
    recoveryMillis: 15_000,
  },
  async fault(scene) {
    scene.killMember(await scene.victim("leader"));
    await scene.hold(1_500);
  },
};
