/** What etcd's Cluster and Maintenance services need beyond the {@link Store}. */
import type { MemberId } from "../runtime/types.ts";
import type { Revision } from "../store/mod.ts";

export interface MemberInfo {
  readonly id: MemberId;
  /** Empty until the member has started. */
  readonly name: string;
  readonly peerUrls: readonly string[];
  /** Empty until the member has started. */
  readonly clientUrls: readonly string[];
  readonly learner: boolean;
}

export const AlarmKind = { noSpace: "noSpace", corrupt: "corrupt" } as const;
export type AlarmKind = (typeof AlarmKind)[keyof typeof AlarmKind];

export interface Alarm {
  readonly member: MemberId;
  readonly kind: AlarmKind;
}

export interface KeyHash {
  /** Unsigned 32 bits. */
  readonly hash: number;
  readonly compactRevision: Revision;
  /** Up to which revision it was taken. */
  readonly revision: Revision;
}

/**
 * The member behind the face, as an administrator sees it. Failures are `StatusError`s with etcd's
 * texts where etcd has one (`storeErrors`): memberNotFound, memberExists, memberNotLearner,
 * learnerNotReady, tooManyLearners, notEnoughStarted, badTransferee, notLeader.
 */
export interface StoreAdmin {
  /** In the order of their ids. */
  members(): Promise<readonly MemberInfo[]>;
  /**
   * The `peerUrls` have been checked for being URLs, no more. What else they must say, such as the
   * identity of the member, the implementation refuses with `invalidArgument`.
   */
  memberAdd(member: {
    readonly peerUrls: readonly string[];
    readonly learner: boolean;
  }): Promise<MemberInfo>;
  memberRemove(id: MemberId): Promise<void>;
  memberUpdate(id: MemberId, peerUrls: readonly string[]): Promise<void>;
  memberPromote(id: MemberId): Promise<void>;
  /** This member leads; hands over to another voter. */
  moveLeader(to: MemberId): Promise<void>;
  /** Gives disk space back; this member only. */
  defragment(): Promise<void>;
  /** Of all history up to `revision` (absent: the newest). Equal on all members. */
  hashKv(revision: Revision | undefined): Promise<KeyHash>;
  /** Of the member's whole state. */
  hash(): Promise<number>;
  alarms(): Promise<readonly Alarm[]>;
  /** Answers the alarm that is now active, or has been ended; undefined: nothing changed. */
  alarm(action: "activate" | "deactivate", alarm: Alarm): Promise<Alarm | undefined>;
  /**
   * A backup as of one revision, in Trireme's own format, which must end by itself: the face adds
   * zero bytes up to a multiple of 512 and then the SHA-256 of everything before, because by that
   * `etcdctl snapshot save` knows that it is complete.
   */
  snapshot(): AsyncIterable<Uint8Array>;
  /** Bytes on disk, and those of them that hold data. */
  dbSize(): Promise<{ readonly total: number; readonly inUse: number }>;
}
