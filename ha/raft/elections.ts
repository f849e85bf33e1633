/**
 * Elections: pre-vote, vote, and what hastens or hinders them (Ongaro 2014, sections 3.4, 4.2.3
 * and 9.6).
 *
 * A vote request leaves only after the vote for itself and the log it speaks of are durable: it is
 * a promise. A pre-vote promises nothing and goes out at once, both ways.
 */
import type { MemberId } from "../runtime/types.ts";
import { votersOf } from "./membership.ts";
import { jointVote } from "./quorum.ts";
import { becomeCandidate, becomeFollower, becomeLeader, becomePreCandidate } from "./roles.ts";
import type { State } from "./state.ts";
import { type Message, MessageType, Role, type Term } from "./types.ts";

/** How often a member that lost the link to its leader tries again in quick succession. */
const hurriedCampaignsMax = 3;

/** Asks whether it would be elected. */
export function preCampaign(state: State): void {
  if (state.role === Role.leader || !state.mayCampaign) return;
  becomePreCandidate(state);
  for (const voter of votersOf(state.membership)) {
    if (voter === state.id) continue;
    const request = state.draft(MessageType.preVote, voter);
    request.term = (state.term + 1) as Term;
    request.index = state.log.lastIndex;
    request.logTerm = state.log.lastTerm;
    state.messages.push(request);
  }
  countVotes(state);
}

/**
 * Stands for election. `force` overrides the voters' loyalty to a leader that wants to be replaced.
 */
function campaign(state: State, force: boolean): void {
  if (state.role === Role.leader || !state.mayCampaign) return;
  becomeCandidate(state);
  for (const voter of votersOf(state.membership)) {
    if (voter === state.id) continue;
    const request = state.draft(MessageType.vote, voter);
    request.index = state.log.lastIndex;
    request.logTerm = state.log.lastTerm;
    request.force = force;
    state.messagesAfterPersist.push(request);
  }
}

/** The vote for itself is durable from now on. */
export function ownVotePersisted(state: State): void {
  if (state.role !== Role.candidate) return;
  state.votes.set(state.id, true);
  countVotes(state);
}

/** One tick of a member that does not lead. */
export function tickElection(state: State): void {
  state.electionElapsed++;
  state.leaderSilence++;
  state.reads.tick(state.config.electionTicksMax);
  if (state.electionElapsed < state.electionTimeout || !state.mayCampaign) return;
  if (state.hurriedCampaigns > 0) state.hurriedCampaigns--;
  preCampaign(state);
}

/**
 * The link to the leader broke: this member campaigns without waiting for its timer. The others
 * refuse as long as they still hear the leader; if it is really gone, their links broke too. Should
 * the first attempt come to nothing, the next few follow after a short random time.
 */
export function leaderLinkLost(state: State): void {
  state.hurriedCampaigns = hurriedCampaignsMax;
  becomeFollower(state, state.term, undefined);
  preCampaign(state);
}

export function handlePreVote(state: State, message: Message): void {
  const { from, term } = message;
  const ahead = state.log.compareEnd(message.index, message.logTerm);
  const sameRound = term === state.term + 1;
  const free =
    term > state.term ||
    state.vote === from ||
    (state.vote === undefined && state.leader === undefined);
  const leaderless = !state.isLoyal;
  let granted = leaderless && free && ahead <= 0;
  let favoured = false;
  if (state.role === Role.preCandidate && sameRound) {
    // Both members ask at once, as all do when their leader dies. The member with the better log
    // goes
    // first, or the lower id if the logs are equal. A pre-candidate has no leader, so its request
    // counts like a granted pre-vote.
    favoured = ahead > 0 || (ahead === 0 && state.id < from);
    if (favoured) granted = false;
  } else if (leaderless && ahead > 0 && sameRound && state.role === Role.follower) {
    // The sender cannot win, and no leader is known: this member campaigns itself.
    preCampaign(state);
    favoured = state.mayCampaign;
  }
  answerPreVote(state, message, granted);
  if (favoured) recordVote(state, from, true);
}

/** A vote request of this term; higher terms have been adopted, lower ones answered. */
export function handleVote(state: State, message: Message): void {
  const { from } = message;
  const free =
    state.vote === from || (state.vote === undefined && state.leaderOfTerm === undefined);
  const granted = free && state.log.compareEnd(message.index, message.logTerm) <= 0;
  if (granted) {
    state.vote = from;
    state.resetElectionTimer();
  }
  const answer = state.draft(MessageType.voteResponse, from);
  answer.reject = !granted;
  state.messagesAfterPersist.push(answer);
}

/** A granted pre-vote carries the term it was asked for; a refused one the refuser's. */
export function handlePreVoteResponse(state: State, message: Message): void {
  if (state.role !== Role.preCandidate) return;
  if (!message.reject && message.term !== state.term + 1) return;
  recordVote(state, message.from, !message.reject);
}

export function handleVoteResponse(state: State, message: Message): void {
  if (state.role !== Role.candidate) return;
  recordVote(state, message.from, !message.reject);
}

/** The leader transfers leadership: no pre-vote, and voters do not wait for their leader lease. */
export function handleTimeoutNow(state: State, message: Message): void {
  if (state.leaderOfTerm === message.from) campaign(state, true);
}

/** Refuses a candidate of an earlier term and tells it the present one. */
export function refuseOutdated(state: State, message: Message): void {
  const type =
    message.type === MessageType.preVote ? MessageType.preVoteResponse : MessageType.voteResponse;
  const answer = state.draft(type, message.from);
  answer.reject = true;
  state.messages.push(answer);
}

function answerPreVote(state: State, message: Message, granted: boolean): void {
  const answer = state.draft(MessageType.preVoteResponse, message.from);
  answer.reject = !granted;
  // The pre-candidate ignores a refusal of an earlier term than its own.
  answer.term = granted ? message.term : (Math.max(state.term, message.term - 1) as Term);
  state.messages.push(answer);
}

function recordVote(state: State, from: MemberId, granted: boolean): void {
  if (!state.votes.has(from)) state.votes.set(from, granted);
  else if (granted && state.role === Role.preCandidate) state.votes.set(from, true);
  countVotes(state);
}

function countVotes(state: State): void {
  const { voters, outgoing } = state.membership;
  const outcome = jointVote(voters, outgoing, state.votes);
  if (outcome === "lost") becomeFollower(state, state.term, undefined);
  if (outcome !== "won") return;
  if (state.role === Role.preCandidate) campaign(state, false);
  else if (state.votes.get(state.id) === true) becomeLeader(state);
}
