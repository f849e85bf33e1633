/** What a member is made of, as its owner configures it. */
import type { MemberId, Peer } from "../runtime/types.ts";
import type { WatchLimits } from "../store/mod.ts";
import type { LimitOverrides } from "./limits.ts";

export interface ClusterPeer extends Peer {
  /** URLs under which clients reach the member; empty until it has told. */
  readonly clientAddresses?: readonly string[];
  /** Where it serves an API on top of the store, for balancers; empty until it has told. */
  readonly apiAddresses?: readonly string[];
  /** Of the disk with which the member takes part; absent: it has not started. */
  readonly incarnation?: number;
  /** A learner that becomes a voter as soon as it has caught up. */
  readonly catchingUp?: boolean;
}

export interface MemberOptions {
  readonly id: MemberId;
  readonly name: string;
  /** Own libp2p peer id: the data directory is bound to it. */
  readonly identity: string;
  /**
   * `new`: every founding member, this one included; the same set everywhere gives the same
   * cluster. `existing`: whom to ask. Only looked at when the disk is empty: from then on the
   * membership is part of the replicated state.
   */
  readonly cluster: readonly ClusterPeer[];
  /** Tells clusters with the same founders apart; the same on all founders. Default: empty. */
  readonly clusterToken?: string | undefined;
  /** `existing`: the member joins a cluster that has added it. Default `new`. */
  readonly initialClusterState?: "new" | "existing" | undefined;
  /** URLs under which clients reach this member; the others are told. */
  readonly clientAddresses?: readonly string[] | undefined;
  /** Where it serves an API on top of the store; the others are told, and tell balancers. */
  readonly apiAddresses?: readonly string[] | undefined;
  /**
   * Bytes on disk beyond which a NOSPACE alarm is raised. Default, and 0: 2 GiB, as in etcd.
   * Below 0: no quota.
   */
  readonly quotaBytes?: number | undefined;
  /** The id that belongs to an identity; throws a StatusError where it is none. */
  readonly identify?: ((identity: string) => MemberId) | undefined;
  /** In the place of the defaults, for tests: a short log makes followers need snapshots. */
  readonly limits?: LimitOverrides;
  readonly watchLimits?: WatchLimits;
}
