/** The stages preFilter and filter: which nodes a pod can run on. */
import type { NodeInfo } from "../node-info.ts";
import type { Cycle } from "./cycle.ts";
import { explainDiagnosis, type Placement, placementRefused } from "./placement.ts";
import { type Plugin, type Refusal, refuseForGood } from "./types.ts";

/** A search goes on at least until so many nodes are found (upstream `minFeasibleNodesToFind`). */
const nodesToFindMin = 100;
const percentMin = 5;

/**
 * How many suitable nodes are enough: all up to a hundred; of larger clusters a share that falls
 * from 50 % to 5 % (upstream `numFeasibleNodesToFind`). Searches start where the last one ended.
 */
export function nodesToFind(nodes: number): number {
  if (nodes < nodesToFindMin) return nodes;
  const percent = Math.max(percentMin, 50 - Math.floor(nodes / 125));
  return Math.max(nodesToFindMin, Math.floor((nodes * percent) / 100));
}

export interface FoundNodes {
  /** At least one. */
  readonly nodes: readonly NodeInfo[];
  /** Nodes looked at, suitable or not. */
  readonly examined: number;
}

export function findNodes(
  plugins: readonly Plugin[],
  cycle: Cycle,
  from: number,
): FoundNodes | { readonly placement: Placement } {
  const prepared = preFilter(plugins, cycle);
  if ("placement" in prepared) return prepared;
  const { filters, allowed } = prepared;
  const { nodes } = cycle.snapshot;
  const enough = nodesToFind(nodes.length);
  const found: NodeInfo[] = [];
  const refused: [NodeInfo, Refused][] = [];
  const leftOut = allowed && {
    plugin: allowed.plugins[0] ?? "",
    refusal: refuseForGood(`node(s) didn't satisfy plugin(s) [${allowed.plugins.join(" ")}]`),
  };
  let examined = 0;
  while (examined < nodes.length && found.length < enough) {
    const node = nodes[(from + examined) % nodes.length] as NodeInfo;
    examined++;
    const why =
      leftOut && !allowed.names.has(node.name) ? leftOut : firstRefusal(filters, cycle, node);
    if (why) refused.push([node, why]);
    else found.push(node);
  }
  if (found.length > 0) return { nodes: found, examined };
  return { placement: explainDiagnosis(nodes.length, new Map(refused)) };
}

interface Refused {
  readonly plugin: string;
  readonly refusal: Refusal;
}

type Filter = Plugin & Required<Pick<Plugin, "filter">>;

interface Prepared {
  readonly filters: readonly Filter[];
  /** The nodes that preFilter left, and the plugins that left out the others. */
  readonly allowed: { readonly names: Set<string>; readonly plugins: string[] } | undefined;
}

function preFilter(
  plugins: readonly Plugin[],
  cycle: Cycle,
): Prepared | { readonly placement: Placement } {
  const filters: Filter[] = [];
  let allowed: { names: Set<string>; plugins: string[] } | undefined;
  for (const plugin of plugins) {
    const result = plugin.preFilter?.(cycle);
    if (result?.refusal) {
      const count = cycle.snapshot.nodes.length;
      const text = `0/${count} nodes are available: ${result.refusal.reasons.join(", ")}.`;
      return { placement: placementRefused(text, new Set([plugin.name])) };
    }
    if (result?.nodeNames) {
      const { nodeNames } = result;
      const names = allowed ? [...allowed.names].filter((name) => nodeNames.has(name)) : nodeNames;
      allowed = { names: new Set(names), plugins: [...(allowed?.plugins ?? []), plugin.name] };
    }
    if (!result?.skip && hasFilter(plugin)) filters.push(plugin);
  }
  return { filters, allowed };
}

function hasFilter(plugin: Plugin): plugin is Filter {
  return plugin.filter !== undefined;
}

function firstRefusal(
  filters: readonly Filter[],
  cycle: Cycle,
  node: NodeInfo,
): Refused | undefined {
  for (const filter of filters) {
    const refusal = filter.filter(cycle, node);
    if (refusal) return { plugin: filter.name, refusal };
  }
  return undefined;
}
