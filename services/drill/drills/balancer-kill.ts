import type { Drill } from "../drill.ts";

export const balancerKill: Drill = {
  name: "balancer-kill",
  summary: "a balancer is killed: its clients go to the other one, and repeat what had no answer",
  world: "cluster",
  thresholds: {
    writeOutageMillis: 300,
    readOutageMillis: 300,
    watchOutageMillis: 500,
    failedCalls: 0,
    relists: 0,
    elections: 0,
    recoveryMillis: 10_000,
  },
  async fault(scene) {
    scene.kill(scene.victimProcess("balancer"));
    await scene.hold(2_000);
  },
};
