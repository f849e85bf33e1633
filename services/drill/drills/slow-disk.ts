import type { Drill } from "../drill.ts";

const slowMillis = 300;

export const slowDisk: Drill = {
  name: "slow-disk",
  summary: "the leader's disk takes 300 ms a write: the quorum of the others goes on without it",
  world: "masters",
  needsFaults: true,
  thresholds: {
    writeOutageMillis: 500,
    readOutageMillis: 500,
    watchOutageMillis: 1_000,
    failedCalls: 0,
    relists: 0,
    elections: 0,
    recoveryMillis: 10_000,
  },
  async fault(scene) {
    const leader = await scene.victim("leader");
    const disk = { slowMillis };
    const name = `the disk of ${leader.name} takes ${slowMillis} ms a write`;
    await scene.setFaults(name, [[leader, { peers: [], disk }]]);
    await scene.hold(3_000);
  },
};
