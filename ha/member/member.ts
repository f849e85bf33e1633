/**
 * One replica: joins the consensus core, the store, the disk and the peers.
 *
 *     frames, ticks, requests ─► raft ─► send ─► persist ─► apply ─► answer
 *
 * Everything that arrives in one turn is handled in one pass at its end: one proposal, one read
 * round, one write to the disk, one frame per peer, one batch per watcher.
 */
import type { RosterNews } from "../../proto/gen/raft.ts";
import {
  EntryKind,
  type LogIndex,
  MessageType,
  type Raft,
  type Ready,
  Role,
  type Term,
} from "../raft/mod.ts";
import { assert } from "../runtime/assert.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import { type Cancel, DiskError, type MemberId, type Runtime } from "../runtime/types.ts";
import {
  AlarmType,
  type Command,
  storeErrors as errors,
  type PageReader,
  pageReader,
  type Snapshot,
  type StateMachine,
  WatchHub,
} from "../store/mod.ts";
import { Admission } from "./admission.ts";
import { AlarmClock } from "./alarm-clock.ts";
import { type CallDone, Calls, type Question } from "./calls.ts";
import { CorruptionCheck, type CorruptionHost } from "./corruption.ts";
import { removedError } from "./founding.ts";
import { hashInSteps } from "./hashing.ts";
import { Inbox } from "./inbox.ts";
import { install } from "./installer.ts";
import { proposeExpiry } from "./lease-expiry.ts";
import { type LeaseHost, LeaseKeeper } from "./lease-keeper.ts";
import { limitsWith, type MemberLimits } from "./limits.ts";
import { type Loaded, loadMachine } from "./load.ts";
import type { LogStore } from "./log-store.ts";
import { LogTrimmer } from "./log-trimmer.ts";
import { Members, type MembersHost } from "./members.ts";
import { type Leadership, Office, type OfficeHost } from "./office.ts";
import { Outbox } from "./outbox.ts";
import type { PeerLinks } from "./peer-links.ts";
import type { CommandDone, Proposals } from "./proposals.ts";
import { Proposer } from "./proposer.ts";
import { Quota } from "./quota.ts";
import { type ReadDone, Reads } from "./reads.ts";
import type { Roster } from "./roster.ts";
import { Snapshots, type SnapshotsHost } from "./snapshots.ts";
import type { MemberOptions } from "./types.ts";
import { type RosterMeta, snapshotMessage } from "./wire.ts";
import { Writer } from "./writer.ts";

