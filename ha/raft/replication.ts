/**
 * Replication as the leader sees it: pipelined appends, heartbeats, the commit index and read
 * rounds (Ongaro 2014, sections 3.5, 3.6, 6.4 and 10.2).
 *
 * Handlers only take notes; what is to be sent is decided once, in {@link sendPending}, when Ready
 * is taken. So everything proposed, acknowledged and committed in one turn leaves in one append per
 * peer, and leaves before the leader's own disk has it.
 */
import { settleCommit } from "./changes.ts";
import type { Draft } from "./message.ts";
import type { Progress } from "./progress.ts";
import { becomeFollower, forgetPeer } from "./roles.ts";
import type { State } from "./state.ts";
import { type LogIndex, type Message, MessageType, type Term } from "./types.ts";

/** Sends every peer what it lacks: entries, or news of the commit index, or a new read round. */
export function sendPending(state: State): void {
  startReadRound(state);
  for (const peer of state.peers) replicateTo(state, peer);
}

/** One tick of a leader. */
export function tickLeader(state: State): void {
  const { heartbeatTicks, electionTicksMin, electionTicksMax } = state.config;
  state.reads.tick(electionTicksMax);
  if (state.transferTarget !== undefined && ++state.transferElapsed >= electionTicksMin) {
    state.transferTarget = undefined;
  }
  if (++state.quorumElapsed >= electionTicksMin) {
    state.quorumElapsed = 0;
    if (!checkQuorum(state)) {
      becomeFollower(state, state.term, undefined);
      return;
    }
  }
  if (++state.heartbeatElapsed >= heartbeatTicks) {
    state.heartbeatElapsed = 0;
    sendHeartbeats(state, state.reads.lastRound);
  }
}

export function handleAppendResponse(state: State, message: Message): void {
  const peer = state.progress.get(message.from);
  if (peer === undefined || message.index > state.log.lastIndex) return;
  peer.recentlyActive = true;
  state.attention = true;
  if (message.reject) {
    const { rejectHint, rejectTerm } = message;
    // The follower skipped its terms above the leader's; the leader skips its own above that.
    const agreed = rejectTerm > 0 ? state.log.lastIndexOfTerm(rejectHint, rejectTerm) : 0;
    peer.rejected(message.index, agreed + 1);
    return;
  }
  if (peer.acknowledged(message.index, state.log.firstIndex)) advanceCommit(state);
  if (peer.leavingAt > 0 && peer.match >= peer.leavingAt && peer.commitSent >= peer.leavingAt) {
    forgetPeer(state, peer);
  }
  if (state.transferTarget === peer.id) handOver(state, peer);
}

export function handleHeartbeatResponse(state: State, message: Message): void {
  const peer = state.progress.get(message.from);
  if (peer === undefined) return;
  peer.recentlyActive = true;
  peer.paused = false;
  if (peer.match < state.log.lastIndex || peer.state === "probe") {
    peer.nudged = true;
    state.attention = true;
  }
  const { lastRound } = state.reads;
  if (message.context > peer.readRound && message.context <= lastRound) {
    peer.readRound = message.context;
    confirmReads(state);
  }
}

/** A follower asks on behalf of its readers. */
export function handleReadIndex(state: State, message: Message): void {
  if (!state.progress.has(message.from)) return;
  state.reads.askRemote(message.from, message.context);
  state.attention = true;
}

export function handleReadIndexResponse(state: State, message: Message): void {
  if (state.leader !== message.from) return;
  state.reads.answered(message.context, message.index);
  // The reader waits for just this entry to be applied.
  if (state.log.matches(message.index, message.logTerm)) state.commitTo(message.index);
}

/** The leader's own disk has everything up to `index`. */
export function ownEntriesPersisted(state: State, index: LogIndex): void {
  const { own } = state;
  if (own === undefined || index <= own.match) return;
  own.match = index;
  own.next = (index + 1) as LogIndex;
  advanceCommit(state);
}

/** Commits what a quorum has, if it is of this term: earlier ones are committed along with it. */
export function advanceCommit(state: State): void {
  const index = state.quorumOf(matchOf) as LogIndex;
  if (index <= state.commit || state.log.termAt(index) !== state.term) return;
  state.commitTo(index);
  state.attention = true;
  settleCommit(state);
  // Ending a joint phase changes the quorum, and the new one may have more.
  if (state.quorumOf(matchOf) > index) advanceCommit(state);
}

