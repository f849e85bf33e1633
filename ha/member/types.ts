/** What a member is made of, as its owner configures it. */
import type { MemberId, Peer } from "../runtime/types.ts";

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
}