/** `installing`: a snapshot takes the place of log and state; nothing else moves. */
type Phase = "running" | "installing" | "failed" | "closed";

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
  readonly #office: Office;
  readonly #inbox: Inbox;
  readonly #corruption: CorruptionCheck;
  readonly #links: PeerLinks;
  readonly #admission: Admission;
  readonly #timers: Cancel[] = [];
  /** A step of compaction has been made, and the next one waits for its time. */
  readonly #compactionPause: AlarmClock;
  readonly #newsRelease: AlarmClock;
  readonly #readHurry: AlarmClock;
  #phase: Phase = "running";
  #scheduled = false;
  #appliedTerm: number;
  failure: StatusError | undefined;
  readonly #excluded = Promise.withResolvers<StatusError>();
  /** Counts the snapshots put in place: what was being read of the disk before is not there any more. */
  installations = 0;

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
    this.#appliedTerm = loaded.machine.appliedTerm;
    this.#read = pageReader(runtime.disk);
    this.hub = this.#newHub();
    this.#leases = new LeaseKeeper(this.#leaseHost(), this.machine);
    this.#compactionPause = new AlarmClock(runtime.clock, this.#limits.compactionPauseMillis);
    this.#newsRelease = new AlarmClock(runtime.clock, this.#limits.newsHeldMillis);
    this.#readHurry = new AlarmClock(runtime.clock, this.#limits.readHurryMillis);
    this.#links = loaded.links;
    const { cluster = 0, foundation } = loaded.directory;
    this.#outbox = new Outbox(runtime.network, cluster);
    this.#admission = new Admission({
      cluster,
      foundation,
      roster: () => this.roster,
      pin: (peer, incarnation) => this.#members.pinDisk(peer, incarnation),
    });
    this.quota = new Quota(runtime.disk, options.quotaBytes, () => this.#raiseNoSpace());
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
      idle: () => this.#wake(),
    });
    this.#snapshots = new Snapshots(this.#snapshotsHost());
    this.#corruption = new CorruptionCheck(this.#corruptionHost());
    this.#office = new Office(this.#officeHost());
    this.#inbox = new Inbox({
      id: options.id,
      log: runtime.log,
      raft: loaded.raft,
      outbox: this.#outbox,
      admission: this.#admission,
      proposer: this.#proposer,
      snapshots: this.#snapshots,
      calls: this.#calls,
      corruption: this.#corruption,
      members: this.#members,
      leases: this.#leases,
      failure: () => this.failure,
      wake: () => this.#wake(),
    });
  }

  #leaseHost(): LeaseHost {
    return {
      clock: this.runtime.clock,
      office: () => (this.#raft.role === Role.leader ? this.#raft.term : undefined),
      confirm: (done) => this.read((error) => done(error === undefined)),
      wake: () => this.#wake(),
    };
  }

  #corruptionHost(): CorruptionHost {
    return {
      id: this.options.id,
      log: this.runtime.log,
      leads: () => {
        const { leads, leadership } = this.#office;
        return leads && this.#appliedTerm === leadership.term ? leadership.term : undefined;
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
        this.#wake();
      },
      raise: (member) => this.#raise(member, AlarmType.corrupt),
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
        this.#office.tellSoon();
      },
      left: () => this.#retire(),
      wake: () => this.#wake(),
    };
  }

  #officeHost(): OfficeHost {
    return {
      id: this.options.id,
      runtime: this.runtime,
      limits: this.#limits,
      raft: this.#raft,
      isLinked: (id) => this.isLinked(id),
      running: () => this.#phase === "running",
      failure: () => this.failure,
      changed: (before, present) => this.#leadershipChanged(before, present),
      wake: () => this.#wake(),
    };
  }

  #snapshotsHost(): SnapshotsHost {
    return {
      runtime: this.runtime,
      limits: this.#limits,
      read: this.#read,
      machine: () => this.machine,
      meta: () => this.#trimmer.meta(this.machine.appliedIndex as LogIndex),
      office: () => (this.#office.leads ? this.#office.leadership.term : undefined),
      send: (peer, chunk) => this.#outbox.to(peer).chunks.push(chunk),
      sent: (peer, ok) => this.#raft.snapshotSent(peer, ok),
      received: (from, term, meta) => this.#snapshotReceived(from, term, meta),
      diskFailed: (error) => this.diskFailed(error),
      wake: () => this.#wake(),
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
        if (this.#phase === "running") this.#inbox.frame(from, bytes);
      },
      link: (peer, up) => this.#link(peer, up),
    });
    await this.#links.start();
    // Links that came up before this member took part.
    for (const peer of this.#links.linked) this.#linkUp(peer);
    this.#timers.push(
      clock.every(this.#limits.tickMillis, () => this.#tick()),
      clock.every(this.#limits.leaseCheckMillis, () => this.#expireLeases()),
      this.quota.start(clock),
    );
    const { corruptCheckMillis } = this.#limits;
    if (corruptCheckMillis > 0) {
      this.#timers.push(clock.every(corruptCheckMillis, () => this.#corruption.begin()));
    }
    // Alone there is nobody to wait for.
    const { voters } = this.#raft.status().membership;
    if (voters.length === 1 && voters[0] === this.options.id) this.#raft.campaign();
    this.#wake();
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

  /** Everybody, as of what is applied. */
  get roster(): Roster {
    return this.#members.roster;
  }

  get leadership(): Leadership {
    return this.#office.leadership;
  }

  get raftStatus() {
    return this.#raft.status();
  }

  get appliedIndex(): number {
    return this.machine.appliedIndex;
  }

  /** Resolves when this member has been removed from the cluster and has left it. */
  get excluded(): Promise<StatusError> {
    return this.#excluded.promise;
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
    else this.#wake();
  }

  /** Calls back when everything acknowledged before this call has been applied here. */
  read(done: ReadDone): void {
    const now = this.runtime.clock.monotonicMillis();
    const refusal = this.failure ?? this.#reads.submit(now, done);
    if (refusal) this.runtime.clock.soon(() => done(refusal));
    else this.#wake();
  }

  /** Asks the leader, whoever it is. */
  call(question: Question, done: CallDone): void {
    const now = this.runtime.clock.monotonicMillis();
    const refusal = this.failure ?? this.#calls.submit(question, now, done);
    if (refusal) this.runtime.clock.soon(() => done(refusal, undefined));
    else this.#wake();
  }

  /** A snapshot of everything that is applied. The caller closes it. */
  snapshot(): Promise<Snapshot> {
    if (this.failure) return Promise.reject(this.failure);
    return this.#snapshots.ask();
  }

  /** This member leads: another voter takes over. Resolves when it has. */
  moveLeader(to: MemberId, millisMax: number): Promise<void> {
    return this.#office.moveTo(to, millisMax);
  }

  /** Asks the best peer to take over, if this member leads; resolves when it has. */
  handOver(millisMax: number): Promise<void> {
    return this.#office.handOver(millisMax);
  }

  /** Called after leader, role, term, a link or the roster has changed. */
  onChange(listener: () => void): Cancel {
    return this.#office.onChange(listener);
  }

  /** Stops at once; what waits is told. The runtime stays open for its owner to close. */
  async close(): Promise<void> {
    if (this.#phase === "closed") return;
    this.#end("closed", errors.stopped());
    await this.#links.close();
  }

  #end(phase: "failed" | "closed", error: StatusError): void {
    this.#phase = phase;
    for (const cancel of this.#timers.splice(0)) cancel();
    for (const alarm of [this.#compactionPause, this.#newsRelease, this.#readHurry]) alarm.stop();
    this.#office.stop();
    this.#snapshots.stop();
    this.#members.stop();
    this.#refuse(error);
  }

  /** From now on nobody is served. */
  #refuse(error: StatusError): void {
    this.failure = error;
    this.#snapshots.refuse(error);
    this.#proposals.close(error);
    this.#reads.close(error);
    this.#calls.close(error);
    this.#members.deposed();
    this.hub.stop(error);
  }

  #wake(): void {
    if (this.#scheduled || this.#phase !== "running") return;
    this.#scheduled = true;
    this.runtime.clock.soon(() => {
      this.#scheduled = false;
      this.#turn();
    });
  }

  /** What the disk cannot read any more is not guessed: this member stops. */
  #turn(): void {
    try {
      this.#handleTurn();
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      this.diskFailed(error);
    }
  }

  #handleTurn(): void {
    if (this.#phase !== "running") return;
    if (this.#snapshots.due && !this.#writer.settled) {
      this.#settle();
      return;
    }
    const now = this.runtime.clock.monotonicMillis();
    if (this.#snapshots.due) this.#snapshots.take(now);
    this.#members.pump();
    this.#proposer.propose(now);
    if (this.#reads.mayBegin && this.#office.leaderKnown) {
      this.#raft.readIndex(this.#reads.begin(now));
    }
    while (this.#raft.hasReady() && this.#phase === "running") this.#handle(this.#raft.ready());
    if (this.#phase !== "running") return;
    // A snapshot that was received and is not being installed by now was old news to the core.
    this.#snapshots.installing = undefined;
    this.#compactStore();
    this.#compactLog();
    this.#writer.issue(this.#stateDue);
    this.#stateDue = false;
    this.hub.flush();
    this.#inbox.askLeader(this.#office.leadership.leader);
    for (const peer of this.#outbox.flush()) this.#raft.unreachable(peer);
    this.#releaseNewsSoon();
    this.#hurryReadsSoon();
    this.#leases.noticeOffice(
      this.#raft.role === Role.leader,
      this.#appliedTerm === this.#raft.term,
      now,
    );
    this.#office.notice();
    const more = this.#proposer.isPressing || this.#reads.mayBegin;
    if (this.#raft.hasReady() || (more && this.#office.leaderKnown)) this.#wake();
  }

  /** News that found nothing to go along with. */
  #releaseNewsSoon(): void {
    if (!this.#outbox.holds) return;
    this.#newsRelease.set(() => {
      this.#outbox.release();
      this.#wake();
    });
  }

  /** The fewest possible peers were asked about a round: when they take long, all are. */
  #hurryReadsSoon(): void {
    const round = this.#raft.openReadRound;
    if (round === 0) return;
    this.#readHurry.set(() => {
      const { openReadRound } = this.#raft;
      if (openReadRound !== 0 && openReadRound <= round) this.#raft.hurryReads();
      this.#wake();
    });
  }

  /** A tick has passed: applied state is written though there may be no log write. */
  #stateDue = false;

  #handle(ready: Ready): void {
    if (ready.install) this.#beginInstall(ready);
    else this.#carryOut(ready);
  }

  #carryOut(ready: Ready): void {
    for (const context of ready.failedReads) this.#reads.failed(context);
    for (const message of ready.messages) this.#outbox.message(message);
    for (const news of ready.news) this.#outbox.hold(news);
    const { entries, hardState, messagesAfterPersist } = ready;
    if (entries.length > 0 || hardState || messagesAfterPersist.length > 0) {
      const operations = this.#logStore.persist(entries, hardState);
      this.#members.logged(entries);
      this.#trimmer.logged(entries);
      this.#writer.log({
        operations,
        lastIndex: entries.at(-1)?.index,
        sync: operations.length > 0,
        done: () => {
          for (const message of messagesAfterPersist) this.#outbox.message(message);
          this.#raft.persisted(ready);
          this.#wake();
        },
      });
    }
    this.#apply(ready);
    for (const { context, index } of ready.reads) {
      this.#reads.confirmed(context, index, this.machine.appliedIndex);
    }
    this.#snapshots.want(ready.snapshotsWanted);
  }

  #apply(ready: Ready): void {
    const last = ready.committed.at(-1);
    if (!last) return;
    let membershipApplied = false;
    for (const entry of ready.committed) {
      if (entry.kind === EntryKind.normal) {
        for (const command of this.machine.apply(entry.index, entry.term, entry.data)) {
          this.#proposals.answer(command);
        }
      } else {
        this.machine.advance(entry.index, entry.term);
        membershipApplied = true;
      }
      if (entry.term > this.#appliedTerm) {
        this.#appliedTerm = entry.term;
        this.#proposals.termApplied(entry.term);
      }
    }
    this.#raft.applied(last.index);
    this.#reads.applied(last.index);
    this.#members.applied(last.index, membershipApplied);
  }

  /** Serves nobody any more; goes when the others have had the time to do without it. */
  #retire(): void {
    if (this.failure) return;
    const error = removedError(this.options.name);
    this.runtime.log.warn("this member has been removed from the cluster");
    this.#refuse(error);
    // After a restart it still knows.
    this.#writer.log({ operations: [], lastIndex: undefined, sync: true, done: undefined });
    this.#timers.push(
      this.runtime.clock.after(this.#limits.removedLingerMillis, () => {
        this.#leave(error);
        this.#excluded.resolve(error);
      }),
    );
  }

  #tellNews(peer: MemberId): void {
    const news = this.#members.news();
    if (news) this.#outbox.to(peer).news = news;
  }

  #raiseNoSpace(): void {
    const member = this.options.id;
    if (this.machine.alarms.has({ member, kind: AlarmType.noSpace })) return;
    this.runtime.log.error("the data takes more than its quota: writes will be refused", {
      diskBytes: this.quota.diskBytes,
    });
    this.#raise(member, AlarmType.noSpace);
  }

  #raise(member: MemberId, kind: AlarmType): void {
    if (this.failure || this.machine.alarms.has({ member, kind })) return;
    const command = { kind: "alarm", member, alarm: kind, active: true } as const;
    this.submit(command, { bytes: 0 }, (error) => {
      // The next measurement, or comparison, tries again.
      if (error) this.runtime.log.warn("the alarm was not raised", { error: error.message });
    });
  }

  /** Forgets compacted history a little at a time: whoever is served meanwhile comes first. */
  #compactStore(): void {
    if (this.#compactionPause.isSet) return;
    if (!this.machine.compactStep(this.#limits.compactionOperationsPerStep)) return;
    this.#compactionPause.set(() => this.#wake());
  }

  #compactLog(): void {
    if (this.#snapshots.leaving) return;
    const operations = this.#trimmer.cut(this.#writer.writtenIndex);
    if (operations === undefined) return;
    this.#writer.log({ operations, lastIndex: undefined, sync: false, done: undefined });
  }

  #tick(): void {
    if (this.#phase !== "running") return;
    const now = this.runtime.clock.monotonicMillis();
    const { leaderKnown } = this.#office;
    this.#stateDue = true;
    this.#raft.tick();
    this.#proposals.sweep(now, leaderKnown);
    this.#reads.sweep(now, leaderKnown);
    this.#calls.sweep(now, leaderKnown);
    this.#snapshots.sweep(now);
    this.#wake();
  }

  #link(peer: MemberId, up: boolean): void {
    if (this.#phase === "failed" || this.#phase === "closed") return;
    this.#admission.forget(peer);
    if (up) this.#linkUp(peer);
    else {
      this.#raft.linkLost(peer);
      this.#calls.lost(peer);
      this.#snapshots.lost(peer);
    }
    this.#office.tell();
    this.#wake();
  }

  #linkUp(peer: MemberId): void {
    this.#tellNews(peer);
    this.#office.campaignSoon();
  }

  #leadershipChanged(before: Leadership, present: Leadership): void {
    if (before.role === Role.leader && present.role !== Role.leader) {
      this.#snapshots.deposed();
      this.#members.deposed();
    }
    if (before.leader !== present.leader) {
      this.runtime.log.info("leader changed", { leader: present.leader, term: present.term });
    }
    if (present.leader === undefined) return;
    this.#members.announce();
    if (this.#proposals.waiting || this.#reads.waiting) this.#wake();
  }

  #expireLeases(): void {
    if (this.#phase !== "running") return;
    if (this.#raft.role !== Role.leader || this.#raft.term !== this.leadership.term) return;
    const now = this.runtime.clock.monotonicMillis();
    const ids = this.#leases.expired(now, this.#limits.leasesExpiredPerCheck);
    if (ids.length === 0) return;
    const { incarnation } = this.#proposals;
    proposeExpiry(this.#raft, this.runtime, { proposer: this.options.id, incarnation, ids });
    this.#wake();
  }

  /** A snapshot is taken of what is on the disk: nothing more is applied until all of it is. */
  #settle(): void {
    this.#writer.issue(true);
    for (const peer of this.#outbox.flush()) this.#raft.unreachable(peer);
    if (this.#writer.settled) this.#wake();
  }

  #snapshotReceived(from: MemberId, term: Term, meta: RosterMeta): void {
    if (this.#phase !== "running") return;
    this.#snapshots.installing = meta;
    this.#raft.step(snapshotMessage(from, this.options.id, term, meta));
    this.#wake();
  }

  /** Log and state are replaced on disk first; then everything goes on from there. */
  #beginInstall(ready: Ready): void {
    this.installations++;
    const meta = this.#snapshots.installing;
    assert(meta && meta.index === ready.install?.index, "what was received is installed");
    this.#phase = "installing";
    this.runtime.log.info("installing a snapshot", { index: meta.index });
    this.hub.stop(errors.leaderChanged());
    this.#install(ready, meta).catch((error: unknown) => {
      this.runtime.log.error("a snapshot could not be installed", { error });
      if (error instanceof DiskError) this.diskFailed(error);
      else this.#leave(errors.corrupt());
    });
  }

  async #install(ready: Ready, meta: RosterMeta): Promise<void> {
    const { disk } = this.runtime;
    await this.#writer.drained();
    await install(disk, this.#read, this.#logStore, meta, ready.hardState);
    const machine = await loadMachine(disk, this.options.id, this.#proposals.incarnation);
    assert(machine.appliedIndex === meta.index, "the snapshot is of the index it says");
    if (this.#phase !== "installing") return;
    this.machine = machine;
    this.#appliedTerm = machine.appliedTerm;
    this.hub = this.#newHub();
    this.#leases.reset(machine);
    this.#writer.reset(machine);
    this.#trimmer.restart(meta.index);
    this.#snapshots.installing = undefined;
    this.#phase = "running";
    this.#members.restore(meta.index, meta.roster);
    this.#raft.applied(meta.index);
    this.#carryOut(ready);
    this.#proposals.skipped();
    this.#reads.applied(meta.index);
    this.#office.tell();
    this.#wake();
  }

  /**
   * A member that cannot persist, or finds what it persisted damaged, stops acknowledging, and its
   * peers go on without it. One that leads names a successor if that has the whole log; in any case
   * its links close, at which the others elect at once.
   */
  diskFailed(error: DiskError): void {
    if (this.#phase === "closed" || this.#phase === "failed") return;
    this.runtime.log.error("the disk failed: this member stops", { kind: error.kind, error });
    this.#nameSuccessor();
    this.#leave(new StatusError(Code.unavailable, `etcdserver: ${error.message}`));
  }

  /** Nothing but the word to the successor leaves this member: all else might rest on the disk. */
  #nameSuccessor(): void {
    const { role, progress, lastIndex } = this.#raft.status();
    if (role !== Role.leader || this.#phase !== "running") return;
    const successor = progress.find(
      (peer) => !peer.learner && peer.match === lastIndex && this.isLinked(peer.id),
    );
    if (!successor) return;
    this.#raft.transferLeadership(successor.id);
    const outbox = new Outbox(this.runtime.network, this.clusterId);
    for (const message of this.#raft.ready().messages) {
      if (message.type === MessageType.timeoutNow) outbox.message(message);
    }
    outbox.flush();
  }

  /** Stops for good, though nobody has closed it yet. */
  #leave(error: StatusError): void {
    if (this.#phase === "closed" || this.#phase === "failed") return;
    this.#end("failed", error);
    // A turn later: what was sent last is still on its way out.
    this.runtime.clock.soon(() => {
      this.#links.close().catch((thrown: unknown) => {
        this.runtime.log.warn("the peer links could not be closed", { error: thrown });
      });
    });
    this.#office.tell();
  }
}
