import type { NodeInfo } from "../node-info.ts";
import type { Diagnosis } from "./types.ts";

/** No node was found: the reason as the user reads it, and which plugins refused. */
export interface Unschedulable {
  readonly message: string;
  readonly plugins: ReadonlySet<string>;
  readonly diagnosis: Diagnosis;
}

export type Placement = { readonly node: NodeInfo } | { readonly refusal: Unschedulable };

const nothing: Diagnosis = new Map();

export function placementRefused(
  message: string,
  plugins: ReadonlySet<string>,
  diagnosis: Diagnosis = nothing,
): Placement {
  return { refusal: { message, plugins, diagnosis } };
}

/** `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.` */
export function explain(nodes: number, reasons: ReadonlyMap<string, number>): string {
  const parts = [...reasons].map(([reason, count]) => `${count} ${reason}`).sort();
  return `0/${nodes} nodes are available: ${parts.join(", ")}.`;
}

export function explainDiagnosis(nodes: number, diagnosis: Diagnosis): Placement {
  const counts = new Map<string, number>();
  const plugins = new Set<string>();
  for (const { plugin, refusal } of diagnosis.values()) {
    plugins.add(plugin);
    for (const reason of refusal.reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  return placementRefused(explain(nodes, counts), plugins, diagnosis);
}
