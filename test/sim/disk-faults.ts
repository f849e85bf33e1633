/** What goes wrong under a member. */
import { between, type Chance, randomChoice } from "./chance.ts";
import type { Cluster } from "./cluster.ts";
import { after, type RunningFault } from "./fault.ts";

export function slowDisk(cluster: Cluster, chance: Chance): RunningFault {
  const seat = randomChoice(chance, cluster.seats);
  const disk = cluster.world.disk(seat.peer.id);
  disk.slowdown = between(chance, 10, 300);
  return {
    name: `slow disk of ${seat.peer.name}`,
    touches: [seat],
    end: () => {
      disk.slowdown = 1;
    },
  };
}

export function failingDisk(cluster: Cluster, chance: Chance): RunningFault {
  const seat = randomChoice(chance, cluster.seats);
  const kind = chance.below(2) === 0 ? "io" : "full";
  const disk = cluster.world.disk(seat.peer.id);
  disk.failFrom(kind, chance.below(20));
  seat.failing = true;
  seat.hasFailed = true;
  return {
    name: kind === "io" ? `failing disk of ${seat.peer.name}` : `full disk of ${seat.peer.name}`,
    touches: [seat],
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
export function bitFlip(cluster: Cluster, chance: Chance): RunningFault | undefined {
  if (cluster.seats.length < 3 || cluster.seats.some((seat) => seat.damaged)) return undefined;
  const seat = randomChoice(chance, cluster.seats);
  if (!cluster.isAlive(seat)) return undefined;
  cluster.crash(seat, true);
  seat.damaged = cluster.world.disk(seat.peer.id).flipBit({ noticed: true }) !== undefined;
  return {
    name: `power loss of ${seat.peer.name} and a flipped bit`,
    touches: [seat],
    end: () => cluster.revive(seat),
  };
}

/** The kinds of records that a member keeps, not all of them at all times; history counts twice. */
const recordKinds = Array.from("ABEHILMRRST");

/**
 * A bit of one record flips under a member that runs, and its disk says nothing: only the record's
 * own checksum can tell. The member goes on until it reads the record, which may be at its next
 * start, or never.
 */
export function silentFlip(cluster: Cluster, chance: Chance): RunningFault | undefined {
  if (cluster.seats.length < 3 || cluster.seats.some((seat) => seat.damaged)) return undefined;
  const seat = randomChoice(chance, cluster.seats);
  if (!cluster.isAlive(seat)) return undefined;
  const disk = cluster.world.disk(seat.peer.id);
  const first = chance.below(recordKinds.length);
  const kinds = [...recordKinds.slice(first), ...recordKinds.slice(0, first)];
  const record = kinds.find((kind) => disk.flipBit({ noticed: false, prefix: kind.charCodeAt(0) }));
  if (!record) return undefined;
  seat.damaged = true;
  const restarts = chance.below(2) === 0;
  if (restarts) cluster.crash(seat, chance.below(2) === 0);
  return {
    name: `${restarts ? "restart and " : ""}a flipped bit of a record ${record} of ${seat.peer.name}`,
    touches: [seat],
    end: () => cluster.revive(seat),
  };
}

/**
 * A member comes back with an empty disk, sometimes while its peers are down. One at most, and only
 * where its peers are a majority: it takes no part any more. At first sometimes before the cluster
 * is founded, which then happens with its new disk or without it.
 */
export function emptyDisk(cluster: Cluster, chance: Chance): RunningFault | undefined {
  if (cluster.seats.length < 3 || cluster.seats.some((seat) => seat.damaged)) return undefined;
  const seat = randomChoice(chance, cluster.seats);
  if (!cluster.isAlive(seat)) return undefined;
  seat.damaged = true;
  // With the leader gone, a write is acknowledged that the wiped member may have been needed for.
  const leader = cluster.leader;
  const downs = cluster.seats.filter((each) => each !== seat && chance.below(2) === 0);
  const leaderFirst = leader !== undefined && leader !== seat && chance.below(2) === 0;
  if (leaderFirst) cluster.crash(leader, false);
  const wipe = () => {
    cluster.crash(seat, true);
    for (const each of downs) cluster.crash(each, chance.below(2) === 0);
    cluster.world.disk(seat.peer.id).erase();
    cluster.revive(seat);
    if (leaderFirst) cluster.revive(leader);
  };
  after(cluster, leaderFirst ? between(chance, 50, 1_500) : 0, wipe);
  const names = [...(leaderFirst ? [leader] : []), ...downs].map(({ peer }) => peer.name);
  return {
    name: `an empty disk of ${seat.peer.name}, with crashes of ${names.join(", ") || "no other"}`,
    millis: between(chance, 1_500, 4_000),
    end: () => {
      for (const each of cluster.seats) cluster.revive(each);
    },
  };
}
