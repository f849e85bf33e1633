/**
 * Proposals, and changes of leader and membership: leadership transfer (Ongaro 2014,
 * section 3.10) and membership change, one at a time or joint (sections 4.1 and 4.3).
 */
import type { MemberId } from "../runtime/types.ts";
import { isJoint, isValidChange, isVoter, leaveJoint, sameMembership } from "./membership.ts";
import { appendOwn, becomeFollower, followMembership } from "./roles.ts";
import type { State } from "./state.ts";
import {
  EntryKind,
  type LogIndex,
  type Membership,
  type MembershipProposal,
  type MembershipRefusal,
  MessageType,
  type ProposalRefusal,
  Role,
} from "./types.ts";

/** Leader: appends. Follower: sends on, if it knows where to. */
export function propose(state: State, data: readonly Uint8Array[]): ProposalRefusal | undefined {
  let bytes = 0;
  for (const item of data) {
    if (item.length > state.config.maxEntryBytes) return "too-large";
    bytes += item.length;
  }
  if (state.role !== Role.leader) return forward(state, data);
  const refusal = refusalOf(state, bytes);
  if (refusal !== undefined) return refusal;
  for (const item of data) appendOwn(state, EntryKind.normal, item);
  return undefined;
}

export function proposeMembership(
  state: State,
  proposal: MembershipProposal,
): MembershipRefusal | undefined {
  const { membership, data } = proposal;
  if (state.role !== Role.leader) return "no-leader";
  if (data.length > state.config.maxEntryBytes) return "too-large";
  // An entry of this term must be committed first, else two leaders' changes could overlap
  // (the correction to single-server changes that Ongaro published in 2015).
  const underWay = state.memberships.currentIndex > state.commit || isJoint(state.membership);
  if (underWay || !state.hasCommittedInTerm) return "change-in-progress";
  if (!isValidChange(state.membership, membership)) return "invalid";
  try {
    if (!sameMembership(state.codec.decode(data), membership)) return "invalid";
  } catch {
    // The proposer gets the error here; a member that could not decode the entry would be stuck.
    return "invalid";
  }
  const refusal = refusalOf(state, data.length);
  if (refusal !== undefined) return refusal;
  appendMembership(state, membership, data);
  return undefined;
}

export function transferLeadership(state: State, to: MemberId): void {
  const successor = state.progress.get(to);
  if (successor === undefined || to === state.id || !isVoter(state.membership, to)) return;
  if (state.transferTarget === to) return;
  state.transferTarget = to;
  state.transferElapsed = 0;
  state.attention = true;
  if (successor.match === state.log.lastIndex) {
    state.messages.push(state.draft(MessageType.timeoutNow, to));
  }
}

/** Leader: what a new commit index makes possible, or necessary. */
export function settleCommit(state: State): void {
  const { membership, memberships } = state;
  if (memberships.currentIndex > state.commit) return;
  if (isJoint(membership)) {
    const after = leaveJoint(membership);
    appendMembership(state, after, state.codec.encode(after));
  } else if (!isVoter(membership, state.id)) {
    state.removed = true;
  }
}

/** A leader that is no voter any more goes, after it has named a successor to save the timeout. */
export function leaveOffice(state: State): void {
  let successor = state.voterProgress[0];
  for (const voter of state.voterProgress) {
    if (successor === undefined || voter.match > successor.match) successor = voter;
  }
  if (successor !== undefined && successor.match >= state.commit) {
    state.messages.push(state.draft(MessageType.timeoutNow, successor.id));
  }
  becomeFollower(state, state.term, undefined);
}

function appendMembership(state: State, membership: Membership, data: Uint8Array): void {
  const index = (state.log.lastIndex + 1) as LogIndex;
  appendOwn(state, EntryKind.membership, data);
  state.memberships.append(index, membership);
  followMembership(state);
}

/** When no entry is uncommitted, a proposal of any size is accepted: none is refused for ever. */
function refusalOf(state: State, bytes: number): ProposalRefusal | undefined {
  if (state.transferTarget !== undefined) return "transferring";
  const { uncommittedBytes, config } = state;
  if (uncommittedBytes > 0 && uncommittedBytes + bytes > config.maxUncommittedBytes) {
    return "too-many-uncommitted";
  }
  return undefined;
}

function forward(state: State, data: readonly Uint8Array[]): ProposalRefusal | undefined {
  if (state.leader === undefined) return "no-leader";
  if (data.length === 0) return undefined;
  const message = state.draft(MessageType.propose, state.leader);
  const { term } = state;
  const index = 0 as LogIndex;
  message.entries = data.map((item) => ({ term, index, kind: EntryKind.normal, data: item }));
  state.messages.push(message);
  return undefined;
}
