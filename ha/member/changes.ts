/**
 * Changes of the membership, as the leader carries them out: one after the other, each answered
 * when it is committed. What may be changed, and when, follows etcd (`server.go`: mayAddMember,
 * mayRemoveMember, isLearnerReady).
 */
import type { MembershipRequest } from "../../proto/gen/raft.ts";
import type { Membership, MembershipProposal, MembershipRefusal } from "../raft/mod.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { MemberId } from "../runtime/types.ts";
import { storeErrors as errors } from "../store/mod.ts";
import { limits } from "./limits.ts";
import type { Roster } from "./roster.ts";
import type { ClusterPeer } from "./types.ts";
import { encodeMembershipChange, peerFromWire } from "./wire.ts";

export const ChangeAction = {
  addVoter: 1,
  addLearner: 2,
  promote: 3,
  remove: 4,
  update: 5,
  /** A member tells its name and its client addresses. */
  announce: 6,
  /** A member that was added starts for the first time: with this disk it takes part. */
  pin: 7,
  /** A member that was added by its address alone shows its identity for the first time. */
  introduce: 8,
} as const;
export type ChangeAction = (typeof ChangeAction)[keyof typeof ChangeAction];

export interface ClusterView {
  readonly self: MemberId;
  readonly membership: Membership;
  readonly roster: Roster;
  readonly lastIndex: number;
  /** Members that can be talked to, this one included. */
  isActive(id: MemberId): boolean;
  /** The last index that a member's log is known to hold; undefined: unknown. */
  matchOf(id: MemberId): number | undefined;
}

export interface Change {
  readonly membership: Membership;
  readonly roster: Roster;
}

/**
 * What a request makes of the cluster. Undefined: it has been done already. Throws a StatusError
 * when it may not be done.
 */
export function planChange(
  request: MembershipRequest,
  repeated: boolean,
  view: ClusterView,
): Change | undefined {
  const peer = peerFromWire(request.peer ?? {});
  checkPeer(peer);
  switch (request.action) {
    case ChangeAction.addVoter:
    case ChangeAction.addLearner:
      return planAdd(peer, request.action === ChangeAction.addLearner, repeated, view);
    case ChangeAction.promote:
      return planPromotion(peer.id, repeated, view);
    case ChangeAction.remove:
      return planRemoval(peer.id, repeated, view);
    case ChangeAction.update:
      return planUpdate(view, known(view, peer.id), { addresses: peer.addresses });
    case ChangeAction.announce: {
      const { name, clientAddresses, apiAddresses } = peer;
      return planUpdate(view, known(view, peer.id), {
        name,
        clientAddresses: clientAddresses ?? [],
        apiAddresses: apiAddresses ?? [],
      });
    }
    case ChangeAction.pin:
      return planPin(view, known(view, peer.id), peer.incarnation ?? 0);
    case ChangeAction.introduce:
      return planIntroduction(view, known(view, peer.id), peer.identity);
    default:
      throw new StatusError(Code.unimplemented, `membership action ${request.action} is unknown`);
  }
}

/** Every membership entry and every snapshot carries what a member says of itself. */
function checkPeer(peer: ClusterPeer): void {
  const { name, addresses, clientAddresses = [], apiAddresses = [] } = peer;
  const { addressBytesMax, addressesMax } = limits;
  const checkLength = (field: string, text: string) => {
    if (Buffer.byteLength(text) <= addressBytesMax) return;
    const shown = `${text.slice(0, 32)}… (${Buffer.byteLength(text)} bytes)`;
    throw errors.invalid(field, shown, `at most ${addressBytesMax} bytes`);
  };
  checkLength("name", name);
  for (const [field, list] of Object.entries({ addresses, clientAddresses, apiAddresses })) {
    if (list.length > addressesMax) {
      throw errors.invalid(field, `${list.length} addresses`, `at most ${addressesMax} of them`);
    }
    for (const address of list) checkLength(field, address);
  }
}

