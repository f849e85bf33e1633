/** Between the core's vocabulary and the protobufs of `proto/raft.proto`. */
import {
  type Answer,
  type Call,
  Frame,
  MembershipChange,
  type PeerInfo,
  type RosterNews,
  type SnapshotChunk,
  type Entry as WireEntry,
  type Membership as WireMembership,
  type Message as WireMessage,
  type SnapshotMeta as WireSnapshotMeta,
} from "../../proto/gen/raft.ts";
import {
  draft,
  type Entry,
  type EntryKind,
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

/** Everything one member sends another in one turn. */
export interface Outgoing {
  messages: Message[];
  chunks: SnapshotChunk[];
  calls: Call[];
  answers: Answer[];
  news?: RosterNews | undefined;
}

export function newOutgoing(): Outgoing {
  return { messages: [], chunks: [], calls: [], answers: [] };
}

/** `cluster`: frames of another cluster are not answered. */
export function encodeFrame(cluster: number, outgoing: Outgoing): Uint8Array {
  return Frame.encode({ ...outgoing, cluster, messages: outgoing.messages.map(toWire) }).finish();
}

/** Throws on bytes that are no frame. */
export function decodeFrame(bytes: Uint8Array): Outgoing & { readonly cluster: number } {
  const frame = Frame.decode(bytes);
  return {
    cluster: frame.cluster ?? 0,
    messages: (frame.messages ?? []).map(fromWire),
    chunks: frame.chunks ?? [],
    calls: frame.calls ?? [],
    answers: frame.answers ?? [],
    news: frame.news,
  };
}

function toWire(message: Message): WireMessage {
  const wire: WireMessage = {
    type: message.type,
    from: message.from,
    to: message.to,
    term: message.term,
    index: message.index,
    logTerm: message.logTerm,
    commit: message.commit,
  };
  if (message.entries.length > 0) wire.entries = message.entries as unknown as WireEntry[];
  if (message.reject) {
    wire.reject = true;
    wire.rejectHint = message.rejectHint;
    wire.rejectTerm = message.rejectTerm;
  }
  if (message.context !== 0) wire.context = message.context;
  if (message.snapshot) wire.snapshot = snapshotMetaToWire(message.snapshot);
  if (message.force) wire.force = true;
  return wire;
}

function fromWire(wire: WireMessage): Message {
  return {
    type: (wire.type ?? 0) as MessageType,
    from: (wire.from ?? 0) as MemberId,
    to: (wire.to ?? 0) as MemberId,
    term: (wire.term ?? 0) as Term,
    index: (wire.index ?? 0) as LogIndex,
    logTerm: (wire.logTerm ?? 0) as Term,
    entries: wire.entries === undefined ? [] : wire.entries.map(entryFromWire),
    commit: (wire.commit ?? 0) as LogIndex,
    reject: wire.reject ?? false,
    rejectHint: (wire.rejectHint ?? 0) as LogIndex,
    rejectTerm: (wire.rejectTerm ?? 0) as Term,
    context: wire.context ?? 0,
    snapshot: wire.snapshot && snapshotMetaFromWire(wire.snapshot),
    force: wire.force ?? false,
  };
}

const noData = new Uint8Array(0);

export function entryFromWire(wire: WireEntry): Entry {
  return {
    term: (wire.term ?? 0) as Term,
    index: (wire.index ?? 0) as LogIndex,
    kind: (wire.kind ?? 0) as EntryKind,
    data: wire.data ?? noData,
  };
}

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

function snapshotMetaToWire(meta: SnapshotMeta): WireSnapshotMeta {
  return { index: meta.index, term: meta.term, membership: membershipToWire(meta.membership) };
}

function snapshotMetaFromWire(wire: WireSnapshotMeta): SnapshotMeta {
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
  };
}

export function peerFromWire(wire: PeerInfo): ClusterPeer {
  return {
    id: (wire.id ?? 0) as MemberId,
    name: wire.name ?? "",
    addresses: wire.peerAddresses ?? [],
    identity: wire.identity ?? "",
    clientAddresses: wire.clientAddresses ?? [],
  };
}
