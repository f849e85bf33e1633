/**
 * The members of the cluster, as a function of the log.
 *
 * A membership takes effect on a member the moment its entry is in that member's log, committed or
 * not (Ongaro 2014, section 4.1), rather than when it is applied. So it depends on nothing but the
 * log: a truncated entry takes its membership back with it, a restart finds exactly the membership
 * it had, and no member can campaign on a membership that its own log has already left behind. Two
 * changes never overlap: a leader begins one only when the last one is committed, and only after it
 * has committed an entry of its own term.
 */
import { assert } from "../runtime/assert.ts";
import type { MemberId } from "../runtime/types.ts";
import type { LogIndex, Membership } from "./types.ts";

interface Recorded {
  readonly index: LogIndex;
  readonly membership: Membership;
}

/** The memberships of a log, oldest first; the first one holds at the log's base. */
export class MembershipHistory {
  #recorded: Recorded[];

  constructor(index: LogIndex, membership: Membership) {
    this.#recorded = [{ index, membership }];
  }

  get current(): Membership {
    return this.#last.membership;
  }

  /** The index of the entry that brought {@link current}. */
  get currentIndex(): LogIndex {
    return this.#last.index;
  }

  /** The membership before {@link current}, unless its entry has been compacted away. */
  get previous(): Membership | undefined {
    return this.#recorded.at(-2)?.membership;
  }

  append(index: LogIndex, membership: Membership): void {
    assert(index > this.#last.index, "memberships are recorded in the order of the log");
    this.#recorded.push({ index, membership });
  }

  truncateFrom(index: LogIndex): void {
    while (this.#recorded.length > 1 && this.#last.index >= index) this.#recorded.pop();
  }

  compactTo(index: LogIndex): void {
    while ((this.#recorded[1]?.index ?? Number.POSITIVE_INFINITY) <= index) this.#recorded.shift();
  }

  /** The membership that an entry at `index` belongs to. */
  at(index: LogIndex): Membership {
    const found = this.#recorded.findLast((recorded) => recorded.index <= index);
    return (found ?? (this.#recorded[0] as Recorded)).membership;
  }

  restore(index: LogIndex, membership: Membership): void {
    this.#recorded = [{ index, membership }];
  }

  get #last(): Recorded {
    return this.#recorded[this.#recorded.length - 1] as Recorded;
  }
}

/** True during a joint phase, in which every decision needs both halves. */
export function isJoint(membership: Membership): boolean {
  return membership.outgoing.length > 0;
}

export function isVoter(membership: Membership, id: MemberId): boolean {
  return membership.voters.includes(id) || membership.outgoing.includes(id);
}

/** All voters, each once. */
export function votersOf(membership: Membership): readonly MemberId[] {
  if (!isJoint(membership)) return membership.voters;
  return [...new Set([...membership.voters, ...membership.outgoing])];
}

/** All members that receive entries, each once. */
export function membersOf(membership: Membership): readonly MemberId[] {
  const { voters, outgoing, learners, learnersNext } = membership;
  return [...new Set([...voters, ...outgoing, ...learners, ...learnersNext])];
}

/** The membership that leads, in one joint step, from `current` to any other. */
export function joinMemberships(
  current: Membership,
  target: { readonly voters: readonly MemberId[]; readonly learners: readonly MemberId[] },
): Membership {
  const demoted = (id: MemberId): boolean => current.voters.includes(id);
  return {
    voters: target.voters,
    outgoing: current.voters,
    learners: target.learners.filter((id) => !demoted(id)),
    learnersNext: target.learners.filter(demoted),
  };
}

/** The membership after the joint phase. */
export function leaveJoint(membership: Membership): Membership {
  return {
    voters: membership.voters,
    outgoing: [],
    learners: [...membership.learners, ...membership.learnersNext],
    learnersNext: [],
  };
}

/** The rules that every membership keeps, whichever member or tool wrote it. */
export function isWellFormed(membership: Membership): boolean {
  const { voters, outgoing, learners, learnersNext } = membership;
  if (voters.length === 0) return false;
  for (const ids of [voters, outgoing, learners, learnersNext]) {
    if (new Set(ids).size !== ids.length) return false;
    if (!ids.every((id) => Number.isSafeInteger(id) && id > 0)) return false;
  }
  return (
    learners.every((id) => !voters.includes(id) && !outgoing.includes(id)) &&
    learnersNext.every((id) => outgoing.includes(id) && !voters.includes(id))
  );
}

/** Whether one entry may lead from `current`, which is not joint, to `next`. */
export function isValidChange(current: Membership, next: Membership): boolean {
  if (!isWellFormed(next)) return false;
  if (isJoint(next)) return sameMembers(current.voters, next.outgoing);
  const added = next.voters.filter((id) => !current.voters.includes(id)).length;
  const removed = current.voters.filter((id) => !next.voters.includes(id)).length;
  return added + removed <= 1;
}

export function sameMembership(left: Membership, right: Membership): boolean {
  return (
    sameMembers(left.voters, right.voters) &&
    sameMembers(left.outgoing, right.outgoing) &&
    sameMembers(left.learners, right.learners) &&
    sameMembers(left.learnersNext, right.learnersNext)
  );
}

function sameMembers(left: readonly MemberId[], right: readonly MemberId[]): boolean {
  return left.length === right.length && left.every((id) => right.includes(id));
}