function planAdd(
  peer: ClusterPeer,
  learner: boolean,
  repeated: boolean,
  view: ClusterView,
): Change | undefined {
  const { membership, roster } = view;
  if (peer.id === 0) throw errors.invalid("id", peer.id, "a member's id");
  const unknown = peer.identity === "";
  if (unknown && peer.addresses.length === 0) {
    throw errors.invalid("identity", '""', "a member's peer id, or at least one address");
  }
  const there = roster.peers.find(
    ({ id, identity }) => id === peer.id || (!unknown && identity === peer.identity),
  );
  if (there) {
    if (repeated && there.addresses.join() === peer.addresses.join()) return undefined;
    throw errors.memberExists();
  }
  if (roster.peers.some(({ addresses }) => sharesAddress(addresses, peer.addresses))) {
    throw new StatusError(Code.failedPrecondition, "etcdserver: Peer URLs already exists");
  }
  if (roster.removed.includes(peer.id)) {
    const text = `etcdserver: member ID already exist: ${peer.identity} was removed; use a new peer key`;
    throw new StatusError(Code.failedPrecondition, text);
  }
  const { voters, learners } = membership;
  if (voters.length + learners.length >= limits.membersMax) {
    const text = `etcdserver: the cluster has ${limits.membersMax} members, which is the most`;
    throw new StatusError(Code.failedPrecondition, text);
  }
  // Of two voters both are needed: beside a single one, the second counts once it has caught up.
  const catchingUp = !learner && voters.length === 1;
  const joinsLearning = learner || catchingUp;
  if (joinsLearning && learners.length >= limits.learnersMax) throw errors.tooManyLearners();
  if (!joinsLearning) checkQuorum(view, voters, voters.length + 1);
  const next = joinsLearning
    ? { ...membership, learners: [...learners, peer.id] }
    : { ...membership, voters: sorted([...voters, peer.id]) };
  const added = catchingUp ? { ...peer, catchingUp } : peer;
  return { membership: next, roster: { ...roster, peers: byId([...roster.peers, added]) } };
}

function planPromotion(id: MemberId, repeated: boolean, view: ClusterView): Change | undefined {
  const { membership, roster } = view;
  known(view, id);
  if (!membership.learners.includes(id)) {
    if (repeated) return undefined;
    throw errors.memberNotLearner();
  }
  if (!isReady(view, id)) throw errors.learnerNotReady();
  const { voters } = membership;
  const learners = membership.learners.filter((learner) => learner !== id);
  const peers = roster.peers.map((peer) => {
    const { catchingUp: _done, ...rest } = peer;
    return peer.id === id ? rest : peer;
  });
  return {
    membership: { ...membership, voters: sorted([...voters, id]), learners },
    roster: { ...roster, peers },
  };
}

/** A learner with (almost) the whole log, that can be talked to. */
function isReady(view: ClusterView, id: MemberId): boolean {
  const match = view.matchOf(id) ?? 0;
  const behind = view.lastIndex - match;
  return match > 0 && behind <= limits.promotionLagEntries && view.isActive(id);
}

/** A learner that was added as a voter, and may become one now. */
export function readyToVote(view: ClusterView): MemberId | undefined {
  const { learners } = view.membership;
  if (learners.length === 0) return undefined;
  const ready = view.roster.peers.find(
    ({ id, catchingUp }) => catchingUp === true && learners.includes(id) && isReady(view, id),
  );
  return ready?.id;
}

function planRemoval(id: MemberId, repeated: boolean, view: ClusterView): Change | undefined {
  const { membership, roster } = view;
  if (repeated && roster.removed.includes(id)) return undefined;
  known(view, id);
  const without = (ids: readonly MemberId[]) => ids.filter((other) => other !== id);
  const voters = without(membership.voters);
  if (voters.length < membership.voters.length) {
    if (voters.length === 0) throw errors.notEnoughStarted();
    checkQuorum(view, voters, voters.length);
  }
  const removed = [...roster.removed, id].slice(-limits.removedRemembered);
  return {
    membership: { ...membership, voters, learners: without(membership.learners) },
    roster: { peers: roster.peers.filter((peer) => peer.id !== id), removed },
  };
}

function planUpdate(view: ClusterView, peer: ClusterPeer, fields: Partial<ClusterPeer>): Change {
  const others = view.roster.peers.filter(({ id }) => id !== peer.id);
  const peers = byId([...others, { ...peer, ...fields }]);
  return { membership: view.membership, roster: { ...view.roster, peers } };
}

