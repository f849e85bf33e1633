import type { Drill } from "../drill.ts";
import { untouchedMasters } from "./untouched-masters.ts";

/** Longer than the grace of a silent node. */
const holdMillis = 24_000;

export const nodeKill: Drill = {
  name: "node-kill",
  summary: "a node is killed with all that runs on it: its pods run elsewhere, the others stay",
  world: "cluster",
  pods: true,
  thresholds: { ...untouchedMasters, recoveryMillis: 30_000 },
  async fault(scene) {
    const node = scene.victimProcess("node");
    scene.struckNodes.add(node.name);
    scene.kill(node);
    await scene.holdInFull(holdMillis);
  },
};
