/** What goes wrong: one fault after another, each ended again after a while. */
import { type Chance, randomChoice } from "./chance.ts";
import type { Cluster, Seat } from "./cluster.ts";

type Fault = (cluster: Cluster, chance: Chance) => { readonly name: string; readonly end: () => void };

function crash(cluster: Cluster, chance: Chance) {
  const seat = randomChoice(chance, cluster.seats);
  const powerLoss = chance.below(2) === 0;
  cluster.crash(seat, powerLoss);
  return {
    name: `${powerLoss ? "power loss" : "crash"} of ${seat.peer.name}`,
    end: () => revive(cluster, seat),
  };
}

function crashLeader(cluster: Cluster, chance: Chance) {
  const seat = cluster.leader ?? randomChoice(chance, cluster.seats);
  cluster.crash(seat, false);
  return { name: `crash of the leader ${seat.peer.name}`, end: () => revive(cluster, seat) };
}

function crashAll(cluster: Cluster) {
  for (const seat of cluster.seats) cluster.crash(seat, true);
  return {
    name: "power loss of everybody",
    end: () => {
      for (const seat of cluster.seats) revive(cluster, seat);
    },
  };
}

function partition(cluster: Cluster, chance: Chance) {
  const alone = randomChoice(chance, cluster.seats);
  const others = cluster.seats.filter((seat) => seat !== alone).map((seat) => seat.peer.id);
  cluster.world.network.partition([alone.peer.id], others);
  return { name: `partition of ${alone.peer.name}`, end: () => cluster.world.network.heal() };
}

function oneWay(cluster: Cluster, chance: Chance) {
  const from = randomChoice(chance, cluster.seats);
  const to = randomChoice(chance, cluster.seats);
  if (from !== to) cluster.world.network.block(from.peer.id, to.peer.id);
  return {
    name: `nothing from ${from.peer.name} reaches ${to.peer.name}`,
    end: () => cluster.world.network.heal(),
  };
}

function pause(cluster: Cluster, chance: Chance) {
  const seat = cluster.leader ?? randomChoice(chance, cluster.seats);
  const millis = 100 + chance.below(3_000);
  if (cluster.world.isAlive(seat.peer.id)) cluster.world.pause(seat.peer.id, millis);
  return { name: `pause of ${seat.peer.name} for ${millis} ms`, end: () => {} };
}

function cut(cluster: Cluster, chance: Chance) {
  const a = randomChoice(chance, cluster.seats);
  const b = randomChoice(chance, cluster.seats);
  if (a !== b) cluster.world.network.cut(a.peer.id, b.peer.id);
  return { name: `cut between ${a.peer.name} and ${b.peer.name}`, end: () => {} };
}

function revive(cluster: Cluster, seat: Seat): void {
  if (!cluster.world.isAlive(seat.peer.id)) cluster.start(seat);
}

const faults: readonly Fault[] = [
  crash,
  crash,
  crashLeader,
  crashAll,
  partition,
  partition,
  oneWay,
  pause,
  cut,
];

/** Runs until `stopped` says so; every fault it began is over when it resolves. */
export async function torment(
  cluster: Cluster,
  chance: Chance,
  stopped: () => boolean,
  told: string[],
): Promise<void> {
  const wait = (millis: number) =>
    new Promise<void>((resolve) => cluster.world.clock.after(millis, resolve));
  while (!stopped()) {
    await wait(200 + chance.below(1_500));
    const fault = randomChoice(chance, faults)(cluster, chance);
    told.push(`${cluster.world.now.toFixed(0)} ms: ${fault.name}`);
    await wait(200 + chance.below(3_000));
    fault.end();
  }
}
