/**
 * The members of the cluster, as one of them knows them: follows the rosters of its log, keeps the
 * links that they name, tells the peers its name, and carries out changes while it leads.
 */

import type { Answer, Call, MembershipRequest, RosterNews } from "../../proto/gen/raft.ts";
import { type Entry, EntryKind, type LogIndex, type Raft, Role } from "../raft/mod.ts";
import type { StatusError } from "../runtime/status-error.ts";
import type { Cancel, Introduction, MemberId, Runtime, Stranger } from "../runtime/types.ts";
import { type CallDone, CallKind, type Question } from "./calls.ts";
import { ChangeAction, Changes, type ClusterView, readyToVote, sharesAddress } from "./changes.ts";
import { bootstrappedError } from "./founding.ts";
import { limits, type MemberLimits } from "./limits.ts";
import { type Roster, type RosterHistory, unite } from "./roster.ts";
import type { ClusterPeer, MemberOptions } from "./types.ts";
import { decodeMembershipChange, peerFromWire, peerToWire } from "./wire.ts";

export interface MembersHost {
  readonly options: MemberOptions;
  readonly runtime: Runtime;
  readonly limits: MemberLimits;
  readonly raft: Raft;
  appliedIndex(): number;
  /** Why the member serves no callers; undefined while it does serve them. */
  failure(): StatusError | undefined;
  /** Linked, and with data. */
  isActive(id: MemberId): boolean;
  /** Asks the leader. */
  call(question: Question, done: CallDone): void;
  /** The applied roster is another one. */
  changed(): void;
  /** The applied roster says that this member has left. */
  left(): void;
  wake(): void;
}

export class Members {
  readonly #host: MembersHost;
  readonly #rosters: RosterHistory;
  readonly #changes: Changes;
  #cancelLinger: Cancel = () => {};
  #cancelAnnouncement: Cancel = () => {};
  /** Members that left, and are still talked to. */
  #lingering: Roster = { peers: [], removed: [] };
  /** Whom others have named that are ahead of this member. */
  #heard: { readonly index: number; readonly roster: Roster } | undefined;
  #pinned: readonly ClusterPeer[] = [];
  #announcing = false;
  /** Peers whose disk the membership is about to name. */
  readonly #pinning = new Set<MemberId>();
  #promoting = false;

