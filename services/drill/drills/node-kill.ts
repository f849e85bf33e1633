import type { Drill } from "../drill.ts";
import { apiClient, isReady } from "../pods.ts";
import type { Scene } from "../scene.ts";
import { until } from "../world/world.ts";
import { untouchedMasters } from "./untouched-masters.ts";

/** Longer than the grace of a silent node. */
const holdMillis = 24_000;
const elsewhereMillisMax = 60_000;

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
    await Promise.all([scene.holdInFull(holdMillis), timeReplacement(scene, node.name)]);
  },
};

/** Tells how long after the kill as many pods as before are ready, none of them on the lost node. */
async function timeReplacement(scene: Scene, lostNode: string): Promise<void> {
  const client = apiClient(scene.world);
  const killed = scene.recorder.now();
  const ready = async () =>
    (await client.pods.list({ namespace: "default" })).items.filter(isReady);
  try {
    // The API does not know of the loss yet.
    const wanted = (await ready()).length;
    const elsewhere = async () => {
      const found = (await ready()).filter(({ spec }) => spec?.nodeName !== lostNode);
      return found.length >= wanted;
    };
    await until("the lost pods elsewhere", elsewhere, elsewhereMillisMax, scene.signal);
    scene.fact("ms until lost pods ran elsewhere", Math.round(scene.recorder.now() - killed));
  } finally {
    client.close();
  }
}
