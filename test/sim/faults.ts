/** What goes wrong: one fault after another, each ended again after a while. */
import { between, type Chance, randomChoice } from "./chance.ts";
import type { Cluster, Seat } from "./cluster.ts";

interface RunningFault {
  readonly name: string;
  /** Absent: it ends by itself. */
  readonly end?: () => void;
  /** Absent: as long as chance will have it. */
  readonly millis?: number;
}
type Fault = (cluster: Cluster, chance: Chance) => RunningFault | undefined;

function crash(cluster: Cluster, chance: Chance): RunningFault {
  const seat = randomChoice(chance, cluster.seats);
  const powerLoss = chance.below(2) === 0;
  cluster.crash(seat, powerLoss);
  return {
    name: `${powerLoss ? "power loss" : "crash"} of ${seat.peer.name}`,
    end: () => cluster.revive(seat),
  };
}

function crashLeader(cluster: Cluster, chance: Chance): RunningFault {
  const seat = cluster.leader ?? randomChoice(chance, cluster.seats);
  cluster.crash(seat, false);
  return { name: `crash of the leader ${seat.peer.name}`, end: () => cluster.revive(seat) };
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
  return { name: `restart of ${seat.peer.name}` };
}

function partition(cluster: Cluster, chance: Chance): RunningFault {
  const alone = chance.below(2) === 0 ? cluster.leader : undefined;
  const seat = alone ?? randomChoice(chance, cluster.seats);
  isolate(cluster, seat);
  return { name: `partition of ${seat.peer.name}`, end: () => rejoin(cluster, seat) };
}

/** Two members cannot talk, and others can talk to both. */
function bridge(cluster: Cluster, chance: Chance): RunningFault | undefined {
  const [a, b] = pair(cluster, chance);
  if (!a || !b) return undefined;
  const { network } = cluster.world;
  network.partition([a.peer.id], [b.peer.id]);
  return {
    name: `partition between ${a.peer.name} and ${b.peer.name}`,
    end: () => {
      network.unblock(a.peer.id, b.peer.id);
      network.unblock(b.peer.id, a.peer.id);
    },
  };
}

function oneWay(cluster: Cluster, chance: Chance): RunningFault | undefined {
  const [from, to] = pair(cluster, chance);
  if (!from || !to) return undefined;
  cluster.world.network.block(from.peer.id, to.peer.id);
  return {
    name: `nothing from ${from.peer.name} reaches ${to.peer.name}`,
    end: () => cluster.world.network.unblock(from.peer.id, to.peer.id),
  };
}

function pause(cluster: Cluster, chance: Chance): RunningFault | undefined {
  const seat = chance.below(3) > 0 ? cluster.leader : randomChoice(chance, cluster.seats);
  if (!seat || !cluster.isAlive(seat)) return undefined;
  const millis = between(chance, 100, 3_000);
  cluster.world.pause(seat.peer.id, millis);
  return { name: `pause of ${seat.peer.name} for ${millis} ms` };
}

function cut(cluster: Cluster, chance: Chance): RunningFault | undefined {
  const [a, b] = pair(cluster, chance);
  if (!a || !b) return undefined;
  cluster.world.network.cut(a.peer.id, b.peer.id);
  return { name: `cut between ${a.peer.name} and ${b.peer.name}` };
}

/** Every link of a member loses messages and delays the others. */
function badLinks(cluster: Cluster, chance: Chance): RunningFault {
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
  return { name: `bad links of ${seat.peer.name}`, end: () => set({}) };
}

function slowDisk(cluster: Cluster, chance: Chance): RunningFault {
  const seat = randomChoice(chance, cluster.seats);
  const disk = cluster.world.disk(seat.peer.id);
  disk.slowdown = between(chance, 10, 300);
  return {
    name: `slow disk of ${seat.peer.name}`,
    end: () => {
      disk.slowdown = 1;
    },
  };
}

function failingDisk(cluster: Cluster, chance: Chance): RunningFault {
  const seat = randomChoice(chance, cluster.seats);
  const kind = chance.below(2) === 0 ? "io" : "full";
  const disk = cluster.world.disk(seat.peer.id);
  disk.failFrom(kind, chance.below(20));
  seat.failing = true;
  return {
    name: kind === "io" ? `failing disk of ${seat.peer.name}` : `full disk of ${seat.peer.name}`,
    end: () => {
      disk.repair();
      seat.failing = false;
      cluster.revive(seat);
    },
  };
}

/**
 * A bit of a stopped member's disk flips; the disk's own checksums notice when it is read. One
 * member at most, and only where its peers are a majority: it may be lost for good.
 */
function bitFlip(cluster: Cluster, chance: Chance): RunningFault | undefined {
  if (cluster.seats.length < 3 || cluster.seats.some((seat) => seat.damaged)) return undefined;
  const seat = randomChoice(chance, cluster.seats);
  if (!cluster.isAlive(seat)) return undefined;
  cluster.crash(seat, true);
  seat.damaged = cluster.world.disk(seat.peer.id).flipBit({ noticed: true }) !== undefined;
  return {
    name: `power loss of ${seat.peer.name} and a flipped bit`,
    end: () => cluster.revive(seat),
  };
}

function wallJump(cluster: Cluster, chance: Chance): RunningFault {
  const seat = randomChoice(chance, cluster.seats);
  const millis = between(chance, -3_600_000, 600_000);
  seat.runtime?.clock.jumpWall(millis);
  return { name: `wall clock of ${seat.peer.name} set by ${millis} ms` };
}

/** Whoever is elected dies within milliseconds, when its first entries are half way out. */
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
  bridge,
  oneWay,
  pause,
  cut,
  badLinks,
  slowDisk,
  failingDisk,
  bitFlip,
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
    await wait(fault.millis ?? between(chance, 150, 2_500));
    fault.end?.();
  }
}

function after(cluster: Cluster, millis: number, run: () => void): void {
  cluster.world.clock.after(millis, run);
}

function pair(cluster: Cluster, chance: Chance): readonly [Seat?, Seat?] {
  const a = randomChoice(chance, cluster.seats);
  const others = cluster.seats.filter((seat) => seat !== a);
  return others.length === 0 ? [] : [a, randomChoice(chance, others)];
}

function isolate(cluster: Cluster, seat: Seat): void {
  const others = cluster.seats.filter((other) => other !== seat).map(({ peer }) => peer.id);
  cluster.world.network.partition([seat.peer.id], others);
}

function rejoin(cluster: Cluster, seat: Seat): void {
  for (const { peer } of cluster.seats) {
    cluster.world.network.unblock(seat.peer.id, peer.id);
    cluster.world.network.unblock(peer.id, seat.peer.id);
  }
}
