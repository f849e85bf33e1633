import type { Drill } from "../drill.ts";

export const fullStop: Drill = {
  name: "full-stop",
  summary: "all masters are killed at once: what was acknowledged is there when they are back",
  world: "masters",
  thresholds: { failedCalls: 0, relists: 0, recoveryMillis: 20_000 },
  async fault(scene) {
    await scene.victim("leader");
    for (const member of scene.world.members) scene.kill(member);
    scene.strike("the masters are started again", async () => {
      await Promise.all(scene.world.members.map((member) => scene.world.revive(member)));
    });
    await scene.hold(500);
  },
};
