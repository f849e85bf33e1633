/** The scheduling cycle of a group of pods: so many as it needs get nodes at once, or none does. */
import type { ClusterCache } from "./cache.ts";
import { Cycle, type Framework, type Unschedulable } from "./framework/mod.ts";
import type { NodeInfo } from "./node-info.ts";
import { groupOf, type PodGroup, placedOf } from "./plugins/pod-groups.ts";
import type { PodInfo } from "./pod-info.ts";

export interface GroupOutcome {
  readonly placed: readonly { readonly cycle: Cycle; readonly node: NodeInfo }[];
  readonly refused: readonly { readonly info: PodInfo; readonly refusal: Unschedulable }[];
}

/** The pod's group, when it still needs several nodes at once. */
export function groupInNeed(info: PodInfo, cache: ClusterCache): PodGroup | undefined {
  const group = groupOf(info);
  if (group === undefined || "reasons" in group || group.minMember <= 1) return undefined;
  return placedOf(cache.snapshot, info) < group.minMember ? group : undefined;
}

/**
 * One cycle after the other, each seeing the pods before it on their nodes. Those that are placed
 * stay assumed. Synchronous: nothing else is scheduled in between, so two groups never hold half
 * of the room each.
 */
export function scheduleGroup(
  framework: Framework,
  cache: ClusterCache,
  { name, minMember }: PodGroup,
  members: readonly PodInfo[],
): GroupOutcome {
  const placed: { cycle: Cycle; node: NodeInfo }[] = [];
  const refused: { info: PodInfo; refusal: Unschedulable }[] = [];
  const first = members[0];
  const before = first ? placedOf(cache.snapshot, first) : 0;
  for (const info of members) {
    const cycle = new Cycle(info, cache.snapshot);
    const placement = framework.schedule(cycle);
    if ("node" in placement) {
      cache.assume(info, placement.node.name);
      placed.push({ cycle, node: placement.node });
    } else refused.push({ info, refusal: placement.refusal });
  }
  if (before + placed.length >= minMember) return { placed, refused };
  const needed = minMember - before;
  const message =
    `pod group ${JSON.stringify(name)}: ${placed.length} of the ${needed} pods that need nodes at ` +
    `once find one`;
  for (const { cycle } of placed) {
    cache.forget(cycle.pod.key);
    const plugins = new Set(["PodGroups"]);
    refused.push({ info: cycle.pod, refusal: { message, plugins, diagnosis: new Map() } });
  }
  return { placed: [], refused };
}