  constructor(host: MembersHost, rosters: RosterHistory) {
    this.#host = host;
    this.#rosters = rosters;
    this.#changes = new Changes({
      view: () => this.#view(),
      propose: (proposal) => {
        const refusal = host.raft.proposeMembership(proposal);
        return refusal ?? host.raft.status().lastIndex;
      },
    });
  }

  /** The roster of the last applied entry. */
  get roster(): Roster {
    return this.#rosters.at(this.#host.appliedIndex());
  }

  /**
   * The same; undefined: of the cluster that this member joins it knows as yet only whom to ask.
   */
  get agreed(): Roster | undefined {
    const { raft, appliedIndex } = this.#host;
    const applied = raft.snapshotAt(appliedIndex() as LogIndex);
    return applied?.membership.voters.length === 0 ? undefined : this.roster;
  }

  at(index: number): Roster {
    return this.#rosters.at(index);
  }

  compactTo(index: number): void {
    this.#rosters.compactTo(index);
  }

  /** A snapshot has taken the place of the log. */
  restore(index: number, roster: Roster): void {
    this.#rosters.restore(index, roster);
    this.#heard = undefined;
    this.#rosterApplied();
  }

  /** Entries on their way into the log: a membership takes effect as soon as it is in there. */
  logged(entries: readonly Entry[]): void {
    const first = entries[0];
    if (!first) return;
    let changed = this.#rosters.truncateFrom(first.index);
    for (const entry of entries) {
      if (entry.kind !== EntryKind.membership) continue;
      this.#rosters.append(entry.index, decodeMembershipChange(entry.data).roster);
      changed = true;
    }
    if (changed) this.pin();
  }

  /** Everything up to `index` is applied; `changed`: a membership was among it. */
  applied(index: number, changed: boolean): void {
    if (this.#heard && index >= this.#heard.index) {
      this.#heard = undefined;
      this.pin();
    }
    this.#changes.applied(index);
    // This comes last, so that a caller who asked for the removal of this very member has its
    // answer.
    if (changed) this.#rosterApplied();
  }

  /** Pins the peers of the newest roster, of the applied one, and those that left a moment ago. */
  pin(): void {
    const { options, runtime } = this.#host;
    const heard = this.#heard ? [this.#heard.roster] : [];
    const peers = unite(this.#lingering, ...heard, this.roster, this.#rosters.current);
    this.#pinned = peers.filter(({ id }) => id !== options.id);
    runtime.network.setPeers(this.#pinned);
  }

  /** The roster that this member tells its peers; undefined: it has none yet. */
  news(): RosterNews | undefined {
    const index = this.#host.appliedIndex();
    return index === 0 ? undefined : { index, peers: this.roster.peers.map(peerToWire) };
  }

  /** The teller is pinned, so it is believed, but for nothing more than whom to talk to. */
  heard(news: RosterNews): void {
    const index = news.index ?? 0;
    const peers = (news.peers ?? []).map(peerFromWire);
    const known = Math.max(this.#host.appliedIndex(), this.#heard?.index ?? 0);
    if (index <= known || peers.length === 0 || peers.length > 2 * limits.membersMax) return;
    this.#heard = { index, roster: { peers, removed: [] } };
    this.pin();
  }

  /** Leader: what a member, or this one, asks to be changed. */
  change(call: Call, tell: (answer: Answer) => void): void {
    const { raft, wake, failure } = this.#host;
    const id = call.id ?? 0;
    if (raft.role !== Role.leader || failure()) {
      tell({ id, leads: false });
      return;
    }
    this.#changes.submit(call.membership ?? {}, call.repeated ?? false, (outcome) => {
      if (outcome === "not-leader") tell({ id, leads: false });
      else if (outcome) tell({ id, leads: true, code: outcome.code, text: outcome.message });
      else tell({ id, leads: true, found: true });
      wake();
    });
    wake();
  }

  /** A member that was added has come for the first time: the leader is asked to admit it. */
  pinDisk(id: MemberId, incarnation: number): void {
    if (this.#pinning.has(id)) return;
    this.#pinning.add(id);
    const peer = peerToWire({ id, name: "", addresses: [], identity: "", incarnation });
    const membership: MembershipRequest = { action: ChangeAction.pin, peer };
    this.#host.call({ kind: CallKind.membership, membership }, (error) => {
      this.#pinning.delete(id);
      if (!error || this.#host.failure()) return;
      this.#host.runtime.log.warn("a member could not be admitted", { error: error.message });
    });
  }

  /** A stranger with the cluster's token has called: is it a member that was added? */
  async introduce({ identity, addresses }: Stranger): Promise<Introduction> {
    const peers = this.agreed?.peers;
    if (peers === undefined) return {};
    const known = peers.find((peer) => peer.identity === identity);
    const started = (self: ClusterPeer): readonly ClusterPeer[] => [
      ...peers.filter(({ id, name }) => name !== "" && id !== self.id),
      self,
    ];
    if (known) return { member: known.id, peers: started(known) };
    const there = peers.find((peer) => sharesAddress(peer.addresses, addresses));
    if (!there) {
      const text = `no member with the peer URL http://${addresses[0]}: add it first`;
      return { refusal: `etcdserver: ${text} (etcdctl member add)` };
    }
    if (there.identity !== "") return { refusal: bootstrappedError(there).message };
    const peer = peerToWire({ ...there, identity });
    const membership: MembershipRequest = { action: ChangeAction.introduce, peer };
    return await new Promise((resolve) => {
      this.#host.call({ kind: CallKind.membership, membership }, (error) => {
        if (error) resolve({ refusal: error.message });
        else resolve({ member: there.id, peers: started({ ...there, identity }) });
      });
    });
  }

  /** Proposes the next change, if the core takes one. */
  pump(): void {
    this.#promoteIfReady();
    this.#changes.pump();
  }

  /** Leader: a member that was added as a voter has caught up. */
  #promoteIfReady(): void {
    const { raft, failure } = this.#host;
    if (raft.role !== Role.leader || failure() || this.#promoting) return;
    if (!this.#rosters.current.peers.some(({ catchingUp }) => catchingUp)) return;
    const id = readyToVote(this.#view());
    if (id === undefined) return;
    this.#promoting = true;
    const peer = peerToWire({ id, name: "", addresses: [], identity: "" });
    this.#changes.submit({ action: ChangeAction.promote, peer }, true, () => {
      this.#promoting = false;
    });
  }

  /** This member no longer leads. */
  deposed(): void {
    this.#changes.lost();
  }

  /** Tells the others this member's name and addresses, where they know different ones. */
  announce(): void {
    const { options, runtime, failure } = this.#host;
    const known = this.roster.peers.find((peer) => peer.id === options.id);
    if (!known || this.#announcing || failure() || this.#host.appliedIndex() === 0) return;
    const { name } = options;
    const clientAddresses = options.clientAddresses ?? known.clientAddresses ?? [];
    const apiAddresses = options.apiAddresses ?? known.apiAddresses ?? [];
    const own = { name, clientAddresses, apiAddresses };
    if (isKnown(known, own)) return;
    this.#announcing = true;
    const peer = peerToWire({ ...known, ...own });
    const membership: MembershipRequest = { action: ChangeAction.announce, peer };
    this.#host.call({ kind: CallKind.membership, membership }, (error) => {
      if (failure()) return;
      if (error) {
        runtime.log.warn("this member could not announce itself", { error: error.message });
      }
      // A leader of an older release drops what it does not know: it is not told over and over.
      const { announceMillis } = this.#host.limits;
      this.#cancelAnnouncement();
      this.#cancelAnnouncement = runtime.clock.after(announceMillis, () => {
        this.#announcing = false;
        this.announce();
      });
    });
  }

  stop(): void {
    this.#cancelLinger();
    this.#cancelAnnouncement();
  }

  /** A member that left hears of it before its link is closed. */
  #rosterApplied(): void {
    const { options, runtime } = this.#host;
    const { roster } = this;
    const left = this.#pinned.filter(({ id }) => roster.removed.includes(id));
    if (left.length > 0) {
      this.#lingering = { peers: left, removed: [] };
      const end = () => {
        this.#lingering = { peers: [], removed: [] };
        this.pin();
      };
      // The lingering peers include those that left earlier; they linger as long as the last one.
      this.#cancelLinger();
      this.#cancelLinger = runtime.clock.after(this.#host.limits.removedLingerMillis, end);
    }
    this.pin();
    const members = roster.peers.map(({ name, id }) => name || id);
    runtime.log.info("a membership was applied", { members });
    this.#host.changed();
    if (roster.removed.includes(options.id)) this.#host.left();
    else this.announce();
  }

  #view(): ClusterView {
    const { raft, options, isActive } = this.#host;
    const { membership, progress, lastIndex } = raft.status();
    const { id: self } = options;
    return {
      self,
      membership,
      roster: this.#rosters.current,
      lastIndex,
      isActive: (id) => id === self || isActive(id),
      matchOf: (id) => progress.find((peer) => peer.id === id)?.match,
    };
  }
}

type Announced = Required<Pick<ClusterPeer, "name" | "clientAddresses" | "apiAddresses">>;

function isKnown(known: ClusterPeer, own: Announced): boolean {
  return (
    known.name === own.name &&
    (known.clientAddresses ?? []).join() === own.clientAddresses.join() &&
    (known.apiAddresses ?? []).join() === own.apiAddresses.join()
  );
}
