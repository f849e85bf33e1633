/** What a member is made of, as its owner configures it. */
import type { MemberId, Peer } from "../runtime/types.ts";
import type { WatchLimits } from "../store/mod.ts";
import type { LimitOverrides } from "./limits.ts";

export interface ClusterPeer extends Peer {
  /** URLs under which clients reach the member; empty until it has told. */
  readonly clientAddresses?: readonly string[];
}

export interface MemberOptions {
  readonly id: MemberId;
  readonly name: string;
  /** Own libp2p peer id: the data directory is bound to it. */
  readonly identity: string;
  /** Every founding member, this one included. The same set everywhere gives the same cluster. */
  readonly cluster: readonly ClusterPeer[];
  /** In the place of the defaults, for tests: a short log makes followers need snapshots. */
  readonly limits?: LimitOverrides;
  readonly watchLimits?: WatchLimits;
}
