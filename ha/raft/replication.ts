/**
 * Replication as the leader sees it: pipelined appends, heartbeats, the commit index and read
 * rounds (Ongaro 2014, sections 3.5, 3.6, 6.4 and 10.2).
 *
 * Handlers only take notes; what is to be sent is decided once, in {@link sendPending}, when Ready
 * is taken. So everything proposed, acknowledged and committed in one turn leaves in one append per
 * peer, and leaves before the leader's own disk has it.
 */

import type { MemberId } from "../runtime/types.ts";
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
    sendHeartbeats(state, state.peers, state.reads.lastRound);
  }
}

/** Asks all peers about the open read rounds, once each: the first few have not answered. */
export function hurryReads(state: State): void {
  const round = state.reads.takeHurry();
  if (round === 0) return;
  const missing = state.peers.filter(({ readRound }) => readRound < round);
  sendHeartbeats(state, missing, round);
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

/**
 * A follower asks for a read index on behalf of its readers. It sent this request after its readers
 * had asked, and before it voted for any later leader. So the request itself confirms, for these
 * readers only, what a round of heartbeats would ask the follower. Among three members that is a
 * quorum.
 */
export function handleReadIndex(state: State, message: Message): void {
  const peer = state.progress.get(message.from);
  if (peer === undefined) return;
  if (message.term === state.term && state.hasCommittedInTerm && isQuorum(state, peer)) {
    answerRead(state, message.from, message.context, state.commit);
    return;
  }
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
function advanceCommit(state: State): void {
  const index = state.quorumOf(matchOf) as LogIndex;
  if (index <= state.commit || state.log.termAt(index) !== state.term) return;
  state.commitTo(index);
  state.attention = true;
  settleCommit(state);
  // Ending a joint phase changes the quorum, and the new one may have more.
  if (state.quorumOf(matchOf) > index) advanceCommit(state);
}

/** Completes a transfer as soon as the successor has the whole log. */
function handOver(state: State, peer: Progress): void {
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

function sendHeartbeats(state: State, peers: readonly Progress[], round: number): void {
  for (const peer of peers) {
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
  sendHeartbeats(state, roundPeers(state), round);
  confirmReads(state);
}

/**
 * Whom a round asks: with itself a quorum, and no more, for each peer costs two messages and two
 * wake-ups. They are those that have answered last, so that one that has stopped is not relied upon
 * twice; when they take long, {@link hurryReads} asks the others.
 */
function roundPeers(state: State): readonly Progress[] {
  const { own, peers, voterProgress, outgoingProgress } = state;
  const needed = Math.floor(voterProgress.length / 2);
  const simple = outgoingProgress.length === 0 && own !== undefined && voterProgress.includes(own);
  if (!simple || voterProgress.length < 3) return peers;
  return voterProgress
    .filter((voter) => voter !== own)
    .sort((a, b) => activityOf(b) - activityOf(a) || b.readRound - a.readRound)
    .slice(0, needed);
}

function confirmReads(state: State): void {
  const round = state.quorumOf(readRoundOf);
  state.reads.confirmUpTo(round, (to, context, index) => answerRead(state, to, context, index));
  // Reads that waited for a round to end may start theirs.
  if (state.reads.isWaiting) state.attention = true;
}

function answerRead(state: State, to: MemberId, context: number, index: LogIndex): void {
  const answer = state.draft(MessageType.readIndexResponse, to);
  answer.context = context;
  answer.index = index;
  answer.logTerm = state.log.termAt(index) ?? (0 as Term);
  state.messages.push(answer);
}

/** Whether the leader and this peer are a quorum by themselves. */
function isQuorum({ own, voterProgress, outgoingProgress }: State, peer: Progress): boolean {
  if (outgoingProgress.length > 0 || voterProgress.length > 3 || own === undefined) return false;
  return voterProgress.includes(own) && voterProgress.includes(peer);
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
  // While more is about to be committed, the news goes with it, unless the peer waits for it.
  else if (news && isAwaited(state, peer)) sendCommit(state, peer, state.messages);
  else if (news && state.commit === lastIndex) sendCommit(state, peer, state.news);
}

/** A caller of the peer waits for the commit, or the peer is about to take over. */
function isAwaited(state: State, peer: Progress): boolean {
  return peer.awaits > peer.commitSent || state.removed || state.transferTarget === peer.id;
}

/** The peer does not answer this message: it acknowledges the entries by other messages. */
function sendCommit(state: State, peer: Progress, list: Message[]): void {
  const news = state.draft(MessageType.commit, peer.id);
  news.index = state.commit;
  news.logTerm = state.log.termAt(state.commit) ?? (0 as Term);
  peer.commitSent = state.commit;
  list.push(news);
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