function planPin(view: ClusterView, peer: ClusterPeer, incarnation: number): Change | undefined {
  if (peer.incarnation === incarnation) return undefined;
  if (peer.incarnation !== undefined || !Number.isSafeInteger(incarnation) || incarnation < 1) {
    throw errors.memberExists();
  }
  return planUpdate(view, peer, { incarnation });
}

function planIntroduction(
  view: ClusterView,
  peer: ClusterPeer,
  identity: string,
): Change | undefined {
  if (peer.identity === identity) return undefined;
  const taken = view.roster.peers.some((other) => other.identity === identity);
  if (peer.identity !== "" || identity === "" || taken) throw errors.memberExists();
  return planUpdate(view, peer, { identity });
}

export function sharesAddress(left: readonly string[], right: readonly string[]): boolean {
  return left.some((address) => right.includes(address));
}

/** Throws unless enough of the `voters` are active to form a quorum of `size` voters. */
function checkQuorum(view: ClusterView, voters: readonly MemberId[], size: number): void {
  const active = voters.filter((id) => view.isActive(id)).length;
  if (active < Math.floor(size / 2) + 1) throw errors.notEnoughStarted();
}

function known({ roster }: ClusterView, id: MemberId): ClusterPeer {
  const peer = roster.peers.find((candidate) => candidate.id === id);
  if (!peer) throw errors.memberNotFound();
  return peer;
}

function sorted(ids: readonly MemberId[]): MemberId[] {
  return [...ids].sort((a, b) => a - b);
}

function byId(peers: readonly ClusterPeer[]): ClusterPeer[] {
  return [...peers].sort((a, b) => a.id - b.id);
}

/** Undefined: the change is done. "not-leader": the caller has to ask another member. */
export type ChangeReply = (outcome: StatusError | "not-leader" | undefined) => void;

interface Waiting {
  readonly request: MembershipRequest;
  readonly repeated: boolean;
  readonly reply: ChangeReply;
}

export interface ChangeHost {
  view(): ClusterView;
  /** The index of the entry, or why it was not taken. */
  propose(proposal: MembershipProposal): number | MembershipRefusal;
}

/** The leader's queue of requests. */
export class Changes {
  readonly #host: ChangeHost;
  #waiting: Waiting[] = [];
  /** Proposed, until it is applied. */
  #underWay: { readonly index: number; readonly reply: ChangeReply } | undefined;

  constructor(host: ChangeHost) {
    this.#host = host;
  }

  submit(request: MembershipRequest, repeated: boolean, reply: ChangeReply): void {
    if (this.#waiting.length >= limits.pendingChangesMax) reply(errors.tooManyRequests());
    else {
      this.#waiting.push({ request, repeated, reply });
      this.pump();
    }
  }

  /** Proposes the next change, if the core takes one. */
  pump(): void {
    while (!this.#underWay) {
      const next = this.#waiting[0];
      if (!next) return;
      let outcome: number | MembershipRefusal | StatusError | undefined;
      try {
        outcome = this.#propose(next);
      } catch (thrown) {
        outcome = StatusError.from(thrown);
      }
      // Another change, or too much else, is under way: later again.
      if (typeof outcome === "string" && outcome !== "invalid") return;
      this.#waiting.shift();
      if (typeof outcome === "number") this.#underWay = { index: outcome, reply: next.reply };
      else next.reply(outcome === "invalid" ? errors.notEnoughStarted() : outcome);
    }
  }

  #propose({ request, repeated }: Waiting): number | MembershipRefusal | undefined {
    const change = planChange(request, repeated, this.#host.view());
    if (!change) return undefined;
    const data = encodeMembershipChange(change.membership, change.roster);
    return this.#host.propose({ membership: change.membership, data });
  }

  applied(index: number): void {
    if (!this.#underWay || index < this.#underWay.index) return;
    const { reply } = this.#underWay;
    this.#underWay = undefined;
    reply(undefined);
    this.pump();
  }

  /** This member no longer leads: what became of a change that is under way, the next one knows. */
  lost(): void {
    const all = [...(this.#underWay ? [this.#underWay] : []), ...this.#waiting];
    this.#underWay = undefined;
    this.#waiting = [];
    for (const { reply } of all) reply("not-leader");
  }
}
