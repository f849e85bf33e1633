/**
 * The consensus core as its driver sees it: a value that is pushed and asked, and never acts.
 *
 * `step`, `tick`, `propose` and their like take notes; {@link Raft.ready} says what has to be done,
 * and in which order (see {@link Ready}). Nothing here waits, so nothing here can be interrupted.
 */
import { assert } from "../runtime/assert.ts";
import type { MemberId, Random } from "../runtime/types.ts";
import * as changes from "./changes.ts";
import * as elections from "./elections.ts";
import { handle } from "./handle.ts";
import { isVoter } from "./membership.ts";
import * as replication from "./replication.ts";
import { State } from "./state.ts";
import {
  type Entry,
  type HardState,
  type LogIndex,
  type MembershipCodec,
  type MembershipProposal,
  type MembershipRefusal,
  type Message,
  MessageType,
  type ProposalRefusal,
  type RaftConfig,
  type RaftStart,
  type RaftStatus,
  type Ready,
  Role,
  type SnapshotMeta,
  type Term,
} from "./types.ts";

const none: readonly never[] = [];

export class Raft {
  readonly #state: State;
  #durable: HardState;
  /** Handed out to be applied. */
  #handedOut: LogIndex;
  #applied: LogIndex;
  /** Readys whose write is under way, oldest first. */
  readonly #writing: Ready[] = [];

  /** Throws {@link AssertionError} when `start` contradicts itself: the disk cannot be trusted. */
  constructor(config: RaftConfig, random: Random, start: RaftStart, codec: MembershipCodec) {
    checkConfig(config);
    this.#state = new State(config, random, start, codec);
    this.#durable = start.hardState;
    this.#handedOut = start.applied;
    this.#applied = start.applied;
    this.#release();
  }

