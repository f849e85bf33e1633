/** What every plugin says about every node: the answer to "why there?" and "why nowhere?". */
import type { NodeInfo } from "../node-info.ts";
import type { Refused } from "./alike.ts";
import type { Cycle } from "./cycle.ts";
import { nodeVerdicts, preFilter } from "./find-nodes.ts";
import { scorings } from "./score-nodes.ts";
import type { Plugin } from "./types.ts";

interface NodeExplanation {
  readonly node: string;
  /** Of every filter that refuses the pod; empty: the node is suitable. */
  readonly refusals: readonly { readonly plugin: string; readonly reasons: readonly string[] }[];
  /** Of a suitable node; `points` are 0 to 100 and count by `weight`. */
  readonly scores: readonly {
    readonly plugin: string;
    readonly weight: number;
    readonly points: number;
  }[];
  readonly total: number;
}

export interface Explanation {
  /** Why the pod fits nowhere, whatever the node. */
  readonly refusal?: string;
  /** Plugins that have nothing to say of this pod are not asked. */
  readonly nodes: readonly NodeExplanation[];
}

/** Asks for all nodes, where a scheduling cycle stops at enough of them. */
export function explainCycle(plugins: readonly Plugin[], cycle: Cycle): Explanation {
  const prepared = preFilter(plugins, cycle);
  if ("placement" in prepared) {
    const { placement } = prepared;
    const refusal = "refusal" in placement ? placement.refusal.message : "";
    return { refusal, nodes: [] };
  }
  const { nodes } = cycle.snapshot;
  const verdicts = new Map(nodes.map((node) => [node, nodeVerdicts(cycle, node)] as const));
  const suitable = nodes.filter((node) => verdicts.get(node)?.length === 0);
  const scores = scoresOf(plugins, cycle, suitable);
  return {
    nodes: nodes.map((node) => {
      const own = scores.get(node) ?? [];
      return {
        node: node.name,
        refusals: (verdicts.get(node) ?? []).map(toldOf),
        scores: own,
        total: own.reduce((sum, { weight, points }) => sum + weight * points, 0),
      };
    }),
  };
}

function toldOf({ plugin, refusal }: Refused): NodeExplanation["refusals"][number] {
  return { plugin, reasons: refusal.reasons };
}

function scoresOf(
  plugins: readonly Plugin[],
  cycle: Cycle,
  nodes: readonly NodeInfo[],
): ReadonlyMap<NodeInfo, NodeExplanation["scores"]> {
  const scores = new Map(nodes.map((node) => [node, [] as NodeExplanation["scores"][number][]]));
  if (nodes.length === 0) return scores;
  for (const { plugin, weight, points } of scorings(plugins, cycle, nodes)) {
    for (const [index, node] of nodes.entries()) {
      scores.get(node)?.push({ plugin, weight, points: points[index] ?? 0 });
    }
  }
  return scores;
}
