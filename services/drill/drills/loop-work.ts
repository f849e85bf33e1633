/** Work for the control loops: pods that are wanted while the loop that makes or places them dies. */
import type { Drill } from "../drill.ts";
import { apiClient } from "../pods.ts";
import type { Scene } from "../scene.ts";
import { until } from "../world/world.ts";
import { holderOf } from "./holder.ts";

const replicas = 3;
const placedMillisMax = 40_000;

/** Kills the holder of the lease; a Deployment made after that must come up all the same. */
export function scalesOnward(
  lease: string,
  role: "scheduler" | "controller-manager",
): Pick<Drill, "fault" | "recovered"> {
  return {
    async fault(scene) {
      scene.kill(scene.victimProcess(role, await holderOf(scene.world, lease, role)));
      await createWork(scene);
      await scene.hold(1_000);
    },
    recovered: async (scene) => {
      await workDone(scene);
    },
  };
}

const work = "drill-work";

async function createWork(scene: Scene): Promise<void> {
  const client = apiClient(scene.world);
  const labels = { app: work };
  const container = { name: "main", image: "sh", command: ["sleep", "3600"] };
  const spec = { containers: [container], terminationGracePeriodSeconds: 0 };
  try {
    await client.deployments.create({
      metadata: { name: work, namespace: "default" },
      spec: {
        replicas,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec },
      },
    });
  } finally {
    client.close();
  }
}

/** Every pod is placed, there are no more than were wanted, and they go again. */
async function workDone(scene: Scene): Promise<void> {
  const client = apiClient(scene.world);
  const labelSelector = `app=${work}`;
  const pods = async () => (await client.pods.list({ namespace: "default", labelSelector })).items;
  try {
    const placed = await until(
      `${replicas} placed pods`,
      async () => {
        const all = await pods();
        return all.length >= replicas && all.every(({ spec }) => spec?.nodeName) && all;
      },
      placedMillisMax,
      scene.signal,
    );
    if (placed.length > replicas) {
      scene.fail(`${placed.length} pods were made where ${replicas} were wanted`);
    }
    await client.deployments.delete(work, "default");
    const gone = async () => (await pods()).length === 0;
    await until("those pods to be gone", gone, placedMillisMax, scene.signal);
  } finally {
    client.close();
  }
}
