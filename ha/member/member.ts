/**
 * One replica: joins the consensus core, the store, the disk and the peers.
 *
 *     frames, ticks, requests ─► raft ─► send ─► persist ─► apply ─► answer
 *
 * Everything that arrives in one turn is handled in one pass at its end: one proposal, one read
 * round, one write to the disk, one frame per peer, one batch per watcher.
 */
import type { Answer, Call } from "../../proto/gen/raft.ts";
import {
  EntryKind,
  type LogIndex,
  MessageType,
  type Raft,
  type Ready,
  Role,
  type SnapshotMeta,
  type Term,
} from "../raft/mod.ts";
import { assert } from "../runtime/assert.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Cancel, DiskError, MemberId, Runtime } from "../runtime/types.ts";
import {
  type Command,
  storeErrors as errors,
  LeaseClock,
  type PageReader,
  pageReader,
  type StateMachine,
  WatchHub,
} from "../store/mod.ts";
import { type CallDone, CallKind, Calls } from "./calls.ts";
import { clusterIdTag } from "./cluster-id.ts";
import { install } from "./installer.ts";
import { limitsWith, type MemberLimits } from "./limits.ts";
import { type Loaded, loadMachine } from "./load.ts";
import type { LogStore } from "./log-store.ts";
import { Outbox } from "./outbox.ts";
import type { CommandDone, Proposals } from "./proposals.ts";
import { type ReadDone, Reads } from "./reads.ts";
import { SnapshotReceiver } from "./snapshot-receiver.ts";
import { SnapshotSender } from "./snapshot-sender.ts";
import type { MemberOptions } from "./types.ts";
import { decodeFrame, snapshotMessage } from "./wire.ts";
import { Writer } from "./writer.ts";

/** `installing`: a snapshot takes the place of log and state; nothing else moves. */
type Phase = "running" | "installing" | "failed" | "closed";

export interface Leadership {
  readonly role: Role;
  readonly leader: MemberId | undefined;
  readonly term: Term;
}

export class Member {
  readonly options: MemberOptions;
  readonly runtime: Runtime;
  machine: StateMachine;
  hub: WatchHub;
  #leases: LeaseClock;
  readonly #raft: Raft;
  readonly #limits: MemberLimits;
  readonly #logStore: LogStore;
  readonly #read: PageReader;
  readonly #writer: Writer;
  readonly #outbox: Outbox;
  readonly #clusterTag: number;
  readonly #proposals: Proposals;
  readonly #reads: Reads;
  readonly #calls: Calls;
  readonly #sender: SnapshotSender;
  readonly #receiver: SnapshotReceiver;
  readonly #wanted = new Set<MemberId>();
  readonly #linked = new Set<MemberId>();
  readonly #timers: Cancel[] = [];
  readonly #listeners = new Set<() => void>();
  #installing: SnapshotMeta | undefined;
  #phase: Phase = "running";
  #scheduled = false;
  #leadership: Leadership;
  #appliedTerm: number;
  #logStart: number;
  #logBytes = 0;
  failure: StatusError | undefined;

