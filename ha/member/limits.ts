/** Every limit of a member in one place; `assertLimits` states how they relate. */

import { defaultTimers } from "../runtime/timers.ts";

const ticks = (millis: number) => millis / defaultTimers.tick;

export const limits = {
  /** The core's unit of time. */
  tickMillis: defaultTimers.tick,
  heartbeatTicks: ticks(defaultTimers.heartbeat),
  electionTicksMin: ticks(defaultTimers.electionMin),
  electionTicksMax: ticks(defaultTimers.electionMax),

  /** One log entry: a turn's commands of one member. etcd's request limit is 1.5 MiB. */
  requestBytesMax: 1.5 * 1024 * 1024,
  entryBytesMax: 4 * 1024 * 1024,
  /** Commands gathered into one entry. */
  commandsPerEntryMax: 512,
  /** Proposed but not yet committed, on the leader. */
  uncommittedBytesMax: 64 * 1024 * 1024,
  appendBytesMax: 1024 * 1024,
  inflightAppendsMax: 64,
  committedBytesPerReadyMax: 8 * 1024 * 1024,

  /** Commands of this member that wait for their outcome. */
  pendingCommandsMax: 16_384,
  /** Rounds of reads under way at once. */
  readRoundsMax: 2,
  /** Reads that wait for a confirmed index. */
  pendingReadsMax: 65_536,
  /** Calls to the leader that wait for an answer. */
  pendingCallsMax: 4_096,
  /** How long a request may wait for a leader and a quorum. */
  requestTimeoutMillis: defaultTimers.storeRequest,
  /** A read round without an answer is asked again after this. */
  readRetryMillis: 250,
  /** A round that the fewest possible peers have not confirmed by then is put to all. */
  readHurryMillis: 3,
  /** How long news of a commit waits for an append to go along with. */
  newsHeldMillis: 1,

  /** Bytes of the log that a leader keeps in memory for slow followers: the rest it reads back. */
  logBytesHeld: 8 * 1024 * 1024,
  /** Entries that leave memory at a time. */
  logReleaseStep: 64,
  /** Entries kept behind the applied index for slow followers, and bytes of them. */
  logEntriesKept: 5_000,
  /** Of a log that is heavy for its length. */
  logEntriesKeptMin: 500,
  logBytesKept: 64 * 1024 * 1024,
  /** The log is cut when it is longer than kept by this many entries. */
  logEntriesSlack: 5_000,

  snapshotChunkBytes: 512 * 1024,
  snapshotChunksInflight: 8,
  /** A snapshot stream without progress is given up after this. */
  snapshotStallMillis: 5_000,
  /** Operations of one write while a received snapshot is put in place. */
  installOperationsPerWrite: 2_000,

  /**
   * Modifications forgotten at a time after a compaction, and the pause between two times: 100,000
   * a second, more than can be made.
   */
  compactionOperationsPerStep: 500,
  compactionPauseMillis: 5,
  /** Leases whose end is proposed per check, and how often is checked. */
  leasesExpiredPerCheck: 500,
  leaseCheckMillis: 200,
  /** Bytes on disk beyond which writes are refused (etcd's default), and how often is measured. */
  quotaBytes: 2 * 1024 ** 3,
  quotaCheckMillis: 1_000,
  /** How often the leader compares all members' states (etcd's interval); 0: never. */
  corruptCheckMillis: 5 * 60_000,
  /** Keys digested at a time for a hash; the member has other things to do in between. */
  hashKeysPerTurn: 5_000,

  /** Members of a cluster, and learners among them (etcd's `--max-learners`). */
  membersMax: 9,
  learnersMax: 1,
  /** A learner that lacks no more entries than this may become a voter. */
  promotionLagEntries: 1_000,
  /** A peer that lacks no more entries than this takes over at once from a leader that closes. */
  successorLagEntries: 200,
  /** Removed members whose ids are remembered. */
  removedRemembered: 1_000,
  /** Changes of the membership that wait for their turn. */
  pendingChangesMax: 64,
  /** How long the link to a removed member is kept, so that it hears of its removal. */
  removedLingerMillis: 3_000,
  /** A member whose word about its name or addresses was not heard tries again after this. */
  announceMillis: 1_000,
  /**
   * How often a member without data asks its peers, and how often its log says what it waits for.
   */
  helloMillis: 100,
  foundingReportMillis: 5_000,
  /** Between two rounds of calls to members whose identities are not known. */
  introductionPauseMillis: 200,
  /** Bytes and count of a member's addresses. */
  addressBytesMax: 300,
  addressesMax: 16,

  /** Pages of the disk read at start. */
  scanPageEntries: 1_000,
} as const;

export type MemberLimits = { readonly [name in keyof typeof limits]: number };

/**
 * What one member may be given instead; the sizes of disk pages and writes are the same for all.
 */
export type LimitOverrides = Partial<
  Omit<MemberLimits, "scanPageEntries" | "installOperationsPerWrite">
>;

/** The limits with these in the place of the defaults. Throws where they contradict each other. */
export function limitsWith(overrides: LimitOverrides | undefined): MemberLimits {
  const given = { ...limits, ...overrides };
  assertLimits(given);
  return given;
}

/** Throws with the relation that does not hold. */
function assertLimits(given: MemberLimits): void {
  const relations: readonly (readonly [boolean, string])[] = [
    [given.heartbeatTicks * 3 <= given.electionTicksMin, "heartbeatTicks × 3 ≤ electionTicksMin"],
    [given.electionTicksMin < given.electionTicksMax, "electionTicksMin < electionTicksMax"],
    [
      given.requestTimeoutMillis > 2 * given.electionTicksMax * given.tickMillis,
      "requestTimeoutMillis > 2 × electionTicksMax × tickMillis",
    ],
    [given.requestBytesMax < given.entryBytesMax, "requestBytesMax < entryBytesMax"],
    [given.entryBytesMax <= given.uncommittedBytesMax, "entryBytesMax ≤ uncommittedBytesMax"],
    [
      given.readRetryMillis >= given.heartbeatTicks * given.tickMillis,
      "readRetryMillis ≥ heartbeatTicks × tickMillis",
    ],
    [
      given.readHurryMillis < given.heartbeatTicks * given.tickMillis,
      "readHurryMillis < heartbeatTicks × tickMillis",
    ],
    [given.newsHeldMillis < given.tickMillis, "newsHeldMillis < tickMillis"],
    [given.learnersMax < given.membersMax, "learnersMax < membersMax"],
    [
      given.corruptCheckMillis === 0 ||
        given.corruptCheckMillis > given.heartbeatTicks * given.tickMillis,
      "corruptCheckMillis > heartbeatTicks × tickMillis, or 0",
    ],
    [
      given.snapshotChunkBytes * given.snapshotChunksInflight <= given.uncommittedBytesMax,
      "snapshotChunkBytes × snapshotChunksInflight ≤ uncommittedBytesMax",
    ],
  ];
  for (const [holds, relation] of relations) {
    if (!holds) throw new Error(`limits of the member: ${relation} does not hold`);
  }
}
