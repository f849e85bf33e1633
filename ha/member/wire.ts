/** Between the core's vocabulary and the protobufs of `proto/raft.proto`. */
import {
  MembershipChange,
  type PeerInfo,
  type Membership as WireMembership,
  type SnapshotMeta as WireSnapshotMeta,
} from "../../proto/gen/raft.ts";
import {
  draft,
  type LogIndex,
  type Membership,
  type Message,
  MessageType,
  type SnapshotMeta,
  type Term,
} from "../raft/mod.ts";
import type { MemberId } from "../runtime/types.ts";
import type { Roster } from "./roster.ts";
import type { ClusterPeer } from "./types.ts";

/** A snapshot's position with everybody who takes part there. */
export interface RosterMeta extends SnapshotMeta {
  readonly roster: Roster;
}

export function rosterMetaToWire(meta: RosterMeta): WireSnapshotMeta {
  return { ...snapshotMetaToWire(meta), ...rosterToWire(meta.roster) };
}

export function rosterMetaFromWire(wire: WireSnapshotMeta): RosterMeta {
  return { ...snapshotMetaFromWire(wire), roster: rosterFromWire(wire) };
}

export function snapshotMetaToWire(meta: SnapshotMeta): WireSnapshotMeta {
  return { index: meta.index, term: meta.term, membership: membershipToWire(meta.membership) };
}

export function snapshotMetaFromWire(wire: WireSnapshotMeta): SnapshotMeta {
  return {
    index: (wire.index ?? 0) as LogIndex,
    term: (wire.term ?? 0) as Term,
    membership: membershipFromWire(wire.membership ?? {}),
  };
}

/** What tells the core that a snapshot's content has been received. */
export function snapshotMessage(
  from: MemberId,
  to: MemberId,
  term: Term,
  meta: SnapshotMeta,
): Message {
  const message = draft(MessageType.snapshot, from, to, term);
  message.snapshot = meta;
  return message;
}

function membershipToWire(membership: Membership): WireMembership {
  return {
    voters: [...membership.voters],
    outgoing: [...membership.outgoing],
    learners: [...membership.learners],
    learnersNext: [...membership.learnersNext],
  };
}

function membershipFromWire(wire: WireMembership): Membership {
  return {
    voters: (wire.voters ?? []) as MemberId[],
    outgoing: (wire.outgoing ?? []) as MemberId[],
    learners: (wire.learners ?? []) as MemberId[],
    learnersNext: (wire.learnersNext ?? []) as MemberId[],
  };
}

export function encodeMembershipChange(membership: Membership, roster: Roster): Uint8Array {
  const wire = { membership: membershipToWire(membership), ...rosterToWire(roster) };
  return MembershipChange.encode(wire).finish();
}

export function decodeMembershipChange(data: Uint8Array): {
  readonly membership: Membership;
  readonly roster: Roster;
} {
  const change = MembershipChange.decode(data);
  return {
    membership: membershipFromWire(change.membership ?? {}),
    roster: rosterFromWire(change),
  };
}

function rosterToWire(roster: Roster): { peers: PeerInfo[]; removed: number[] } {
  return { peers: roster.peers.map(peerToWire), removed: [...roster.removed] };
}

function rosterFromWire(wire: {
  peers?: PeerInfo[] | undefined;
  removed?: number[] | undefined;
}): Roster {
  return {
    peers: (wire.peers ?? []).map(peerFromWire),
    removed: (wire.removed ?? []) as MemberId[],
  };
}

export function peerToWire(peer: ClusterPeer): PeerInfo {
  return {
    id: peer.id,
    name: peer.name,
    peerAddresses: [...peer.addresses],
    identity: peer.identity,
    clientAddresses: [...(peer.clientAddresses ?? [])],
    ...(peer.apiAddresses?.length && { apiAddresses: [...peer.apiAddresses] }),
    ...(peer.incarnation && { incarnation: peer.incarnation }),
    ...(peer.catchingUp && { catchingUp: true }),
  };
}

export function peerFromWire(wire: PeerInfo): ClusterPeer {
  return {
    id: (wire.id ?? 0) as MemberId,
    name: wire.name ?? "",
    addresses: wire.peerAddresses ?? [],
    identity: wire.identity ?? "",
    clientAddresses: wire.clientAddresses ?? [],
    ...(wire.apiAddresses?.length && { apiAddresses: wire.apiAddresses }),
    ...(wire.incarnation && { incarnation: wire.incarnation }),
    ...(wire.catchingUp && { catchingUp: true }),
  };
}
