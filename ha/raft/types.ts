/**
 * The vocabulary of the consensus core (Ongaro, "Consensus: Bridging Theory and Practice", 2014).
 *
 * The core is a value that is pushed and asked, never one that acts: messages, ticks and proposals
 * go in, {@link Ready} comes out, and its driver does the disk and network work in between.
 */
import type { MemberId } from "../runtime/types.ts";

export type Term = number & { readonly __brand: "Term" };
export type LogIndex = number & { readonly __brand: "LogIndex" };

export const EntryKind = { normal: 0, membership: 1 } as const;
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind];

export interface Entry {
  readonly term: Term;
  readonly index: LogIndex;
  readonly kind: EntryKind;
  /** Opaque to the core. Empty: the no-op with which a leader opens its term. */
  readonly data: Uint8Array;
}

/** The state that must survive a crash, besides the log. */
export interface HardState {
  readonly term: Term;
  readonly vote: MemberId | undefined;
  readonly commit: LogIndex;
}

/** The members. During joint consensus every quorum also needs a majority of `outgoing`. */
export interface Membership {
  readonly voters: readonly MemberId[];
  readonly outgoing: readonly MemberId[];
  readonly learners: readonly MemberId[];
  /** Learners that were voters in `outgoing` and become learners when the joint phase ends. */
  readonly learnersNext: readonly MemberId[];
}

/** Position and membership of a snapshot; the driver of the core moves its content. */
export interface SnapshotMeta {
  readonly index: LogIndex;
  readonly term: Term;
  readonly membership: Membership;
}

export const MessageType = {
  append: 1,
  appendResponse: 2,
  heartbeat: 3,
  heartbeatResponse: 4,
  preVote: 5,
  preVoteResponse: 6,
  vote: 7,
  voteResponse: 8,
  snapshot: 9,
  propose: 10,
  readIndex: 11,
  readIndexResponse: 12,
  timeoutNow: 13,
  commit: 14,
} as const;
export type MessageType = (typeof MessageType)[keyof typeof MessageType];

export interface Message {
  readonly type: MessageType;
  readonly from: MemberId;
  readonly to: MemberId;
  readonly term: Term;
  /**
   * append: index before `entries`; responses: last index matched (a rejection repeats the index it
   * rejects, so that a stale one is recognised); votes: last log index; commit and the answer to a
   * ReadIndex: a committed index.
   */
  readonly index: LogIndex;
  /** append, commit, the answer to a ReadIndex: term at `index`; votes: term of the last entry. */
  readonly logTerm: Term;
  readonly entries: readonly Entry[];
  readonly commit: LogIndex;
  readonly reject: boolean;
  /** A rejected append suggests where to look next (term and index of the conflict). */
  readonly rejectHint: LogIndex;
  readonly rejectTerm: Term;
  /** ReadIndex: identifies the round; heartbeats and their answers carry it along. 0: none. */
  readonly context: number;
  readonly snapshot: SnapshotMeta | undefined;
  /** A vote asked for by a leadership transfer overrides the leader's lease. */
  readonly force: boolean;
}

export const Role = { follower: 0, preCandidate: 1, candidate: 2, leader: 3, learner: 4 } as const;
export type Role = (typeof Role)[keyof typeof Role];

/**
 * What the driver has to do, in this order:
 *
 * 1. `install`, if present: replace applied state and log by the snapshot (its content has already
 *    been received), before anything below is acted on;
 * 2. send `messages` at once: they promise nothing about this member's disk;
 * 3. make `hardState`, then `entries`, durable in one write. `entries` first truncate the log at
 *    `entries[0].index`;
 * 4. only then send `messagesAfterPersist` (votes, append acknowledgements) and call
 *    `persisted(ready)`: a leader counts itself for an entry from then on;
 * 5. apply `committed`, in order. They are durable on a quorum, and need not be durable here.
 *
 * Steps 3–4 of one Ready may be under way while the next Ready is taken, as long as they complete
 * in order.
 */
