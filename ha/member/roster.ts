/**
 * The members with their names and addresses, as a function of the log: every membership entry
 * names all of them, and takes effect the moment it is in the log, as the membership itself does
 * (`ha/raft/membership.ts`).
 */
import { assert } from "../runtime/assert.ts";
import type { MemberId } from "../runtime/types.ts";
import type { ClusterPeer } from "./types.ts";

export interface Roster {
  /** By id. */
  readonly peers: readonly ClusterPeer[];
  /** Members that left, oldest first: an id is not used again. */
  readonly removed: readonly MemberId[];
}

interface Recorded {
  readonly index: number;
  readonly roster: Roster;
}

/** The rosters of a log, oldest first; the first one holds at the log's beginning. */
export class RosterHistory {
  #recorded: Recorded[];

  constructor(index: number, roster: Roster) {
    this.#recorded = [{ index, roster }];
  }

  /** The newest in the log, committed or not. */
  get current(): Roster {
    return (this.#recorded.at(-1) as Recorded).roster;
  }

  /** The roster that holds at `index`. */
  at(index: number): Roster {
    const found = this.#recorded.findLast((recorded) => recorded.index <= index);
    return (found ?? (this.#recorded[0] as Recorded)).roster;
  }

  append(index: number, roster: Roster): void {
    assert(index > (this.#recorded.at(-1) as Recorded).index, "rosters follow the log");
    this.#recorded.push({ index, roster });
  }

  /** True when {@link current} has changed. */
  truncateFrom(index: number): boolean {
    const before = this.#recorded.length;
    while (this.#recorded.length > 1 && (this.#recorded.at(-1) as Recorded).index >= index) {
      this.#recorded.pop();
    }
    return this.#recorded.length < before;
  }

  compactTo(index: number): void {
    while ((this.#recorded[1]?.index ?? Number.POSITIVE_INFINITY) <= index) this.#recorded.shift();
  }

  restore(index: number, roster: Roster): void {
    this.#recorded = [{ index, roster }];
  }
}

/** Everybody in any of the rosters, each as the last one knows it. */
export function unite(...rosters: readonly Roster[]): ClusterPeer[] {
  const peers = new Map<MemberId, ClusterPeer>();
  for (const roster of rosters) for (const peer of roster.peers) peers.set(peer.id, peer);
  return [...peers.values()];
}