/** Completes a transfer as soon as the successor has the whole log. */
export function handOver(state: State, peer: Progress): void {
  if (peer.match < state.log.lastIndex) return;
  state.messages.push(state.draft(MessageType.timeoutNow, peer.id));
}

function matchOf(peer: Progress): number {
  return peer.match;
}

function readRoundOf(peer: Progress): number {
  return peer.readRound;
}

function activityOf(peer: Progress): number {
  return peer.recentlyActive ? 1 : 0;
}

/** Whether a quorum was heard since the last time; peers that left and are silent are forgotten. */
function checkQuorum(state: State): boolean {
  if (state.own !== undefined) state.own.recentlyActive = true;
  const reached = state.quorumOf(activityOf) >= 1;
  for (const peer of state.peers) {
    if (peer.leavingAt > 0 && !peer.recentlyActive) forgetPeer(state, peer);
    peer.recentlyActive = false;
  }
  return reached;
}

function sendHeartbeats(state: State, round: number): void {
  for (const peer of state.peers) {
    const heartbeat = state.draft(MessageType.heartbeat, peer.id);
    heartbeat.commit = Math.min(peer.match, state.commit) as LogIndex;
    heartbeat.context = round;
    state.messages.push(heartbeat);
  }
}

function startReadRound(state: State): void {
  if (!state.reads.canStartRound || !state.hasCommittedInTerm) return;
  const round = state.reads.startRound(state.commit);
  if (state.own !== undefined) state.own.readRound = round;
  sendHeartbeats(state, round);
  confirmReads(state);
}

function confirmReads(state: State): void {
  const round = state.quorumOf(readRoundOf);
  state.reads.confirmUpTo(round, (to, context, index) => {
    const answer = state.draft(MessageType.readIndexResponse, to);
    answer.context = context;
    answer.index = index;
    answer.logTerm = state.log.termAt(index) ?? (0 as Term);
    state.messages.push(answer);
  });
  // Reads that waited for a round to end may start theirs.
  if (state.reads.isWaiting) state.attention = true;
}

function replicateTo(state: State, peer: Progress): void {
  const nudged = peer.nudged;
  peer.nudged = false;
  if (peer.state === "snapshot" || (peer.state === "probe" && peer.paused)) return;
  const { lastIndex } = state.log;
  let sent = false;
  while (peer.next <= lastIndex && !peer.windowFull && !peer.paused) {
    if (!sendAppend(state, peer, state.config.maxAppendBytes)) return;
    sent = true;
  }
  if (sent) return;
  const news = peer.commitSent < state.commit;
  if (nudged || peer.state === "probe" || (news && peer.leavingAt > 0)) sendAppend(state, peer, 0);
  // While more is about to be committed, the news goes with it, unless somebody there waits for it.
  else if (news && (state.commit === lastIndex || peer.awaits > peer.commitSent)) {
    sendCommit(state, peer);
  }
}

/** Is not answered: what it says, the peer has acknowledged or will. */
function sendCommit(state: State, peer: Progress): void {
  const news = state.draft(MessageType.commit, peer.id);
  news.index = state.commit;
  news.logTerm = state.log.termAt(state.commit) ?? (0 as Term);
  peer.commitSent = state.commit;
  state.messages.push(news);
}

/** Sends one append, without entries if `maxBytes` is 0. False: the peer needs a snapshot. */
function sendAppend(state: State, peer: Progress, maxBytes: number): boolean {
  const { log } = state;
  const index = (peer.next - 1) as LogIndex;
  const logTerm = log.termAt(index);
  if (logTerm === undefined) {
    // A peer that has not been heard could not receive one either.
    if (peer.recentlyActive) {
      peer.startSnapshot();
      state.snapshotsWanted.push(peer.id);
    }
    return false;
  }
  const append = state.draft(MessageType.append, peer.id);
  append.index = index;
  append.logTerm = logTerm as Term;
  append.commit = state.commit;
  if (maxBytes > 0) append.entries = log.slice(peer.next, log.lastIndex, maxBytes);
  peer.sent(lastOf(append));
  peer.commitSent = state.commit;
  state.messages.push(append);
  return true;
}

function lastOf(append: Draft): LogIndex {
  return (append.index + append.entries.length) as LogIndex;
}
