/** What every fault is, and the hands that cause it. */
import { type Chance, randomChoice } from "./chance.ts";
import type { Cluster, Seat } from "./cluster.ts";

export interface RunningFault {
  readonly name: string;
  /** Absent: it ends by itself. */
  readonly end?: () => void;
  /** Absent: as long as chance will have it. */
  readonly millis?: number;
  /** Whose fate it has a part in; absent: everybody's. */
  readonly touches?: readonly Seat[];
}
export type Fault = (cluster: Cluster, chance: Chance) => RunningFault | undefined;

export function after(cluster: Cluster, millis: number, run: () => void): void {
  cluster.world.clock.after(millis, run);
}

export function pair(cluster: Cluster, chance: Chance): readonly [Seat?, Seat?] {
  const a = randomChoice(chance, cluster.seats);
  const others = cluster.seats.filter((seat) => seat !== a);
  return others.length === 0 ? [] : [a, randomChoice(chance, others)];
}

export function isolate(cluster: Cluster, seat: Seat): void {
  const others = cluster.seats.filter((other) => other !== seat).map(({ peer }) => peer.id);
  cluster.world.network.partition([seat.peer.id], others);
}

export function rejoin(cluster: Cluster, seat: Seat): void {
  for (const { peer } of cluster.seats) {
    cluster.world.network.unblock(seat.peer.id, peer.id);
    cluster.world.network.unblock(peer.id, seat.peer.id);
  }
}