  /** Made by `openMember`, which has loaded what the disk holds. */
  constructor(runtime: Runtime, options: MemberOptions, loaded: Loaded) {
    this.runtime = runtime;
    this.options = options;
    this.#limits = limitsWith(options.limits);
    this.#reads = new Reads(this.#limits);
    this.#calls = new Calls(this.#limits);
    this.machine = loaded.machine;
    this.#raft = loaded.raft;
    this.#logStore = loaded.logStore;
    this.#logStart = loaded.logStart;
    this.#proposals = loaded.proposals;
    this.#appliedTerm = loaded.machine.appliedTerm;
    this.#clusterTag = clusterIdTag(loaded.clusterId);
    this.#read = pageReader(runtime.disk);
    this.hub = this.#newHub();
    this.#leases = new LeaseClock(this.machine.leases);
    this.#outbox = new Outbox(runtime.network, this.#clusterTag);
    this.#writer = new Writer(runtime.disk, this.machine, loaded.lastIndex, {
      failed: (error) => this.#diskFailed(error),
      idle: () => this.#wake(),
    });
    this.#sender = new SnapshotSender(
      this.#read,
      {
        send: (peer, chunk) => this.#outbox.to(peer).chunks.push(chunk),
        finished: (peer, ok) => this.#raft.snapshotSent(peer, ok),
        wake: () => this.#wake(),
      },
      runtime.log,
      this.#limits,
    );
    this.#receiver = new SnapshotReceiver(
      runtime.disk,
      {
        answer: (peer, chunk) => this.#outbox.to(peer).chunks.push(chunk),
        complete: (from, term, meta) => this.#snapshotReceived(from, term, meta),
        wake: () => this.#wake(),
      },
      runtime.log,
      this.#limits,
    );
    this.#leadership = this.#presentLeadership();
  }

  /** Listens, dials and begins to tick. Rejects when the address cannot be bound. */
  async start(): Promise<void> {
    const { network, clock } = this.runtime;
    network.setPeers(this.options.cluster.filter((peer) => peer.id !== this.options.id));
    await network.start({
      message: (from, bytes) => this.#frame(from, bytes),
      link: (peer, up) => this.#link(peer, up),
    });
    this.#timers.push(
      clock.every(this.#limits.tickMillis, () => this.#tick()),
      clock.every(this.#limits.leaseCheckMillis, () => this.#expireLeases()),
    );
    // Alone there is nobody to wait for.
    if (this.options.cluster.length === 1) this.#raft.campaign();
    this.#wake();
  }

  #newHub(): WatchHub {
    const options = { log: this.runtime.log, limits: this.options.watchLimits };
    return new WatchHub(this.machine, this.#read, options);
  }

  get leadership(): Leadership {
    return this.#leadership;
  }

  get raftStatus() {
    return this.#raft.status();
  }

  get appliedIndex(): number {
    return this.machine.appliedIndex;
  }

  isLinked(peer: MemberId): boolean {
    return this.#linked.has(peer);
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

  /** Asks the leader about a lease. */
  call(kind: CallKind, lease: bigint, done: CallDone): void {
    const now = this.runtime.clock.monotonicMillis();
    const refusal = this.failure ?? this.#calls.submit(kind, lease, now, done);
    if (refusal) this.runtime.clock.soon(() => done(refusal, undefined));
    else this.#wake();
  }

  /** Called after leader, role, term or a link has changed. */
  onChange(listener: () => void): Cancel {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Asks the best peer to take over, if this member leads; resolves when it no longer does. */
  async handOver(millisMax: number): Promise<void> {
    const { role, progress } = this.#raft.status();
    if (role !== Role.leader || this.#phase !== "running") return;
    const successors = progress.filter((peer) => !peer.learner && this.#linked.has(peer.id));
    const best = successors.sort((a, b) => b.match - a.match)[0];
    if (!best) return;
    this.#raft.transferLeadership(best.id);
    this.#wake();
    await new Promise<void>((resolve) => {
      const end = () => {
        stop();
        cancel();
        resolve();
      };
      const cancel = this.runtime.clock.after(millisMax, end);
      const stop = this.onChange(() => {
        if (this.#leadership.role !== Role.leader) end();
      });
    });
  }

  /** Stops at once; what waits is told. The runtime stays open for its owner to close. */
  async close(): Promise<void> {
    if (this.#phase === "closed") return;
    this.#end("closed", errors.stopped());
    await this.runtime.network.close();
  }

  #end(phase: "failed" | "closed", error: StatusError): void {
    this.#phase = phase;
    this.failure = error;
    for (const cancel of this.#timers.splice(0)) cancel();
    this.#sender.stopAll();
    this.#receiver.stop();
    this.#proposals.close(error);
    this.#reads.close(error);
    this.#calls.close(error);
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

  #turn(): void {
    if (this.#phase !== "running") return;
    if (this.#wanted.size > 0 && !this.#writer.settled) return this.#settle();
    const now = this.runtime.clock.monotonicMillis();
    this.#startSnapshots(now);
    this.#propose(now);
    if (this.#reads.waiting && this.#leadership.leader !== undefined) {
      this.#raft.readIndex(this.#reads.begin(now));
    }
    while (this.#raft.hasReady() && this.#phase === "running") this.#handle(this.#raft.ready());
    if (this.#phase !== "running") return;
    const garbage = this.machine.compactStep(this.#limits.compactionOperationsPerTurn);
    this.#compactLog();
    this.#writer.issue();
    this.hub.flush();
    this.#askLeader();
    for (const peer of this.#outbox.flush()) this.#raft.unreachable(peer);
    this.#noticeLeadership(now);
    const more = this.#proposals.waiting && this.#leadership.leader !== undefined;
    if (garbage || this.#raft.hasReady() || (more && !this.#refused)) this.#wake();
  }

  /** The core refused for now: the next tick tries again. */
  #refused = false;

  #propose(now: number): void {
    this.#refused = false;
    if (!this.#proposals.waiting) return;
    const wallMillis = Math.max(0, Math.floor(this.runtime.clock.wallMillis()));
    const { data, taken } = this.#proposals.take(wallMillis);
    const refusal = this.#raft.propose(data);
    assert(refusal !== "too-large", "a proposal is bounded before it is encoded");
    if (refusal === undefined) this.#proposals.proposed(taken, this.#raft.term, now);
    else {
      this.#refused = true;
      this.#proposals.putBack(taken);
    }
  }

  #handle(ready: Ready): void {
    if (ready.install) this.#beginInstall(ready, ready.install);
    else this.#carryOut(ready);
  }

  #carryOut(ready: Ready): void {
    for (const context of ready.failedReads) this.#reads.failed(context);
    for (const message of ready.messages) this.#outbox.message(message);
    const { entries, hardState, messagesAfterPersist } = ready;
    if (entries.length > 0 || hardState || messagesAfterPersist.length > 0) {
      const operations = this.#logStore.persist(entries, hardState);
      for (const entry of entries) this.#logBytes += entry.data.length;
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
    for (const peer of ready.snapshotsWanted) this.#wanted.add(peer);
  }

  #apply(ready: Ready): void {
    const last = ready.committed.at(-1);
    if (!last) return;
    for (const entry of ready.committed) {
      if (entry.kind === EntryKind.normal) {
        for (const command of this.machine.apply(entry.index, entry.term, entry.data)) {
          this.#proposals.answer(command);
        }
      } else this.machine.advance(entry.index, entry.term);
      if (entry.term > this.#appliedTerm) {
        this.#appliedTerm = entry.term;
        this.#proposals.termApplied(entry.term);
      }
    }
    this.#raft.applied(last.index);
    this.#reads.applied(last.index);
  }

  /** Cuts the log behind what is applied and written, when it has grown long enough. */
  #compactLog(): void {
    // Whoever receives a snapshot now needs the entries that follow it.
    if (this.#sender.active) return;
    const heavy = this.#logBytes > this.#limits.logBytesKept;
    const kept = heavy ? this.#limits.logEntriesKeptMin : this.#limits.logEntriesKept;
    const target = (this.#writer.writtenIndex - kept) as LogIndex;
    if (
      target - this.#logStart <
      (heavy ? this.#limits.logEntriesKeptMin : this.#limits.logEntriesSlack)
    )
      return;
    const start = this.#raft.snapshotAt(target);
    assert(start, "what is applied since the log's start is in the log");
    this.#raft.compact(target);
    this.#logStart = target;
    this.#logBytes = 0;
    const operations = this.#logStore.compact(start);
    this.#writer.log({ operations, lastIndex: undefined, sync: false, done: undefined });
  }

  #tick(): void {
    if (this.#phase !== "running") return;
    const now = this.runtime.clock.monotonicMillis();
    const leaderKnown = this.#leadership.leader !== undefined;
    this.#raft.tick();
    this.#proposals.sweep(now, leaderKnown);
    this.#reads.sweep(now, leaderKnown);
    this.#calls.sweep(now, leaderKnown);
    this.#sender.sweep(now);
    this.#wake();
  }

  #frame(from: MemberId, bytes: Uint8Array): void {
    if (this.#phase !== "running") return;
    let frame: ReturnType<typeof decodeFrame>;
    try {
      frame = decodeFrame(this.#clusterTag, bytes);
    } catch (error) {
      this.runtime.log.warn("a frame cannot be read", { from, error });
      return;
    }
    if (!frame) {
      this.runtime.log.warn("a frame of another cluster was dropped", { from });
      return;
    }
    for (const message of frame.messages) {
      // The link is authenticated: nobody speaks for somebody else.
      if (message.from === from && message.type !== MessageType.snapshot) this.#raft.step(message);
    }
    for (const chunk of frame.chunks) {
      if (chunk.data !== undefined) this.#receiver.chunk(from, chunk);
      else this.#sender.acknowledged(from, chunk, this.runtime.clock.monotonicMillis());
    }
    for (const call of frame.calls) this.#outbox.to(from).answers.push(this.#answer(call));
    for (const answer of frame.answers) this.#calls.answered(answer);
    this.#wake();
  }

  #link(peer: MemberId, up: boolean): void {
    if (this.#phase === "failed" || this.#phase === "closed") return;
    if (up) {
      this.#linked.add(peer);
      this.#campaignSoon();
    } else if (this.#linked.delete(peer)) {
      this.#raft.linkLost(peer);
      this.#calls.lost(peer);
      this.#sender.lost(peer);
    }
    for (const listener of this.#listeners) listener();
    this.#wake();
  }

  /** A quorum can talk and nobody leads: no need to wait out a timer. Pre-vote keeps it harmless. */
  #campaignSoon(): void {
    const quorum = Math.floor(this.options.cluster.length / 2) + 1;
    if (this.#leadership.leader !== undefined || this.#linked.size + 1 < quorum) return;
    const delay = 1 + this.runtime.random.below(this.#limits.tickMillis);
    this.#timers.push(
      this.runtime.clock.after(delay, () => {
        if (this.#phase !== "running" || this.#leadership.leader !== undefined) return;
        this.#raft.campaign();
        this.#wake();
      }),
    );
  }

  #presentLeadership(): Leadership {
    const { role, leader, term } = this.#raft;
    return { role, leader, term };
  }

  #noticeLeadership(now: number): void {
    const before = this.#leadership;
    const present = this.#presentLeadership();
    const leads = present.role === Role.leader;
    if (leads && this.#appliedTerm === present.term && !this.#leases.leading) {
      this.#leases.promote(now);
    } else if (!leads && this.#leases.leading) this.#leases.demote();
    const changed =
      before.role !== present.role ||
      before.leader !== present.leader ||
      before.term !== present.term;
    if (!changed) return;
    this.#leadership = present;
    if (before.role === Role.leader && !leads) this.#sender.stopAll();
    if (before.leader !== present.leader) {
      this.runtime.log.info("leader changed", { leader: present.leader, term: present.term });
    }
    for (const listener of this.#listeners) listener();
    if (present.leader !== undefined && (this.#proposals.waiting || this.#reads.waiting))
      this.#wake();
  }

  #askLeader(): void {
    const { leader } = this.#leadership;
    if (leader === undefined) return;
    for (const call of this.#calls.unasked(leader)) {
      if (leader === this.options.id) this.#calls.answered(this.#answer(call));
      else this.#outbox.to(leader).calls.push(call);
    }
  }

  #answer(call: Call): Answer {
    const id = call.id ?? 0;
    if (!this.#leases.leading) return { id, leads: false };
    const now = this.runtime.clock.monotonicMillis();
    let lease: bigint;
    try {
      lease = BigInt(call.lease ?? "");
    } catch {
      return { id, leads: true, found: false }; // No number: certainly no lease.
    }
    const granted = this.machine.leases.get(lease)?.seconds;
    if (granted === undefined) return { id, leads: true, found: false };
    try {
      if (call.kind === CallKind.keepAlive) this.#leases.keepAlive(lease, now);
    } catch {
      return { id, leads: true, found: false }; // Its time is up; the revocation is on its way.
    }
    const remainingSeconds = this.#leases.remaining(lease, now);
    return { id, leads: true, found: true, grantedSeconds: granted, remainingSeconds };
  }

  #expireLeases(): void {
    if (this.#phase !== "running" || !this.#leases.leading) return;
    const now = this.runtime.clock.monotonicMillis();
    for (const id of this.#leases.expired(now, this.#limits.leasesExpiredPerCheck)) {
      this.submit({ kind: "leaseRevoke", id }, { bytes: 0 }, (error) => {
        // The clock names it again while it is there.
        if (error) this.runtime.log.debug("a lease was not revoked", { error: error.message });
      });
    }
  }

  /** A snapshot is taken of what is on the disk: nothing more is applied until all of it is. */
  #settle(): void {
    this.#writer.issue();
    for (const peer of this.#outbox.flush()) this.#raft.unreachable(peer);
    if (this.#writer.settled) this.#wake();
  }

  #startSnapshots(now: number): void {
    if (this.#wanted.size === 0) return;
    const { role, term } = this.#leadership;
    const meta = this.#raft.snapshotAt(this.machine.appliedIndex as LogIndex);
    for (const peer of this.#wanted) {
      if (role === Role.leader && meta) this.#sender.start(peer, meta, term, this.machine, now);
      else this.#raft.snapshotSent(peer, false);
    }
    this.#wanted.clear();
  }

  #snapshotReceived(from: MemberId, term: Term, meta: SnapshotMeta): void {
    if (this.#phase !== "running") return;
    this.#installing = meta;
    this.#raft.step(snapshotMessage(from, this.options.id, term, meta));
    this.#wake();
  }

  /** Log and state are replaced on disk first; then everything goes on from there. */
  #beginInstall(ready: Ready, meta: SnapshotMeta): void {
    assert(this.#installing?.index === meta.index, "the snapshot that was received is installed");
    this.#phase = "installing";
    this.runtime.log.info("installing a snapshot", { index: meta.index });
    this.hub.stop(errors.leaderChanged());
    this.#install(ready, meta).catch((error: unknown) => {
      this.runtime.log.error("a snapshot could not be installed", { error });
      this.#end("failed", errors.corrupt());
    });
  }

  async #install(ready: Ready, meta: SnapshotMeta): Promise<void> {
    const { disk } = this.runtime;
    await this.#writer.drained();
    await install(disk, this.#read, this.#logStore, meta, ready.hardState);
    const machine = await loadMachine(disk, this.options.id, this.#proposals.incarnation);
    assert(machine.appliedIndex === meta.index, "the snapshot is of the index it says");
    if (this.#phase !== "installing") return;
    this.machine = machine;
    this.#appliedTerm = machine.appliedTerm;
    this.hub = this.#newHub();
    this.#leases = new LeaseClock(machine.leases);
    this.#writer.reset(machine);
    this.#logStart = meta.index;
    this.#installing = undefined;
    this.#phase = "running";
    this.#raft.applied(meta.index);
    this.#carryOut(ready);
    this.#proposals.skipped();
    this.#reads.applied(meta.index);
    for (const listener of this.#listeners) listener();
    this.#wake();
  }

  /** A member that cannot persist stops acknowledging; its peers go on without it. */
  #diskFailed(error: DiskError): void {
    if (this.#phase === "closed") return;
    this.runtime.log.error("the disk failed: this member stops", { kind: error.kind, error });
    this.#end("failed", new StatusError(Code.unavailable, `etcdserver: ${error.message}`));
    this.runtime.network.close().catch((thrown: unknown) => {
      this.runtime.log.warn("the peer links could not be closed", { error: thrown });
    });
    for (const listener of this.#listeners) listener();
  }
}