  /** A message has arrived. Ignores what is stale, misplaced or impossible. */
  step(message: Message): void {
    handle(this.#state, message);
  }

  /** Time passes: the only clock of the core. */
  tick(): void {
    if (this.#state.role === Role.leader) replication.tickLeader(this.#state);
    else elections.tickElection(this.#state);
  }

  /**
   * Proposes one entry per item, all or none. On a follower they are sent on to the leader of this
   * term. They are taken up in this term or never: when an entry of a later term has been applied
   * and they have not, they are lost and may be proposed again.
   */
  propose(data: readonly Uint8Array[]): ProposalRefusal | undefined {
    return changes.propose(this.#state, data);
  }

  /** Leader only. A joint phase is ended by the leader, with data that the codec encodes. */
  proposeMembership(proposal: MembershipProposal): MembershipRefusal | undefined {
    return changes.proposeMembership(this.#state, proposal);
  }

  /** Asks for an index to read at; `context` comes back in Ready's `reads` or `failedReads`. */
  readIndex(context: number): void {
    this.#state.reads.ask(context);
    this.#state.attention = true;
  }

  /** Leader only: something in its log is not committed yet. */
  get hasUncommitted(): boolean {
    const { role, commit, log } = this.#state;
    return role === Role.leader && commit < log.lastIndex;
  }

  /** Leader only: the oldest read round that is not confirmed; 0: none. */
  get openReadRound(): number {
    return this.#state.role === Role.leader ? this.#state.reads.oldestRound : 0;
  }

  /**
   * Leader only: the peers asked so far take too long, so all peers are asked about open rounds.
   */
  hurryReads(): void {
    if (this.#state.role === Role.leader) replication.hurryReads(this.#state);
  }

  /**
   * Leader only: `to`, a voter, takes over once it has the log; given up after an election timeout.
   */
  transferLeadership(to: MemberId): void {
    changes.transferLeadership(this.#state, to);
  }

  /**
   * Leader only: the message that has `to` campaign at once, which has the whole log. For a leader
   * that ends and takes no Ready any more.
   */
  farewell(to: MemberId): Message {
    return this.#state.draft(MessageType.timeoutNow, to);
  }

  /** Tries to be elected, beginning with a pre-vote. */
  campaign(): void {
    elections.preCampaign(this.#state);
  }

  /** The connection to a peer broke. If it was the leader, a pre-vote begins at once. */
  linkLost(peer: MemberId): void {
    if (this.#state.role === Role.leader) this.unreachable(peer);
    else if (this.#state.leader === peer) elections.leaderLinkLost(this.#state);
  }

  /** A message to a peer was dropped: stop assuming that appends arrive. */
  unreachable(peer: MemberId): void {
    this.#state.progress.get(peer)?.unreachable();
    this.hurryReads();
    if (this.#state.transferTarget === peer) this.#state.transferTarget = undefined;
  }

  /** The snapshot that `snapshotsWanted` asked for was taken by the peer, or was not. */
  snapshotSent(peer: MemberId, ok: boolean): void {
    this.#state.progress.get(peer)?.finishSnapshot(ok, this.#state.log.lastIndex);
  }

  /** Whether {@link ready} has anything to say. */
  hasReady(): boolean {
    const state = this.#state;
    return (
      state.attention ||
      state.messages.length > 0 ||
      state.news.length > 0 ||
      state.messagesAfterPersist.length > 0 ||
      state.commit > this.#handedOut ||
      state.log.unstableIndex <= state.log.lastIndex ||
      state.term !== this.#durable.term ||
      state.vote !== this.#durable.vote ||
      state.reads.confirmed.length > 0 ||
      state.reads.failed.length > 0 ||
      state.snapshotsWanted.length > 0 ||
      state.install !== undefined
    );
  }

  /** Takes everything there is to do; each item is handed out once. */
  ready(): Ready {
    const state = this.#state;
    if (state.attention) this.#attend();
    const { install, messages, news, messagesAfterPersist, snapshotsWanted } = state;
    const { confirmed: reads, failed: failedReads } = state.reads;
    if (install !== undefined) this.#handedOut = install.index;
    const entries = state.log.takeUnstable();
    const hardState = this.#takeHardState(entries.length > 0 || install !== undefined);
    // An empty list stays with the state, where it will be filled: it is not given away.
    const ready: Ready = {
      install,
      messages: messages.length > 0 ? messages : none,
      news: news.length > 0 ? news : none,
      hardState,
      entries,
      messagesAfterPersist: messagesAfterPersist.length > 0 ? messagesAfterPersist : none,
      committed: this.#takeCommitted(),
      reads: reads.length > 0 ? reads : none,
      failedReads: failedReads.length > 0 ? failedReads : none,
      snapshotsWanted: snapshotsWanted.length > 0 ? snapshotsWanted : none,
    };
    if (messages.length > 0) state.messages = [];
    if (news.length > 0) state.news = [];
    if (messagesAfterPersist.length > 0) state.messagesAfterPersist = [];
    if (snapshotsWanted.length > 0) state.snapshotsWanted = [];
    if (reads.length > 0) state.reads.confirmed = [];
    if (failedReads.length > 0) state.reads.failed = [];
    state.install = undefined;
    if (needsWrite(ready)) this.#writing.push(ready);
    return ready;
  }

  /**
   * The `hardState` and `entries` of `ready` are durable. In the order in which they were taken.
   */
  persisted(ready: Ready): void {
    if (!needsWrite(ready)) return;
    assert(this.#writing.shift() === ready, "writes complete in the order of their Readys");
    const state = this.#state;
    const last = ready.entries.at(-1);
    if (last !== undefined) state.log.persisted(last);
    if (last !== undefined && last.term === state.term && state.role === Role.leader) {
      replication.ownEntriesPersisted(state, last.index);
    }
    const { hardState } = ready;
    if (hardState?.term === state.term && hardState.vote === state.id) {
      elections.ownVotePersisted(state);
    }
    this.#release();
  }

  /** The state machine has applied everything up to `index`, or was installed at it. */
  applied(index: LogIndex): void {
    assert(index <= this.#handedOut, "nothing is applied that was not handed out");
    if (index > this.#applied) this.#applied = index;
    this.#release();
  }

  /**
   * Forgets entries up to `index`, which a snapshot now stands for. Peers that lack them need it.
   */
  compact(index: LogIndex): void {
    assert(index <= this.#applied, "only what is applied is compacted");
    this.#state.log.compactTo(index);
    this.#state.memberships.compactTo(index);
  }

  /** Undefined when the entry is compacted away or not there yet. */
  termAt(index: LogIndex): Term | undefined {
    return this.#state.log.termAt(index);
  }

  /**
   * Entries from `from` on, at least one if there is any, otherwise within `maxBytes` of data, and
   * not beyond those that are on the disk alone when the first one is.
   */
  entriesFrom(from: LogIndex, maxBytes: number): readonly Entry[] {
    const { log } = this.#state;
    return log.slice(from, log.lastIndex, maxBytes);
  }

  /** Term and membership of a snapshot taken at `index`; undefined outside of the log. */
  snapshotAt(index: LogIndex): SnapshotMeta | undefined {
    const term = this.#state.log.termAt(index);
    if (term === undefined) return undefined;
    return { index, term, membership: this.#state.memberships.at(index) };
  }

  get term(): Term {
    return this.#state.term;
  }

  get leader(): MemberId | undefined {
    return this.#state.leader;
  }

  get role(): Role {
    const { role, membership } = this.#state;
    return role === Role.follower && !isVoter(membership, this.#state.id) ? Role.learner : role;
  }

  status(): RaftStatus {
    const state = this.#state;
    const { id, term, leader, commit, membership, log } = state;
    return {
      id,
      role: this.role,
      term,
      leader,
      commit,
      firstIndex: log.firstIndex,
      lastIndex: log.lastIndex,
      membership,
      progress: state.peers.map((peer) => ({
        id: peer.id,
        match: peer.match,
        next: peer.next,
        state: peer.state,
        recentlyActive: peer.recentlyActive,
        learner: peer.learner,
      })),
    };
  }

  #attend(): void {
    const state = this.#state;
    state.attention = false;
    if (state.role === Role.leader) {
      replication.sendPending(state);
      if (state.removed) changes.leaveOffice(state);
    } else if (state.leader !== undefined && state.reads.isWaiting) {
      const message = state.draft(MessageType.readIndex, state.leader);
      message.context = state.reads.forward();
      state.messages.push(message);
    }
  }

  #takeHardState(writing: boolean): HardState | undefined {
    const { term, vote, commit } = this.#state;
    const { term: durableTerm, vote: durableVote, commit: durableCommit } = this.#durable;
    assert(commit >= durableCommit, "the commit index never decreases");
    const due = term !== durableTerm || vote !== durableVote;
    if (!due && !(writing && commit !== durableCommit)) return undefined;
    this.#durable = { term, vote, commit };
    return this.#durable;
  }

  /** Lets go of what is applied here and, while this member leads, known to be with every peer. */
  #release(): void {
    const { log, peers } = this.#state;
    const { maxHeldBytes, releaseStep } = this.#state.config;
    let wanted: number = this.#applied;
    for (const { match } of peers) wanted = Math.min(wanted, match);
    log.release(this.#applied, wanted, maxHeldBytes, releaseStep);
  }

  #takeCommitted(): readonly Entry[] {
    const { commit, log, config } = this.#state;
    if (commit <= this.#handedOut) return none;
    const from = (this.#handedOut + 1) as LogIndex;
    const committed = log.slice(from, commit, config.maxCommittedBytesPerReady);
    this.#handedOut = (this.#handedOut + committed.length) as LogIndex;
    return committed;
  }
}

function needsWrite(ready: Ready): boolean {
  return ready.hardState !== undefined || ready.entries.length > 0 || ready.install !== undefined;
}

function checkConfig(config: RaftConfig): void {
  const { electionTicksMin, electionTicksMax, heartbeatTicks } = config;
  assert(heartbeatTicks >= 1, "heartbeatTicks is at least 1");
  assert(electionTicksMin > heartbeatTicks, "electionTicksMin is above heartbeatTicks");
  assert(electionTicksMax > electionTicksMin, "electionTicksMax is above electionTicksMin");
  assert(config.maxInflightAppends >= 1, "maxInflightAppends is at least 1");
  assert(config.maxAppendBytes >= 1, "maxAppendBytes is at least 1");
}
