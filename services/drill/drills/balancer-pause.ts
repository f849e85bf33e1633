import type { Drill } from "../drill.ts";

export const balancerPause: Drill = {
  name: "balancer-pause",
  summary: "a balancer is stopped and goes on: its clients notice the silence and go elsewhere",
  world: "cluster",
  thresholds: {
    writeOutageMillis: 1_500,
    readOutageMillis: 1_500,
    watchOutageMillis: 2_500,
    failedCalls: 0,
    relists: 0,
    elections: 0,
    recoveryMillis: 10_000,
  },
  async fault(scene) {
    scene.stop(scene.victimProcess("balancer"));
    await scene.hold(3_000);
  },
};
