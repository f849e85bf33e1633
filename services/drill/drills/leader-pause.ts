import type { Drill } from "../drill.ts";

export const leaderPause: Drill = {
  name: "leader-pause",
  summary: "the leading master is stopped and goes on later: it must not act on what it remembers",
  world: "masters",
  thresholds: {
    writeOutageMillis: 1_500,
    readOutageMillis: 1_500,
    watchOutageMillis: 1_500,
    failedCalls: 0,
    relists: 0,
    elections: 1,
    recoveryMillis: 10_000,
  },
  async fault(scene) {
    scene.stop(await scene.victim("leader"));
    await scene.hold(5_000);
  },
};
