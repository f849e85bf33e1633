/**
 * One replica: joins the consensus core, the store, the disk and the peers.
 *
 *     frames, ticks, requests ─► raft ─► send ─► persist ─► apply ─► answer
 *
 * Everything that arrives in one turn is handled in one pass at its end: one proposal, one read
 * round, one write to the disk, one frame per peer, one batch per watcher.
 */
import type { RosterNews } from "../../proto/gen/raft.ts";
import { type LogIndex, type Raft, Role, type Term } from "../raft/mod.ts";
import type { StatusError } from "../runtime/status-error.ts";
import type { Cancel, DiskError, MemberId, Runtime } from "../runtime/types.ts";
import {
  type Command,
  type PageReader,
  pageReader,
  type Snapshot,
  type StateMachine,
  WatchHub,
} from "../store/mod.ts";
import { Admission } from "./admission.ts";
import { AlarmRaiser } from "./alarm-raiser.ts";
import { type CallDone, Calls, type Question } from "./calls.ts";
import { CorruptionCheck, type CorruptionHost } from "./corruption.ts";
import { hashInSteps } from "./hashing.ts";
import { Inbox } from "./inbox.ts";
import { Installation } from "./installation.ts";
import { Leadership, type LeadershipHost, type LeadershipStatus } from "./leadership.ts";
import { type LeaseHost, LeaseKeeper } from "./lease-keeper.ts";
import { Lifecycle } from "./lifecycle.ts";
import { limitsWith, type MemberLimits } from "./limits.ts";
import type { Loaded } from "./loaded.ts";
import type { LogStore } from "./log-store.ts";
import { LogTrimmer } from "./log-trimmer.ts";
import { Members, type MembersHost } from "./members.ts";
import { Outbox } from "./outbox.ts";
import type { MemberParts } from "./parts.ts";
import type { PeerLinks } from "./peer-links.ts";
import type { CommandDone, Proposals } from "./proposals.ts";
import { Proposer } from "./proposer.ts";
import { Quota } from "./quota.ts";
import { type ReadDone, Reads } from "./reads.ts";
import { ReadyHandler } from "./ready-handler.ts";
import type { Roster } from "./roster.ts";
import { Snapshots, type SnapshotsHost } from "./snapshots.ts";
import { TurnLoop } from "./turn-loop.ts";
import type { MemberOptions } from "./types.ts";
import { type RosterMeta, snapshotMessage } from "./wire.ts";
import { Writer } from "./writer.ts";

export class Member {
  readonly options: MemberOptions;
  readonly runtime: Runtime;
  machine: StateMachine;
  hub: WatchHub;
  readonly #leases: LeaseKeeper;
  readonly #raft: Raft;
  readonly #limits: MemberLimits;
  readonly #logStore: LogStore;
  readonly #trimmer: LogTrimmer;
  readonly #read: PageReader;
  readonly #writer: Writer;
  readonly #outbox: Outbox;
  readonly #members: Members;
  readonly quota: Quota;
  readonly #proposals: Proposals;
  readonly #proposer: Proposer;
  readonly #reads: Reads;
  readonly #calls: Calls;
  readonly #snapshots: Snapshots;
  readonly #leadership: Leadership;
  readonly #inbox: Inbox;
  readonly #corruption: CorruptionCheck;
  readonly #links: PeerLinks;
  readonly #admission: Admission;
  readonly #alarms: AlarmRaiser;
  readonly #handler: ReadyHandler;
  readonly #installation: Installation;
  readonly #lifecycle: Lifecycle;
  readonly #turns: TurnLoop;

