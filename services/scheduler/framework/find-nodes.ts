/** The stages preFilter and filter: which nodes a pod can run on. */
import type { NodeInfo } from "../node-info.ts";
import type { PodInfo } from "../pod-info.ts";
import { type AlikePods, type Filter, firstRefusal, type Refused, type Verdicts } from "./alike.ts";
import { type Cycle, StateKey } from "./cycle.ts";
import { explainDiagnosis, type Placement, placementRefused } from "./placement.ts";
import { type Plugin, refuseForGood } from "./types.ts";

/** A search goes on at least until so many nodes are found (upstream `minFeasibleNodesToFind`). */
const nodesToFindMin = 100;
const percentMin = 5;

/**
 * How many suitable nodes are enough: all up to a hundred; of larger clusters a share that falls
 * from 50 % to 5 % (upstream `numFeasibleNodesToFind`). Searches start where the last one ended.
 */
export function nodesToFind(nodes: number, stated?: number): number {
  if (nodes < nodesToFindMin) return nodes;
  const percent = stated ?? Math.max(percentMin, 50 - Math.floor(nodes / 125));
  return Math.max(nodesToFindMin, Math.floor((nodes * percent) / 100));
}

export interface FoundNodes {
  /** At least one. */
  readonly nodes: readonly NodeInfo[];
  /** Nodes looked at, suitable or not. */
  readonly examined: number;
  /** What is known of these nodes, by the place of each. Absent: nothing. */
  readonly known?: { readonly verdicts: Verdicts; readonly places: readonly number[] };
}

export interface Search {
  /** The place of the first node that is looked at. */
  readonly from: number;
  /** So many are enough; absent: a share that falls with their number. */
  readonly percentage: number | undefined;
  readonly alike: AlikePods;
}

export function findNodes(
  plugins: readonly Plugin[],
  cycle: Cycle,
  { from, percentage, alike }: Search,
): FoundNodes | { readonly placement: Placement } {
  const prepared = preFilter(plugins, cycle);
  if ("placement" in prepared) return prepared;
  const all = cycle.snapshot.nodes;
  const { allowed, filters } = prepared;
  const named = allowed && [...allowed.names].flatMap((name) => cycle.snapshot.node(name) ?? []);
  const nodes = named ?? all;
  const nominated = nominatedNode(cycle);
  if (nominated && verdictOn(prepared, cycle, nominated) === undefined) {
    return { nodes: [nominated], examined: 0 };
  }
  const verdicts = allowed ? undefined : alike.verdicts(filters, cycle.pod);
  const others = filters.slice(verdicts?.filters);
  const { nominations } = cycle.snapshot;
  const awaited = !nominations.isEmpty;
  const enough = nodesToFind(nodes.length, percentage);
  const found: NodeInfo[] = [];
  const places: number[] = [];
  const refused: [NodeInfo, Refused][] = [];
  let examined = 0;
  while (examined < nodes.length && found.length < enough) {
    const place = (from + examined) % nodes.length;
    const node = nodes[place] as NodeInfo;
    examined++;
    const why =
      verdicts === undefined || (awaited && nominations.on(node.name).size > 0)
        ? verdictOn(prepared, cycle, node)
        : (verdicts.refusal(cycle, node, place) ?? firstRefusal(others, cycle, node));
    if (why) refused.push([node, why]);
    else {
      found.push(node);
      places.push(place);
    }
  }
  // Where only some nodes were looked at, the next search begins where this one did.
  if (found.length > 0) {
    const known = verdicts && { verdicts, places };
    return { nodes: found, examined: allowed ? 0 : examined, ...(known && { known }) };
  }
  const unnamed = allowed ? all.filter(({ name }) => !allowed.names.has(name)) : [];
  const left = unnamed.map((node): [NodeInfo, Refused] => [node, allowed?.others as Refused]);
  return { placement: explainDiagnosis(all.length, new Map([...refused, ...left])) };
}

/** What preFilter has left. */
export interface Prepared {
  readonly filters: readonly Filter[];
  /** The nodes that preFilter left, and why it left out the others. */
  readonly allowed: { readonly names: ReadonlySet<string>; readonly others: Refused } | undefined;
}

export function preFilter(
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
  const prepared = {
    filters,
    allowed: allowed && { names: allowed.names, others: leftOut(allowed) },
  };
  cycle.write(preparedKey, prepared);
  return prepared;
}

const preparedKey = new StateKey<Prepared>("filters");

function leftOut({ plugins }: { readonly plugins: readonly string[] }): Refused {
  const reason = `node(s) didn't satisfy plugin(s) [${plugins.join(" ")}]`;
  return { plugin: plugins[0] ?? "", refusal: refuseForGood(reason) };
}

function hasFilter(plugin: Plugin): plugin is Filter {
  return plugin.filter !== undefined;
}

/** Where room has been made for the pod. */
function nominatedNode({ pod, snapshot }: Cycle): NodeInfo | undefined {
  const name = snapshot.nominations.nodeOf(pod.key) ?? pod.pod.status?.nominatedNodeName;
  return name ? snapshot.node(name) : undefined;
}

/** Of a cycle whose preFilter stage has run: why the pod cannot go to the node. */
export function nodeVerdict(cycle: Cycle, node: NodeInfo): Refused | undefined {
  return verdictOn(cycle.read(preparedKey), cycle, node);
}

/** The same of every filter, and not of the first that refuses. */
export function nodeVerdicts(cycle: Cycle, node: NodeInfo): readonly Refused[] {
  const { filters, allowed } = cycle.read(preparedKey);
  if (allowed && !allowed.names.has(node.name)) return [allowed.others];
  return filters.flatMap((filter) => {
    const verdict = verdictOn({ filters: [filter], allowed: undefined }, cycle, node);
    return verdict ?? [];
  });
}

/**
 * Pods of no lower priority that are nominated to the node must find room beside this one. They may
 * also be what it wants to be near, and may never come: so it must fit without them as well.
 */
function verdictOn(
  { filters, allowed }: Prepared,
  cycle: Cycle,
  node: NodeInfo,
): Refused | undefined {
  if (allowed && !allowed.names.has(node.name)) return allowed.others;
  const nominated = cycle.snapshot.nominations.on(node.name);
  const why = nominated.size > 0 ? refusalBeside(nominated, filters, cycle, node) : undefined;
  return why ?? firstRefusal(filters, cycle, node);
}

function refusalBeside(
  nominated: ReadonlyMap<string, PodInfo>,
  filters: readonly Filter[],
  cycle: Cycle,
  node: NodeInfo,
): Refused | undefined {
  const { pod } = cycle;
  const expected = [...nominated.values()].filter(
    ({ key, priority }) => key !== pod.key && priority >= pod.priority && !node.pods.has(key),
  );
  if (expected.length === 0) return undefined;
  for (const other of expected) putOn(cycle, other, node);
  const why = firstRefusal(filters, cycle, node);
  for (const other of expected) takeOff(cycle, other, node);
  return why;
}

/** Supposes within the cycle that the pod is on the node. To be undone before the cycle goes on. */
export function putOn(cycle: Cycle, pod: PodInfo, node: NodeInfo): void {
  node.addPod(pod);
  for (const filter of cycle.read(preparedKey).filters) filter.podAdded?.(cycle, pod, node);
}

/** The reverse of {@link putOn}. */
export function takeOff(cycle: Cycle, pod: PodInfo, node: NodeInfo): void {
  node.removePod(pod.key);
  for (const filter of cycle.read(preparedKey).filters) filter.podRemoved?.(cycle, pod, node);
}