export interface Ready {
  readonly install: SnapshotMeta | undefined;
  readonly messages: readonly Message[];
  /**
   * Commit indexes for peers that have no caller waiting for them: to be sent within a moment,
   * unless an append to the peer, which says as much, leaves before that.
   */
  readonly news: readonly Message[];
  /**
   * Present when changed. A commit index that alone has advanced waits for the next write, since
   * losing it loses nothing: it saves a sync per commit.
   */
  readonly hardState: HardState | undefined;
  readonly entries: readonly Entry[];
  readonly messagesAfterPersist: readonly Message[];
  readonly committed: readonly Entry[];
  /** Reads that may be served once `index` is applied. */
  readonly reads: readonly { readonly context: number; readonly index: LogIndex }[];
  /** Read rounds that will never be answered (leader lost): ask again. */
  readonly failedReads: readonly number[];
  /**
   * Peers whose log ends before this leader's begins: the driver streams each a snapshot of its own
   * choice, has the peer step a `snapshot` message when all of it is there, and reports the outcome
   * with `snapshotSent`. The peer is sent no entries meanwhile, so a stalled stream must time out.
   */
  readonly snapshotsWanted: readonly MemberId[];
}

export interface RaftStatus {
  readonly id: MemberId;
  readonly role: Role;
  readonly term: Term;
  readonly leader: MemberId | undefined;
  readonly commit: LogIndex;
  /** Entries before this are compacted away. */
  readonly firstIndex: LogIndex;
  readonly lastIndex: LogIndex;
  readonly membership: Membership;
  /** On the leader: how far each peer is, and whether it was heard within an election timeout. */
  readonly progress: readonly {
    readonly id: MemberId;
    readonly match: LogIndex;
    readonly next: LogIndex;
    readonly state: "probe" | "replicate" | "snapshot";
    readonly recentlyActive: boolean;
    readonly learner: boolean;
  }[];
}

/** Limits of the core; times in ticks, sizes in bytes of entry data. */
export interface RaftConfig {
  readonly id: MemberId;
  readonly electionTicksMin: number;
  /** The randomised timeout is drawn from electionTicksMin..electionTicksMax. */
  readonly electionTicksMax: number;
  readonly heartbeatTicks: number;
  readonly maxEntryBytes: number;
  /** Proposals are refused while this much is proposed but not committed. */
  readonly maxUncommittedBytes: number;
  readonly maxAppendBytes: number;
  readonly maxInflightAppends: number;
  /** Entries handed out per Ready. */
  readonly maxCommittedBytesPerReady: number;
  /** Data of entries that a leader keeps in memory for peers that lack them. */
  readonly maxHeldBytes: number;
  /** Entries that leave memory at a time. */
  readonly releaseStep: number;
}

/** Why a proposal was not taken; nothing has been done and it may be tried elsewhere. */
export type ProposalRefusal = "no-leader" | "too-large" | "too-many-uncommitted" | "transferring";

/** Why a change of the membership was not taken; nothing has been done. */
export type MembershipRefusal = ProposalRefusal | "change-in-progress" | "invalid";

/**
 * A membership to propose, and the entry data that stands for it: the codec's `decode(data)` must
 * give `membership`. The data may hold more than the core reads, such as addresses.
 *
 * With `outgoing` empty the voters differ from the current ones by at most one (one at a time).
 * Otherwise `outgoing` are the current voters and any set may follow (joint consensus); the leader
 * ends the joint phase by itself.
 */
export interface MembershipProposal {
  readonly membership: Membership;
  readonly data: Uint8Array;
}

/** How memberships are written in entries: the one kind of data that the core must read. */
export interface MembershipCodec {
  /**
   * Builds the data of the entries that the core makes by itself: the one that ends a joint phase,
   * and the very first of a new cluster, which spells out the membership it was started with.
   */
  encode(membership: Membership): Uint8Array;
  /** Throws when `data` is not a membership. */
  decode(data: Uint8Array): Membership;
}

/** The state that a member starts with: from its disk, or the initial state of a new cluster. */
/** What the disk holds of the log. */
export interface LogPast {
  /**
   * Entries `from`..`to`, of which it has all; at least the first, otherwise within `maxBytes` of
   * data. Throws DiskError where it does not give them back.
   */
  read(from: LogIndex, to: LogIndex, maxBytes: number): readonly Entry[];
}

export interface RaftStart {
  readonly hardState: HardState;
  /** The log that was kept, contiguous, from `snapshot.index + 1`. */
  readonly entries: readonly Entry[];
  /**
   * The log begins after this. Index 0 and term 0 for a new cluster, with the membership that all
   * of its first members agree on, and for a member that is to join one, with an empty membership.
   */
  readonly snapshot: SnapshotMeta;
  /** The last entry that the state machine has applied; the core hands out later ones again. */
  readonly applied: LogIndex;
  /** Of this log, `entries` included. */
  readonly past: LogPast;
}