  /** Made by `openMember`, which has loaded what the disk holds. */
  constructor(runtime: Runtime, options: MemberOptions, loaded: Loaded) {
    this.runtime = runtime;
    this.options = options;
    this.#limits = limitsWith(options.limits);
    this.#reads = new Reads(this.#limits);
    this.#calls = new Calls(this.#limits, runtime.random);
    this.machine = loaded.machine;
    this.#raft = loaded.raft;
    this.#logStore = loaded.logStore;
    this.#proposals = loaded.proposals;
    this.#proposer = new Proposer(loaded.raft, loaded.proposals, runtime.clock);
    this.#read = pageReader(runtime.disk);
    this.hub = this.#newHub();
    this.#leases = new LeaseKeeper(this.#leaseHost(), this.machine);
    this.#links = loaded.links;
    const { cluster = 0, foundation } = loaded.directory;
    this.#outbox = new Outbox(runtime.network, cluster);
    this.#admission = new Admission({
      cluster,
      foundation,
      roster: () => this.#members.agreed,
      pin: (peer, incarnation) => this.#members.pinDisk(peer, incarnation),
    });
    this.quota = new Quota(runtime.disk, options.quotaBytes, () =>
      this.#alarms.noSpace(this.quota.diskBytes),
    );
    this.#alarms = new AlarmRaiser({
      id: options.id,
      log: runtime.log,
      machine: () => this.machine,
      failure: () => this.failure,
      submit: (command, size, done) => this.submit(command, size, done),
    });
    this.#members = new Members(this.#membersHost(), loaded.rosters);
    this.#trimmer = new LogTrimmer(
      {
        raft: loaded.raft,
        members: this.#members,
        logStore: loaded.logStore,
        limits: this.#limits,
      },
      loaded.logStart,
    );
    this.#writer = new Writer(runtime.disk, this.machine, loaded.lastIndex, {
      failed: (error) => this.diskFailed(error),
      idle: () => this.#turns.wake(),
    });
    this.#snapshots = new Snapshots(this.#snapshotsHost());
    this.#corruption = new CorruptionCheck(this.#corruptionHost());
    this.#leadership = new Leadership(this.#leadershipHost());
    const parts = this.#parts();
    this.#lifecycle = new Lifecycle(parts);
    this.#inbox = new Inbox(parts);
    this.#handler = new ReadyHandler(parts);
    this.#installation = new Installation(parts, {
      lifecycle: this.#lifecycle,
      handler: this.#handler,
      replace: (machine) => {
        this.machine = machine;
        this.hub = this.#newHub();
      },
    });
    this.#turns = new TurnLoop(parts, {
      inbox: this.#inbox,
      handler: this.#handler,
      running: () => this.#lifecycle.running,
      install: (ready) => this.#installation.begin(ready),
    });
    this.#lifecycle.atEnd(() => this.#turns.stop());
  }

  #parts(): MemberParts {
    return {
      id: this.options.id,
      name: this.options.name,
      runtime: this.runtime,
      limits: this.#limits,
      raft: this.#raft,
      read: this.#read,
      logStore: this.#logStore,
      trimmer: this.#trimmer,
      writer: this.#writer,
      links: this.#links,
      outbox: this.#outbox,
      admission: this.#admission,
      members: this.#members,
      proposals: this.#proposals,
      proposer: this.#proposer,
      reads: this.#reads,
      calls: this.#calls,
      snapshots: this.#snapshots,
      leadership: this.#leadership,
      leases: this.#leases,
      corruption: this.#corruption,
      machine: () => this.machine,
      hub: () => this.hub,
      failure: () => this.failure,
      diskFailed: (error) => this.diskFailed(error),
      wake: () => this.#turns.wake(),
    };
  }

  #leaseHost(): LeaseHost {
    return {
      clock: this.runtime.clock,
      leadingTerm: () => (this.#raft.role === Role.leader ? this.#raft.term : undefined),
      confirm: (done) => this.read((error) => done(error === undefined)),
      wake: () => this.#turns.wake(),
    };
  }

  #corruptionHost(): CorruptionHost {
    return {
      id: this.options.id,
      log: this.runtime.log,
      leads: () => {
        const { leads, status } = this.#leadership;
        return leads && this.#handler.appliedTerm === status.term ? status.term : undefined;
      },
      members: () => this.roster.peers.map(({ id }) => id),
      isLinked: (id) => this.isLinked(id),
      revision: () => this.machine.revision,
      hash: (revision) =>
        hashInSteps(this, this.machine.hashKvSteps(revision, this.#limits.hashKeysPerTurn)),
      barrier: () =>
        new Promise((resolve, reject) => {
          this.read((error) => (error ? reject(error) : resolve()));
        }),
      newCall: () => this.#calls.newId(),
      send: (to, call) => {
        this.#outbox.to(to).calls.push(call);
        this.#turns.wake();
      },
      raise: (member) => this.#alarms.corrupt(member),
      diskFailed: (error) => this.diskFailed(error),
    };
  }

  #membersHost(): MembersHost {
    return {
      options: this.options,
      runtime: this.runtime,
      limits: this.#limits,
      raft: this.#raft,
      appliedIndex: () => this.machine.appliedIndex,
      isActive: (id) => this.isLinked(id) && !this.#admission.hasNoData(id),
      failure: () => this.failure,
      call: (question, done) => this.call(question, done),
      changed: () => {
        for (const peer of this.#links.linked) this.#tellNews(peer);
        this.#leadership.tellSoon();
      },
      left: () => this.#lifecycle.retire(),
      wake: () => this.#turns.wake(),
    };
  }

  #leadershipHost(): LeadershipHost {
    return {
      id: this.options.id,
      runtime: this.runtime,
      limits: this.#limits,
      raft: this.#raft,
      isLinked: (id) => this.isLinked(id),
      linked: () => this.#links.linked,
      running: () => this.#lifecycle.running,
      failure: () => this.failure,
      changed: (before, present) => this.#leadershipChanged(before, present),
      wake: () => this.#turns.wake(),
    };
  }

  #snapshotsHost(): SnapshotsHost {
    return {
      runtime: this.runtime,
      limits: this.#limits,
      read: this.#read,
      machine: () => this.machine,
      meta: () => this.#trimmer.meta(this.machine.appliedIndex as LogIndex),
      leadingTerm: () => (this.#leadership.leads ? this.#leadership.status.term : undefined),
      send: (peer, chunk) => this.#outbox.to(peer).chunks.push(chunk),
      sent: (peer, ok) => this.#raft.snapshotSent(peer, ok),
      received: (from, term, meta) => this.#snapshotReceived(from, term, meta),
      diskFailed: (error) => this.diskFailed(error),
      wake: () => this.#turns.wake(),
    };
  }

  /** Listens, dials and begins to tick. Rejects when the address cannot be bound. */
  async start(news?: RosterNews): Promise<void> {
    const { clock } = this.runtime;
    if (news) this.#members.heard(news);
    this.#members.pin();
    this.#links.handOver({
      introduction: (stranger) => this.#members.introduce(stranger),
      message: (from, bytes) => {
        if (this.#lifecycle.running) this.#inbox.frame(from, bytes);
      },
      link: (peer, up) => this.#link(peer, up),
    });
    await this.#links.start();
    // Links that came up before this member took part.
    for (const peer of this.#links.linked) this.#linkUp(peer);
    this.#lifecycle.atEnd(
      clock.every(this.#limits.tickMillis, () => this.#turns.tick()),
      clock.every(this.#limits.leaseCheckMillis, () => this.#turns.expireLeases()),
      this.quota.start(clock),
    );
    const { corruptCheckMillis } = this.#limits;
    if (corruptCheckMillis > 0) {
      this.#lifecycle.atEnd(clock.every(corruptCheckMillis, () => this.#corruption.begin()));
    }
    // The only voter needs no election timeout: no other member can lead.
    const { voters } = this.#raft.status().membership;
    if (voters.length === 1 && voters[0] === this.options.id) this.#raft.campaign();
    this.#turns.wake();
  }

  #newHub(): WatchHub {
    return new WatchHub(this.machine, this.#read, {
      log: this.runtime.log,
      limits: this.options.watchLimits,
      unreadable: (error) => this.diskFailed(error),
    });
  }

  get clusterId(): number {
    return this.#outbox.cluster;
  }

  /** All members of the cluster, as of the last applied entry. */
  get roster(): Roster {
    return this.#members.roster;
  }

  get leadership(): LeadershipStatus {
    return this.#leadership.status;
  }

  get raftStatus() {
    return this.#raft.status();
  }

  get appliedIndex(): number {
    return this.machine.appliedIndex;
  }

  /** Why the member serves no callers; undefined while it does serve them. */
  get failure(): StatusError | undefined {
    return this.#lifecycle.failure;
  }

  /** How many snapshot installations have begun: each invalidates whatever was read before it. */
  get installations(): number {
    return this.#installation.count;
  }

  /** Resolves when this member has been removed from the cluster and has left it. */
  get excluded(): Promise<StatusError> {
    return this.#lifecycle.excluded;
  }

  isLinked(peer: MemberId): boolean {
    return this.#links.isLinked(peer);
  }

  /** Proposes a command; `done` is called once, later. `bytes`: of its keys and values. */
  submit(
    command: Command,
    options: { readonly bytes: number; readonly requestId?: string | undefined },
    done: CommandDone,
  ): void {
    const now = this.runtime.clock.monotonicMillis();
    const refusal = this.failure ?? this.#proposals.submit(command, options, now, done);
    if (refusal) this.runtime.clock.soon(() => done(refusal, undefined));
    else this.#turns.wake();
  }

  /** Calls back when everything acknowledged before this call has been applied here. */
  read(done: ReadDone): void {
    const now = this.runtime.clock.monotonicMillis();
    const refusal = this.failure ?? this.#reads.submit(now, done);
    if (refusal) this.runtime.clock.soon(() => done(refusal));
    else this.#turns.wake();
  }

  /** Asks the present leader, which may be this member. */
  call(question: Question, done: CallDone): void {
    const now = this.runtime.clock.monotonicMillis();
    const refusal = this.failure ?? this.#calls.submit(question, now, done);
    if (refusal) this.runtime.clock.soon(() => done(refusal, undefined));
    else this.#turns.wake();
  }

  /** A snapshot of everything that is applied. The caller closes it. */
  snapshot(): Promise<Snapshot> {
    if (this.failure) return Promise.reject(this.failure);
    return this.#snapshots.ask();
  }

  /** This member leads: another voter takes over. Resolves when it has. */
  moveLeader(to: MemberId, millisMax: number): Promise<void> {
    return this.#leadership.moveTo(to, millisMax);
  }

  /** Asks the best peer to take over, if this member leads; resolves when it has. */
  handOver(millisMax: number): Promise<void> {
    return this.#leadership.handOver(millisMax);
  }

  /** Called after leader, role, term, a link or the roster has changed. */
  onChange(listener: () => void): Cancel {
    return this.#leadership.onChange(listener);
  }

  /** Stops this member because its disk failed. */
  diskFailed(error: DiskError): void {
    this.#lifecycle.diskFailed(error);
  }

  /** Stops at once; waiting callers fail. The runtime stays open for its owner to close. */
  close(): Promise<void> {
    return this.#lifecycle.close();
  }

  #tellNews(peer: MemberId): void {
    const news = this.#members.news();
    if (news) this.#outbox.to(peer).news = news;
  }

  #link(peer: MemberId, up: boolean): void {
    if (this.#lifecycle.ended) return;
    this.#admission.forget(peer);
    if (up) this.#linkUp(peer);
    else {
      this.#raft.linkLost(peer);
      this.#calls.lost(peer);
      this.#snapshots.lost(peer);
    }
    this.#leadership.tell();
    this.#turns.wake();
  }

  #linkUp(peer: MemberId): void {
    this.#tellNews(peer);
    this.#leadership.campaignSoon();
  }

  #leadershipChanged(before: LeadershipStatus, present: LeadershipStatus): void {
    if (before.role === Role.leader && present.role !== Role.leader) {
      this.#snapshots.deposed();
      this.#members.deposed();
    }
    if (before.leader !== present.leader) {
      const { leader, term } = present;
      const name = this.roster.peers.find(({ id }) => id === leader)?.name;
      this.runtime.log.info("leader changed", { leader, name, term });
    }
    if (present.leader === undefined) return;
    this.#members.announce();
    if (this.#proposals.waiting || this.#reads.waiting) this.#turns.wake();
  }

  #snapshotReceived(from: MemberId, term: Term, meta: RosterMeta): void {
    if (!this.#lifecycle.running) return;
    this.#snapshots.installing = meta;
    this.#raft.step(snapshotMessage(from, this.options.id, term, meta));
    this.#turns.wake();
  }
}
