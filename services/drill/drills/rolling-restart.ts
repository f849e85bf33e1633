import type { Drill } from "../drill.ts";

/**
 * What a roll-out leaves a master that is ready again before the next one is restarted, as
 * `minReadySeconds` of a Deployment does: the quorum then rests on members with warm code.
 */
const minReadyMillis = 3_000;

export const rollingRestart: Drill = {
  name: "rolling-restart",
  summary: "one master after the other is restarted in order: no client notices",
  world: "masters",
  thresholds: {
    writeOutageMillis: 150,
    readOutageMillis: 150,
    watchOutageMillis: 500,
    failedCalls: 0,
    relists: 0,
    elections: 3,
  },
  async fault(scene) {
    for (const member of scene.world.members) {
      scene.strike(`restart of ${member.name}`, async () => {});
      await scene.terminate(member);
      await scene.world.revive(member);
      await scene.whole();
      await scene.holdInFull(minReadyMillis);
    }
  },
};
