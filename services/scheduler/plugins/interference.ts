import type { EventRecorder } from "../../client/mod.ts";
import { type Cycle, normalizeFewest, type Plugin, StateKey } from "../framework/mod.ts";
import type { NodeInfo } from "../node-info.ts";

/** From this share of time on, tasks are taken to wait because of the neighbours. */
const noticed = 0.05;
/** Owners that are remembered for having been told of. */
const toldMax = 10_000;

interface Avoided {
  readonly own: number;
  /** The most that any of the nodes has against the pod. */
  worst: number;
}

const avoided = new StateKey<Avoided>("Interference");

/** Keeps pods apart that have been seen to fight for CPUs. */
export const interference: Plugin = {
  name: "Interference",
  preScore(cycle, nodes) {
    const { ownerUid } = cycle.pod;
    const own = ownerUid === undefined ? 0 : cycle.snapshot.interference.of(ownerUid);
    if (own < noticed) return "skip";
    const worst = Math.max(...nodes.map((node) => against(cycle, node)));
    cycle.write(avoided, { own, worst });
    return worst === 0 ? "skip" : undefined;
  },
  score: { weight: 1, normalize: normalizeFewest, points: against },
};

/** What the owners on the node have been seen to do, the pod's own one included. */
function against({ snapshot }: Cycle, node: NodeInfo): number {
  let sum = 0;
  for (const owner of node.owners) {
    const share = snapshot.interference.of(owner);
    if (share >= noticed) sum += share;
  }
  return sum;
}

/** Says once for each owner that its pods are kept from others, and why. */
export function interferenceEvents(recorder: EventRecorder): Plugin {
  const told = new Set<string>();
  return {
    name: "InterferenceEvents",
    postBind(cycle, node) {
      const found = cycle.find(avoided);
      const { ownerUid, pod } = cycle.pod;
      if (found === undefined || ownerUid === undefined || told.has(ownerUid)) return;
      if (against(cycle, node) >= found.worst) return;
      if (told.size >= toldMax) told.clear();
      told.add(ownerUid);
      const owner = pod.metadata?.ownerReferences?.find(({ uid }) => uid === ownerUid);
      const percent = Math.round(100 * found.own);
      const text =
        `Where pods of ${owner?.kind} ${owner?.name} ran beside others, tasks waited for a CPU in ` +
        `${percent} % more of the time than elsewhere; ${node.name} was preferred to nodes with ` +
        `such neighbours`;
      recorder.event({ ...pod, kind: "Pod", apiVersion: "v1" }, "Normal", "Interference", text);
    },
  };
}
