import type { Drill } from "../drill.ts";

/** Longer than the grace of a silent node. */
const holdMillis = 24_000;

export const nodePartition: Drill = {
  name: "node-partition",
  summary: "a node falls silent, its containers run on: its pods run elsewhere, and end there late",
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
    for (const process of scene.world.nodeProcesses(node.name)) scene.stop(process);
    await scene.holdInFull(holdMillis);
  },
};
