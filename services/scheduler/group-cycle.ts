/** The scheduling cycle of a group of pods: so many as it needs get nodes at once, or none does. */
import type { ClusterCache } from "./cache.ts";
import {
  Cycle,
  type FoundRoom,
  type Framework,
  type PostFilterContext,
  type Unschedulable,
} from "./framework/mod.ts";
import type { NodeInfo } from "./node-info.ts";
import { groupOf, type PodGroup, placedOf } from "./plugins/pod-groups.ts";
import type { PodInfo } from "./pod-info.ts";

interface Refused {
  readonly info: PodInfo;
  readonly refusal: Unschedulable;
}

export interface GroupOutcome {
  readonly placed: readonly { readonly cycle: Cycle; readonly node: NodeInfo }[];
  readonly refused: readonly Refused[];
  /** What must be made for the group to have a place; empty: there is none, or none is needed. */
  readonly rooms: readonly FoundRoom[];
  /** Where its pods will run then, by their keys. */
  readonly nominated: ReadonlyMap<string, string>;
}

type Write = Pick<PostFilterContext, "signal" | "fence">;

/** The pod's group, when it still needs several nodes at once. */
export function groupInNeed(info: PodInfo, cache: ClusterCache): PodGroup | undefined {
  const group = groupOf(info);
  if (group === undefined || "reasons" in group || group.minMember <= 1) return undefined;
  return placedOf(cache.snapshot, info) < group.minMember ? group : undefined;
}

/**
 * One cycle after the other, each seeing the pods before it on their nodes. Those that are placed
 * stay assumed. Where too few find a node, pods of lower priority may have to go: all that is needed
 * for the whole group, or none. Synchronous: nothing else is scheduled in between, so two groups
 * never hold half of the room each.
 */
export function scheduleGroup(
  framework: Framework,
  cache: ClusterCache,
  { name, minMember }: PodGroup,
  members: readonly PodInfo[],
  write: Write,
): GroupOutcome {
  const attempt = new GroupAttempt(framework, cache, members);
  const needed = minMember - attempt.before;
  for (const info of members) attempt.place(info);
  const found = attempt.placed.length;
  if (found >= needed) return attempt.outcome([], new Map());
  for (const { info } of attempt.refused.splice(0)) {
    if (attempt.places < needed) attempt.placeOrPreempt(info, write);
  }
  const isEnough = attempt.places >= needed;
  const { rooms } = attempt;
  const nominated = isEnough ? attempt.nodes() : new Map<string, string>();
  attempt.undo();
  for (const [key, node] of nominated) attempt.nominate(key, node);
  const group = `pod group ${JSON.stringify(name)}`;
  const victims = isEnough
    ? rooms.reduce((sum, each) => sum + each.victims.length, 0)
    : attempt.victimsEnding(needed);
  const waits = isEnough || victims > 0;
  const message = waits
    ? `${group}: the ${needed} pods that need nodes at once wait for ${victims} of lower priority to go`
    : `${group}: ${found} of the ${needed} pods that need nodes at once find one`;
  const refusal = { message, plugins: new Set(["PodGroups"]), diagnosis: new Map() };
  const refused = members.map((info) => {
    const first = attempt.firstRefusals.get(info.key);
    return { info, refusal: waits || first === undefined ? refusal : first };
  });
  return { placed: [], refused, rooms: isEnough ? rooms : [], nominated };
}

class GroupAttempt {
  readonly placed: { readonly cycle: Cycle; readonly node: NodeInfo }[] = [];
  readonly refused: Refused[] = [];
  readonly rooms: FoundRoom[] = [];
  /** Of pods that no node took as it is. */
  readonly firstRefusals = new Map<string, Unschedulable>();
  /** Pods of the group that have nodes already. */
  readonly before: number;
  readonly #framework: Framework;
  readonly #cache: ClusterCache;
  readonly #members: ReadonlyMap<string, PodInfo>;
  /** As they were before: an assumption ends a nomination. */
  readonly #nominations = new Map<string, string>();
  readonly #preempting = new Map<string, string>();

  constructor(framework: Framework, cache: ClusterCache, members: readonly PodInfo[]) {
    this.#framework = framework;
    this.#cache = cache;
    this.#members = new Map(members.map((info) => [info.key, info]));
    const [first] = members;
    this.before = first ? placedOf(cache.snapshot, first) : 0;
    for (const { key } of members) {
      const node = cache.snapshot.nominations.nodeOf(key);
      if (node !== undefined) this.#nominations.set(key, node);
    }
  }

  /** How many of the pods have a place, as it is or by preemption. */
  get places(): number {
    return this.placed.length + this.#preempting.size;
  }

  place(info: PodInfo): void {
    const refusal = this.#tryPlace(info);
    if (refusal === undefined) return;
    this.refused.push({ info, refusal: refusal.refusal });
    this.firstRefusals.set(info.key, refusal.refusal);
  }

  placeOrPreempt(info: PodInfo, write: Write): void {
    const tried = this.#tryPlace(info);
    if (tried === undefined) return;
    const room = this.#framework.searchRoom(tried.cycle, tried.refusal.diagnosis, write);
    if (room === undefined) return;
    for (const victim of room.victims) this.#cache.setAside(victim);
    this.#cache.assume(info, room.node.name);
    this.rooms.push(room);
    this.#preempting.set(info.key, room.node.name);
  }

  /** Pods that still go for the group: an earlier attempt has made room for all of it. */
  victimsEnding(needed: number): number {
    if (this.#nominations.size < needed) return 0;
    let ending = 0;
    for (const name of new Set(this.#nominations.values())) {
      const pods = this.#cache.snapshot.node(name)?.pods.values() ?? [];
      for (const { pod } of pods) if (pod.metadata?.deletionTimestamp) ending++;
    }
    return ending;
  }

  nodes(): Map<string, string> {
    const placed = this.placed.map(({ cycle, node }) => [cycle.pod.key, node.name] as const);
    return new Map([...placed, ...this.#preempting]);
  }

  /** Everything is as it was before the attempt. */
  undo(): void {
    for (const { cycle } of this.placed) this.#cache.forget(cycle.pod.key);
    for (const key of this.#preempting.keys()) this.#cache.forget(key);
    for (const { victims } of this.rooms) for (const each of victims) this.#cache.putBack(each);
    for (const [key, node] of this.#nominations) this.nominate(key, node);
  }

  nominate(key: string, node: string): void {
    const info = this.#members.get(key);
    if (info) this.#cache.snapshot.nominations.set(info, node);
  }

  outcome(rooms: readonly FoundRoom[], nominated: ReadonlyMap<string, string>): GroupOutcome {
    return { placed: this.placed, refused: this.refused, rooms, nominated };
  }

  #tryPlace(info: PodInfo): { readonly cycle: Cycle; readonly refusal: Unschedulable } | undefined {
    const cycle = new Cycle(info, this.#cache.snapshot);
    const placement = this.#framework.schedule(cycle);
    if (!("node" in placement)) return { cycle, refusal: placement.refusal };
    this.#cache.assume(info, placement.node.name);
    this.placed.push({ cycle, node: placement.node });
    return undefined;
  }
}
