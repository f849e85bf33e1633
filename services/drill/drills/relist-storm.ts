import type { Drill } from "../drill.ts";
import type { Scene } from "../scene.ts";

const stormSize = 60;

export const relistStorm: Drill = {
  name: "relist-storm",
  summary: "60 clients lose their caches at once, and list and watch anew: writes go on",
  world: "masters",
  thresholds: {
    writeOutageMillis: 1_000,
    readOutageMillis: 1_000,
    watchOutageMillis: 1_500,
    failedCalls: 0,
    relists: 0,
    elections: 0,
  },
  async fault(scene) {
    const calm = new AbortController();
    scene.strike(`${stormSize} clients list and watch anew`, async () => calm.abort());
    const storm = Array.from({ length: stormSize }, (_, i) => relist(scene, i, calm.signal));
    const fell = await Promise.all(storm);
    const failed = fell.filter((why) => why !== undefined);
    if (failed.length > 0) scene.fail(`${failed.length} relists failed: ${failed[0]}`);
    await scene.hold(1_000);
  },
};

/** Answers why it failed. It has done with its first event, or when the storm is over. */
async function relist(scene: Scene, i: number, calm: AbortSignal): Promise<string | undefined> {
  const { face } = scene;
  const leave = new AbortController();
  calm.addEventListener("abort", () => leave.abort(), { once: true });
  try {
    const { revision } = await face.list();
    for await (const _ of face.watch(revision, i, leave.signal)) break;
    return undefined;
  } catch (thrown) {
    return calm.aborted ? undefined : (thrown as Error).message;
  } finally {
    leave.abort();
  }
}
