import type { Drill } from "../drill.ts";
import { untouchedMasters } from "./untouched-masters.ts";

/** Longer than the grace of a silent node. */
const holdMillis = 24_000;

export const nodePartition: Drill = {
  name: "node-partition",
  summary: "a node falls silent, its containers run on: its pods run elsewhere, and end there late",
  world: "cluster",
  pods: true,
  thresholds: { ...untouchedMasters, recoveryMillis: 30_000 },
  async fault(scene) {
    const node = scene.victimProcess("node");
    scene.struckNodes.add(node.name);
    for (const process of scene.world.nodeProcesses(node.name)) scene.stop(process);
    await scene.holdInFull(holdMillis);
  },
};
