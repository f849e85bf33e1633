/**
 * Everything a member knows, in one place, with the few operations that all files share. The
 * protocol itself is in `roles.ts`, `elections.ts`, `replication.ts`, `reads.ts` and `changes.ts`:
 * functions over this state, each file one chapter of the paper.
 */
import { assert } from "../runtime/assert.ts";
import type { MemberId, Random } from "../runtime/types.ts";
import { Log } from "./log.ts";
import { isVoter, MembershipHistory } from "./membership.ts";
import { type Draft, draft } from "./message.ts";
import type { Progress } from "./progress.ts";
import { jointReached } from "./quorum.ts";
import { Reads } from "./reads.ts";
import {
  EntryKind,
  type LogIndex,
  type Membership,
  type MembershipCodec,
  type Message,
  type MessageType,
  type RaftConfig,
  type RaftStart,
  Role,
  type SnapshotMeta,
  type Term,
} from "./types.ts";

export class State {
  readonly id: MemberId;
  readonly config: RaftConfig;
  readonly random: Random;
  readonly codec: MembershipCodec;
  readonly log: Log;
  readonly memberships: MembershipHistory;
  readonly reads: Reads;

  term: Term;
  vote: MemberId | undefined;
  commit: LogIndex;
  role: Role = Role.follower;
  /** Whom to forward to. Forgotten when the link to it is lost. */
  leader: MemberId | undefined;
  /** The leader of this term, once known; kept until the term ends. */
  leaderOfTerm: MemberId | undefined;
  readonly votes = new Map<MemberId, boolean>();

  /** Ticks since the election timer was last reset. */
  electionElapsed = 0;
  electionTimeout: number;
  /** Ticks since the leader was last heard. */
  leaderSilence = 0;
  /** Campaigns that may still use the short timer, after the link to the leader was lost. */
  hurriedCampaigns = 0;

  /** Leader only: every peer and itself. */
  readonly progress = new Map<MemberId, Progress>();
  /** The values of `progress` without itself. */
  peers: Progress[] = [];
  voterProgress: Progress[] = [];
  outgoingProgress: Progress[] = [];
  /** Itself: `match` is what its own disk holds. */
  own: Progress | undefined;
  heartbeatElapsed = 0;
  quorumElapsed = 0;
  /** Bytes of data in the log that are not committed. */
  uncommittedBytes = 0;
  transferTarget: MemberId | undefined;
  transferElapsed = 0;
  /** Leads, but a committed membership no longer has it among its voters. */
  removed = false;

  messages: Message[] = [];
  news: Message[] = [];
  messagesAfterPersist: Draft[] = [];
  snapshotsWanted: MemberId[] = [];
  install: SnapshotMeta | undefined;
  /** Something has happened that may give cause to send: looked into when Ready is taken. */
  attention = false;

  readonly #voterScratch: number[] = [];
  readonly #outgoingScratch: number[] = [];

  constructor(config: RaftConfig, random: Random, start: RaftStart, codec: MembershipCodec) {
    const { hardState, snapshot, entries, applied, past } = start;
    this.id = config.id;
    this.config = config;
    this.random = random;
    this.codec = codec;
    this.log = new Log(snapshot, entries, past);
    this.memberships = new MembershipHistory(snapshot.index, snapshot.membership);
    for (const entry of entries) {
      if (entry.kind !== EntryKind.membership) continue;
      this.memberships.append(entry.index, codec.decode(entry.data));
    }
    this.reads = new Reads(random.below(2 ** 32));
    this.term = hardState.term;
    this.vote = hardState.vote;
    this.commit = Math.max(hardState.commit, applied, snapshot.index) as LogIndex;
    this.electionTimeout = this.drawTimeout();
    assert(applied >= snapshot.index, "the applied state is not older than the log's beginning");
    assert(this.commit <= this.log.lastIndex, "what is committed or applied is in the log");
    assert(this.term >= this.log.lastTerm, "the log is not ahead of the durable term");
  }

  get membership(): Membership {
    return this.memberships.current;
  }

  /**
   * A voter stands for election. So does one that its latest membership removes, until that is
   * committed: it may be the only one whose log is long enough to win. Its own vote then does not
   * count (Ongaro 2014, section 4.2.2).
   */
  get mayCampaign(): boolean {
    const { current, currentIndex, previous } = this.memberships;
    if (isVoter(current, this.id)) return true;
    return currentIndex > this.commit && previous !== undefined && isVoter(previous, this.id);
  }

  /** This member must refuse its vote: it leads, or has recently heard from the leader. */
  get isLoyal(): boolean {
    if (this.role === Role.leader) return true;
    return this.leader !== undefined && this.leaderSilence < this.config.electionTicksMin;
  }

  /** The leader knows what is committed only after it has committed an entry of its own term. */
  get hasCommittedInTerm(): boolean {
    return this.log.termAt(this.commit) === this.term;
  }

  draft(type: MessageType, to: MemberId): Draft {
    return draft(type, this.id, to, this.term);
  }

  resetElectionTimer(): void {
    this.electionElapsed = 0;
    this.electionTimeout = this.drawTimeout();
  }

  drawTimeout(): number {
    const { electionTicksMin, electionTicksMax, heartbeatTicks } = this.config;
    if (this.hurriedCampaigns > 0) return 1 + this.random.below(2 * heartbeatTicks);
    return electionTicksMin + this.random.below(electionTicksMax - electionTicksMin + 1);
  }

  /** Leader only: the highest number that a quorum has reached. */
  quorumOf(reached: (progress: Progress) => number): number {
    fill(this.#voterScratch, this.voterProgress, reached);
    fill(this.#outgoingScratch, this.outgoingProgress, reached);
    return jointReached(this.#voterScratch, this.#outgoingScratch);
  }

  /** Moves the commit index on; true when it moved. */
  commitTo(index: LogIndex): boolean {
    if (index <= this.commit) return false;
    assert(index <= this.log.lastIndex, "nothing is committed that is not in the log");
    if (this.role === Role.leader) {
      this.uncommittedBytes -= this.log.bytes(this.commit + 1, index);
    }
    this.commit = index;
    return true;
  }
}

function fill(
  scratch: number[],
  progress: readonly Progress[],
  reached: (progress: Progress) => number,
): void {
  scratch.length = progress.length;
  for (let position = 0; position < progress.length; position++) {
    scratch[position] = reached(progress[position] as Progress);
  }
}
