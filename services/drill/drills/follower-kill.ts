import type { Drill } from "../drill.ts";

export const followerKill: Drill = {
  name: "follower-kill",
  summary: "a master that does not lead is killed: its clients go elsewhere, nobody is elected",
  world: "masters",
  thresholds: {
    writeOutageMillis: 300,
    readOutageMillis: 300,
    watchOutageMillis: 500,
    failedCalls: 0,
    relists: 0,
    elections: 0,
    recoveryMillis: 15_000,
  },
  async fault(scene) {
    scene.killMember(await scene.victim("follower"));
    await scene.hold(1_500);
  },
};
