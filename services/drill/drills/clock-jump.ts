import type { Drill } from "../drill.ts";

const hourMillis = 3_600_000;

export const clockJump: Drill = {
  name: "clock-jump",
  summary: "the leader's wall clock jumps an hour ahead, and back: leases and leaders stay",
  world: "masters",
  needsFaults: true,
  pods: true,
  thresholds: {
    writeOutageMillis: 300,
    readOutageMillis: 300,
    watchOutageMillis: 500,
    failedCalls: 0,
    relists: 0,
    elections: 0,
    podsDisturbed: 0,
    containersTwice: 0,
    recoveryMillis: 10_000,
  },
  async fault(scene) {
    const leader = await scene.victim("leader");
    await scene.setFaults(`the clock of ${leader.name} is an hour ahead`, [
      [leader, { peers: [], clockOffsetMillis: hourMillis }],
    ]);
    await scene.hold(3_000);
  },
};
