/**
 * The roles of a member and the moves between them.
 *
 * ```
 *             timer, lost link        quorum would vote         quorum voted
 *  ┌──────────┐ ────────▶ ┌───────────────┐ ────▶ ┌───────────┐ ────▶ ┌────────┐
 *  │ follower │           │ pre-candidate │       │ candidate │       │ leader │
 *  └──────────┘ ◀──────── └───────────────┘       └───────────┘       └────────┘
 *        ▲     refused            higher term, or a leader of this term   │
 *        └────────────────────────────────────────────────────────────────┘
 *                                    higher term, no quorum heard, removed
 * ```
 */
import { assert } from "../runtime/assert.ts";
import type { MemberId } from "../runtime/types.ts";
import { isVoter, membersOf } from "./membership.ts";
import { Progress } from "./progress.ts";
import type { State } from "./state.ts";
import { EntryKind, type LogIndex, Role, type Term } from "./types.ts";

/** Becomes a follower in `term`, of `leader` or, while it is undefined, of no member yet. */
export function becomeFollower(state: State, term: Term, leader: MemberId | undefined): void {
  assert(term >= state.term, "the term never decreases");
  if (term > state.term) {
    state.term = term;
    state.vote = undefined;
    state.leaderOfTerm = undefined;
  }
  if (state.role === Role.leader) dropLeadership(state);
  state.role = Role.follower;
  state.votes.clear();
  if (leader !== undefined) {
    assert(
      state.leaderOfTerm === undefined || state.leaderOfTerm === leader,
      "two members lead in one term",
    );
    state.leaderOfTerm = leader;
    state.leaderSilence = 0;
    state.hurriedCampaigns = 0;
  }
  setLeader(state, leader);
  state.resetElectionTimer();
}

/** Begins a pre-vote, which disturbs no other member: neither term nor vote change. */
export function becomePreCandidate(state: State): void {
  assert(state.role !== Role.leader, "a leader does not campaign");
  state.role = Role.preCandidate;
  state.votes.clear();
  state.votes.set(state.id, true);
  setLeader(state, undefined);
  state.resetElectionTimer();
}

/**
 * Votes for itself in a new term. Its own vote is counted only when it is durable: a member that
 * forgot it in a crash could win the same term twice, with another log.
 */
export function becomeCandidate(state: State): void {
  assert(state.role !== Role.leader, "a leader does not campaign");
  state.role = Role.candidate;
  state.term = (state.term + 1) as Term;
  state.vote = state.id;
  state.leaderOfTerm = undefined;
  state.votes.clear();
  setLeader(state, undefined);
  state.resetElectionTimer();
}

/** Opens its term with an empty entry, whose commit also commits what earlier terms left behind. */
export function becomeLeader(state: State): void {
  assert(state.role === Role.candidate, "only a candidate becomes leader");
  assert(state.leaderOfTerm === undefined, "two members lead in one term");
  const { lastIndex } = state.log;
  assert(state.log.unstableIndex === lastIndex + 1, "a leader's inherited log is durable");
  state.role = Role.leader;
  state.leaderOfTerm = state.id;
  state.hurriedCampaigns = 0;
  state.removed = false;
  setLeader(state, state.id);
  state.uncommittedBytes = state.log.bytes(state.commit + 1, lastIndex);
  state.heartbeatElapsed = 0;
  state.quorumElapsed = 0;
  followMembership(state);
  const own = state.own;
  assert(own !== undefined, "a leader knows itself");
  // The vote that made it leader was durable, and every write before that one too.
  own.match = lastIndex;
  openTerm(state);
}

/** Leader only: adds one entry to its log. It is sent when Ready is taken. */
export function appendOwn(state: State, kind: EntryKind, data: Uint8Array): void {
  const { log, term } = state;
  log.push({ term, index: (log.lastIndex + 1) as LogIndex, kind, data });
  state.uncommittedBytes += data.length;
  state.attention = true;
}

/** Leader only: keeps exactly the progress that the current membership asks for. */
export function followMembership(state: State): void {
  const { membership, memberships, progress, config, log } = state;
  const members = membersOf(membership);
  for (const id of [...members, state.id]) {
    let peer = progress.get(id);
    if (peer === undefined) {
      const next = (log.lastIndex + 1) as LogIndex;
      peer = new Progress(id, next, config.maxInflightAppends);
      progress.set(id, peer);
    }
    peer.learner = !isVoter(membership, id);
    peer.leavingAt = 0 as LogIndex;
  }
  for (const peer of progress.values()) {
    if (peer.id === state.id || members.includes(peer.id)) continue;
    peer.leavingAt = memberships.currentIndex;
  }
  state.own = progress.get(state.id);
  const known = (id: MemberId): Progress => progress.get(id) as Progress;
  state.voterProgress = membership.voters.map(known);
  state.outgoingProgress = membership.outgoing.map(known);
  listPeers(state);
}

/** Leader only: a peer that has left, and knows it or does not answer. */
export function forgetPeer(state: State, peer: Progress): void {
  state.progress.delete(peer.id);
  listPeers(state);
}

/** Forgets, or learns, whom to send reads and proposals to. */
function setLeader(state: State, leader: MemberId | undefined): void {
  if (state.leader === leader) return;
  state.leader = leader;
  state.reads.leaderChanged();
  state.attention = true;
}

/**
 * Appends the empty entry of a new term. In a new cluster the log is still empty, and the entry
 * holds the membership that all members were started with: a member that joins later begins with no
 * membership and learns it from this entry.
 */
function openTerm(state: State): void {
  const { memberships, membership, codec, log } = state;
  if (memberships.currentIndex > 0) {
    appendOwn(state, EntryKind.normal, new Uint8Array(0));
    return;
  }
  appendOwn(state, EntryKind.membership, codec.encode(membership));
  memberships.append(log.lastIndex, membership);
}

function listPeers(state: State): void {
  state.peers = [...state.progress.values()].filter((peer) => peer.id !== state.id);
}

function dropLeadership(state: State): void {
  state.progress.clear();
  state.peers = [];
  state.voterProgress = [];
  state.outgoingProgress = [];
  state.own = undefined;
  state.uncommittedBytes = 0;
  state.transferTarget = undefined;
  state.removed = false;
}
