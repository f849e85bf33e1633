/** What goes wrong: one fault after another, each ended again after a while. */
import { between, type Chance, randomChoice } from "./chance.ts";
import type { Cluster, Seat } from "./cluster.ts";
import { bitFlip, emptyDisk, failingDisk, silentFlip, slowDisk } from "./disk-faults.ts";
import { after, type Fault, isolate, type RunningFault, rejoin } from "./fault.ts";
import { badLinks, bridge, cut, detour, oneWay, outsider, partition } from "./network-faults.ts";

function crash(cluster: Cluster, chance: Chance): RunningFault {
  const seat = randomChoice(chance, cluster.seats);
  const powerLoss = chance.below(2) === 0;
  cluster.crash(seat, powerLoss);
  return {
    name: `${powerLoss ? "power loss" : "crash"} of ${seat.peer.name}`,
    touches: [seat],
    end: () => cluster.revive(seat),
  };
}

function crashLeader(cluster: Cluster, chance: Chance): RunningFault {
  const seat = cluster.leader ?? randomChoice(chance, cluster.seats);
  cluster.crash(seat, false);
  return {
    name: `crash of the leader ${seat.peer.name}`,
    touches: [seat],
    end: () => cluster.revive(seat),
  };
}

function crashAll(cluster: Cluster): RunningFault {
  for (const seat of cluster.seats) cluster.crash(seat, true);
  return {
    name: "power loss of everybody",
    end: () => {
      for (const seat of cluster.seats) cluster.revive(seat);
    },
  };
}

/** Back before its peers have got used to its absence. */
function restart(cluster: Cluster, chance: Chance): RunningFault | undefined {
  const seat = randomChoice(chance, cluster.seats);
  if (!seat.member) return undefined;
  cluster.crash(seat, chance.below(2) === 0);
  after(cluster, between(chance, 1, 50), () => cluster.revive(seat));
  return { name: `restart of ${seat.peer.name}`, touches: [seat] };
}

function pause(cluster: Cluster, chance: Chance): RunningFault | undefined {
  const seat = chance.below(3) > 0 ? cluster.leader : randomChoice(chance, cluster.seats);
  if (!seat || !cluster.isAlive(seat)) return undefined;
  const millis = between(chance, 100, 3_000);
  cluster.world.pause(seat.peer.id, millis);
  return { name: `pause of ${seat.peer.name} for ${millis} ms`, touches: [seat], millis };
}

function wallJump(cluster: Cluster, chance: Chance): RunningFault {
  const seat = randomChoice(chance, cluster.seats);
  const millis = between(chance, -3_600_000, 600_000);
  seat.runtime?.clock.jumpWall(millis);
  return { name: `wall clock of ${seat.peer.name} set by ${millis} ms`, touches: [seat] };
}

/** A new leader dies within milliseconds of its election, with its first entries half way out. */
function coup(cluster: Cluster, chance: Chance): RunningFault | undefined {
  const seat = cluster.leader ?? randomChoice(chance, cluster.seats);
  const watch = (winner: Seat) => {
    if (chance.below(3) === 0) return;
    after(cluster, between(chance, 0, 30) / 2, () => cluster.crash(winner, true));
    after(cluster, between(chance, 300, 2_000), () => cluster.revive(winner));
  };
  cluster.elected.add(watch);
  cluster.crash(seat, true);
  after(cluster, between(chance, 300, 1_500), () => cluster.revive(seat));
  return { name: "coups", end: () => cluster.elected.delete(watch) };
}

/**
 * Reigns end before the first entry has left, or just before the second one arrives: what is
 * committed then, and what only seems so, is the matter of figure 8 of the Raft paper (Ongaro and
 * Ousterhout, 2014).
 */
function shortReigns(cluster: Cluster, chance: Chance): RunningFault | undefined {
  const watch = (winner: Seat) => {
    const dice = chance.below(5);
    if (dice === 0) return;
    const millis = dice < 3 ? between(chance, 2, 4) : between(chance, 15, 35);
    const { life } = winner;
    after(cluster, millis, () => {
      if (winner.life === life) cluster.crash(winner, false);
    });
    after(cluster, millis + between(chance, 200, 1_200), () => cluster.revive(winner));
  };
  cluster.elected.add(watch);
  if (cluster.leader) watch(cluster.leader);
  return { name: "short reigns", millis: 6_000, end: () => cluster.elected.delete(watch) };
}

/**
 * The leader is cut off until another is elected; at that instant it changes places with the new
 * one, and everybody else restarts: whatever they promised in the election must still hold.
 */
function usurper(cluster: Cluster, chance: Chance): RunningFault | undefined {
  const old = cluster.leader;
  if (!old) return undefined;
  isolate(cluster, old);
  const watch = (winner: Seat) => {
    if (winner === old) return;
    cluster.elected.delete(watch);
    for (const seat of cluster.seats) {
      if (seat === winner || seat === old) continue;
      cluster.crash(seat, chance.below(2) === 0);
      after(cluster, between(chance, 1, 20), () => cluster.revive(seat));
    }
    isolate(cluster, winner);
    rejoin(cluster, old);
    after(cluster, between(chance, 200, 1_500), () => rejoin(cluster, winner));
  };
  cluster.elected.add(watch);
  return {
    name: `usurper of ${old.peer.name}`,
    end: () => {
      cluster.elected.delete(watch);
      rejoin(cluster, old);
    },
  };
}

export const faults = {
  crash,
  crashLeader,
  crashAll,
  restart,
  partition,
  outsider,
  bridge,
  oneWay,
  pause,
  cut,
  detour,
  badLinks,
  slowDisk,
  failingDisk,
  bitFlip,
  silentFlip,
  emptyDisk,
  wallJump,
  coup,
  shortReigns,
  usurper,
} as const satisfies Readonly<Record<string, Fault>>;
export type FaultName = keyof typeof faults;

/** What a run draws from when it is not told otherwise; the frequent ones are there twice. */
export const everyFault: readonly FaultName[] = [
  ...(Object.keys(faults) as FaultName[]).filter((name) => name !== "shortReigns"),
  "crash",
  "crashLeader",
  "partition",
  "pause",
  "silentFlip",
  "silentFlip",
  "emptyDisk",
];

/** Runs until `stopped` says so; every fault it began is over when it resolves. */
export async function torment(
  cluster: Cluster,
  chance: Chance,
  mix: readonly FaultName[],
  stopped: () => boolean,
  told: string[],
): Promise<void> {
  const wait = (millis: number) =>
    new Promise<void>((resolve) => cluster.world.clock.after(millis, resolve));
  for (;;) {
    await wait(between(chance, 100, 1_200));
    if (stopped()) return;
    const fault = faults[randomChoice(chance, mix)](cluster, chance);
    if (!fault) continue;
    told.push(`${cluster.world.now.toFixed(0)} ms: ${fault.name}`);
    const touched = fault.touches ?? cluster.seats;
    for (const seat of touched) seat.troubles++;
    await wait(fault.millis ?? between(chance, 150, 2_500));
    fault.end?.();
    for (const seat of touched) {
      seat.troubles--;
      seat.calmSince = cluster.world.now;
    }
  }
}
