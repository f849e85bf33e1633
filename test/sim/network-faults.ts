/** What goes wrong between members. */
import type { LinkOptions } from "../../ha/runtime/simulated/mod.ts";
import { between, type Chance, randomChoice } from "./chance.ts";
import type { Cluster } from "./cluster.ts";
import { after, isolate, pair, type RunningFault, rejoin } from "./fault.ts";

export function partition(cluster: Cluster, chance: Chance): RunningFault {
  const alone = chance.below(2) === 0 ? cluster.leader : undefined;
  const seat = alone ?? randomChoice(chance, cluster.seats);
  isolate(cluster, seat);
  return {
    name: `partition of ${seat.peer.name}`,
    touches: [seat],
    end: () => rejoin(cluster, seat),
  };
}

/** A follower is cut off for long, again and again; the leader is never chosen. */
export function outsider(cluster: Cluster, chance: Chance): RunningFault | undefined {
  const { leader } = cluster;
  const seat = cluster.seats.findLast((each) => each !== leader);
  if (!leader || !seat) return undefined;
  isolate(cluster, seat);
  return {
    name: `${seat.peer.name} is an outsider`,
    touches: [seat],
    millis: between(chance, 1_500, 4_000),
    end: () => rejoin(cluster, seat),
  };
}

/** Two members cannot talk, and others can talk to both. */
export function bridge(cluster: Cluster, chance: Chance): RunningFault | undefined {
  const [a, b] = pair(cluster, chance);
  if (!a || !b) return undefined;
  const { network } = cluster.world;
  network.partition([a.peer.id], [b.peer.id]);
  return {
    name: `partition between ${a.peer.name} and ${b.peer.name}`,
    touches: [a, b],
    end: () => {
      network.unblock(a.peer.id, b.peer.id);
      network.unblock(b.peer.id, a.peer.id);
    },
  };
}

export function oneWay(cluster: Cluster, chance: Chance): RunningFault | undefined {
  const [from, to] = pair(cluster, chance);
  if (!from || !to) return undefined;
  cluster.world.network.block(from.peer.id, to.peer.id);
  return {
    name: `nothing from ${from.peer.name} reaches ${to.peer.name}`,
    touches: [from, to],
    end: () => cluster.world.network.unblock(from.peer.id, to.peer.id),
  };
}

export function cut(cluster: Cluster, chance: Chance): RunningFault | undefined {
  const [a, b] = pair(cluster, chance);
  if (!a || !b) return undefined;
  cluster.world.network.cut(a.peer.id, b.peer.id);
  return { name: `cut between ${a.peer.name} and ${b.peer.name}`, touches: [a, b] };
}

/**
 * What a leader sends to a follower takes a long way; then the link breaks, the next one is quick,
 * and what is still under way arrives after what was sent later. The leader may not live to see it.
 */
export function detour(cluster: Cluster, chance: Chance): RunningFault | undefined {
  const { leader, seats } = cluster;
  const follower = randomChoice(chance, seats);
  if (!leader || follower === leader) return undefined;
  const { network } = cluster.world;
  const set = (link: LinkOptions) => network.setLink(leader.peer.id, follower.peer.id, link);
  set({ latency: [100_000, 300_000] });
  // What is committed meanwhile rests on this follower.
  const others = seats.filter((seat) => seat !== leader && seat !== follower);
  for (const seat of chance.below(2) === 0 ? others : []) {
    network.partition([leader.peer.id], [seat.peer.id]);
  }
  const { life } = leader;
  const cutAfter = between(chance, 200, 500);
  after(cluster, cutAfter, () => {
    set({});
    network.cut(leader.peer.id, follower.peer.id);
  });
  const dies = chance.below(2) === 0;
  after(cluster, cutAfter + between(chance, 10, 300), () => {
    if (dies && leader.life === life) cluster.crash(leader, false);
    rejoin(cluster, leader);
  });
  return {
    name: `a detour from ${leader.peer.name} to ${follower.peer.name}`,
    millis: between(chance, 900, 2_500),
    end: () => cluster.revive(leader),
  };
}

/** Every link of a member loses messages and delays the others. */
export function badLinks(cluster: Cluster, chance: Chance): RunningFault {
  const seat = randomChoice(chance, cluster.seats);
  const options = {
    drop: between(chance, 1, 30) / 100,
    latency: [100, between(chance, 1_000, 150_000)] as const,
  };
  const set = (link: typeof options | Record<string, never>) => {
    for (const other of cluster.seats) {
      cluster.world.network.setLink(seat.peer.id, other.peer.id, link);
      cluster.world.network.setLink(other.peer.id, seat.peer.id, link);
    }
  };
  set(options);
  return { name: `bad links of ${seat.peer.name}`, touches: [seat], end: () => set({}) };
}
