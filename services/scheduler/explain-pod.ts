/** A scheduling cycle of one pod over the present state of the cluster, without its effects. */
import type { Pod } from "../../proto/gen/core.ts";
import {
  IndexStore,
  type KindName,
  keyOf,
  type ObjectTypes,
  type TriremeClient,
} from "../client/mod.ts";
import { isFinished } from "../kinds/facts.ts";
import { ClusterCache } from "./cache.ts";
import { Cycle, type Explanation, Framework, type Plugin } from "./framework/mod.ts";
import { podInfo } from "./pod-info.ts";
import { type Listers, volumeLookup } from "./volume-lookup.ts";
import { workloadLookup } from "./workload-lookup.ts";

export interface PodExplanation extends Explanation {
  /** Why the pod is not even tried. */
  readonly waiting: string | undefined;
}

const kinds = [
  ...(["Node", "Pod", "NodeLiveness", "Namespace", "Service", "ReplicationController"] as const),
  ...(["ReplicaSet", "StatefulSet", "PodDisruptionBudget", "PersistentVolumeClaim"] as const),
  ...(["PersistentVolume", "StorageClass", "CSINode"] as const),
];

/** A pod that is on a node is judged as if it had to be placed again. */
export async function explainPod(
  client: Pick<TriremeClient, "resource">,
  pod: Pod,
  plugins: readonly Plugin[],
): Promise<PodExplanation> {
  const listers = await listAll(client);
  const cache = new ClusterCache(volumeLookup(listers), workloadLookup(listers));
  for (const node of listers("Node").list()) cache.setNode(node);
  for (const each of listers("NodeLiveness").list()) cache.setLiveness(each);
  for (const each of listers("Pod").list()) {
    cache.setPod(each);
    const nominated = each.status?.nominatedNodeName;
    if (nominated && !each.spec?.nodeName && !isFinished(each)) {
      cache.snapshot.nominations.set(podInfo(each), nominated);
    }
  }
  cache.removePod(keyOf(pod));
  const { nodeName: _, ...spec } = pod.spec ?? {};
  const wanted = podInfo({ ...pod, spec });
  const framework = new Framework({ plugins, random: () => 0, after: () => () => {} });
  const waiting = framework.preEnqueue(wanted)?.reasons.join(", ");
  return { ...framework.explain(new Cycle(wanted, cache.snapshot)), waiting };
}

async function listAll(client: Pick<TriremeClient, "resource">): Promise<Listers> {
  const stores = new Map<KindName, IndexStore<ObjectTypes[KindName]>>();
  await Promise.all(
    kinds.map(async (kind) => {
      const store = new IndexStore<ObjectTypes[KindName]>();
      let next: string | undefined;
      do {
        const page = await client.resource(kind).list({
          limit: pageSize,
          ...(next !== undefined && { continue: next }),
        });
        for (const object of page.items) store.set(object);
        next = page.continue;
      } while (next !== undefined);
      stores.set(kind, store);
    }),
  );
  return <K extends KindName>(kind: K) => {
    const store = stores.get(kind) ?? new IndexStore<ObjectTypes[KindName]>();
    return store as unknown as IndexStore<ObjectTypes[K]>;
  };
}

const pageSize = 500;
