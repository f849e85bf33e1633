import type { Drill } from "../drill.ts";

/** Longer than the grace of a silent node. */
const holdMillis = 24_000;

export const nodeKill: Drill = {
  name: "node-kill",
  summary: "a node is killed with all that runs on it: its pods run elsewhere, the others stay",
  world: "cluster",
  pods: true,
  thresholds: {
    writeOutageMillis: 1_000,
    readOutageMillis: 1_000,
    watchOutageMillis: 1_500,
    failedCalls: 0,
    relists: 0,
    elections: 0,
    podsDisturbed: 0,
    containersTwice: 0,
    recoveryMillis: 30_000,
  },
  async fault(scene) {
    const node = scene.victimProcess("node");
    scene.struckNodes.add(node.name);
    scene.kill(node);
    await scene.holdInFull(holdMillis);
  },
};
