import type { Drill } from "../drill.ts";
import type { Scene } from "../scene.ts";

export const quorumLoss: Drill = {
  name: "quorum-loss",
  summary: "two of three masters stop: nothing is acknowledged until one of them goes on",
  world: "masters",
  thresholds: { failedCalls: 0, relists: 0, recoveryMillis: 15_000 },
  async fault(scene) {
    const leader = await scene.victim("leader");
    const majority = Math.floor(scene.world.members.length / 2);
    const others = scene.world.members.filter((member) => member !== leader);
    for (const member of [leader, ...others.slice(0, majority)]) scene.stop(member);
    await silent(scene, 3_000);
  },
};

/** What was acknowledged before the fault may still be on its way to the client for so long. */
const onItsWayMillis = 250;

async function silent(scene: Scene, millis: number): Promise<void> {
  const { recorder } = scene;
  const t = recorder.now() + onItsWayMillis;
  await scene.hold(millis);
  recorder.mark({ kind: "silence", t, end: recorder.now() });
}
