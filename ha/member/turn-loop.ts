/**
 * The turns of a member. Everything that arrives in one turn of the event loop is handled in one
 * pass at its end: one proposal, one read round, one write to the disk, one frame per peer, one
 * batch per watcher.
 */
import { type Ready, Role } from "../raft/mod.ts";
import { DiskError } from "../runtime/types.ts";
import { AlarmClock } from "./alarm-clock.ts";
import type { Inbox } from "./inbox.ts";
import { expireLeases } from "./lease-expiry.ts";
import type { MemberParts } from "./parts.ts";
import type { ReadyHandler } from "./ready-handler.ts";

/** What the turn loop needs beside the member's shared parts. */
export interface TurnHost {
  readonly inbox: Inbox;
  readonly handler: ReadyHandler;
  /** False while a snapshot is being installed, and after the member has failed or closed. */
  running(): boolean;
  /** Replaces log and state by the snapshot that `ready` asks for. */
  install(ready: Ready): void;
}

export class TurnLoop {
  readonly #parts: MemberParts;
  readonly #host: TurnHost;
  /** Set between two steps of compaction. */
  readonly #compactionPause: AlarmClock;
  readonly #newsRelease: AlarmClock;
  readonly #readHurry: AlarmClock;
  #scheduled = false;
  /** A tick has passed: the next turn writes the applied state even without a log write. */
  #stateDue = false;

  constructor(parts: MemberParts, host: TurnHost) {
    this.#parts = parts;
    this.#host = host;
    const { limits, runtime } = parts;
    this.#compactionPause = new AlarmClock(runtime.clock, limits.compactionPauseMillis);
    this.#newsRelease = new AlarmClock(runtime.clock, limits.newsHeldMillis);
    this.#readHurry = new AlarmClock(runtime.clock, limits.readHurryMillis);
  }

  /** Schedules one turn; until that has begun, further calls schedule no other. */
  wake(): void {
    if (this.#scheduled || !this.#host.running()) return;
    this.#scheduled = true;
    this.#parts.runtime.clock.soon(() => {
      this.#scheduled = false;
      this.#turn();
    });
  }

  tick(): void {
    if (!this.#host.running()) return;
    const { raft, runtime, leadership, proposals, reads, calls, snapshots } = this.#parts;
    const now = runtime.clock.monotonicMillis();
    const { leaderKnown } = leadership;
    this.#stateDue = true;
    raft.tick();
    proposals.sweep(now, leaderKnown);
    reads.sweep(now, leaderKnown);
    calls.sweep(now, leaderKnown);
    snapshots.sweep(now);
    this.wake();
  }

  expireLeases(): void {
    if (this.#host.running()) expireLeases(this.#parts);
  }

  /** Cancels the alarms that would begin further turns. */
  stop(): void {
    for (const alarm of [this.#compactionPause, this.#newsRelease, this.#readHurry]) alarm.stop();
  }

  /** The member stops when the disk cannot read back what was written: it never guesses. */
  #turn(): void {
    try {
      this.#handleTurn();
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      this.#parts.diskFailed(error);
    }
  }

  #handleTurn(): void {
    const { raft, writer, members, proposer, reads, snapshots, leadership, outbox } = this.#parts;
    if (!this.#host.running()) return;
    if (snapshots.due && !writer.settled) {
      this.#settle();
      return;
    }
    const now = this.#parts.runtime.clock.monotonicMillis();
    if (snapshots.due) snapshots.take(now);
    members.pump();
    proposer.propose(now);
    if (reads.mayBegin && leadership.leaderKnown) raft.readIndex(reads.begin(now));
    while (raft.hasReady() && this.#host.running()) this.#handle(raft.ready());
    if (!this.#host.running()) return;
    // The core has refused a snapshot, as outdated, that was received and is not being installed.
    snapshots.installing = undefined;
    this.#compactStore();
    this.#compactLog();
    writer.issue(this.#stateDue);
    this.#stateDue = false;
    this.#parts.hub().flush();
    this.#host.inbox.askLeader(leadership.status.leader);
    for (const peer of outbox.flush()) raft.unreachable(peer);
    this.#releaseNewsSoon();
    this.#hurryReadsSoon();
    this.#noticeLeadership(now);
    const more = proposer.isPressing || reads.mayBegin;
    if (raft.hasReady() || (more && leadership.leaderKnown)) this.wake();
  }

  #handle(ready: Ready): void {
    if (ready.install) this.#host.install(ready);
    else this.#host.handler.carryOut(ready);
  }

  #noticeLeadership(now: number): void {
    const { raft, leases, leadership } = this.#parts;
    leases.noticeLeadership(
      raft.role === Role.leader,
      this.#host.handler.appliedTerm === raft.term,
      now,
    );
    leadership.notice();
  }

  /** A snapshot is taken of the disk: the member applies nothing more until all is written. */
  #settle(): void {
    const { writer, outbox, raft } = this.#parts;
    writer.issue(true);
    for (const peer of outbox.flush()) raft.unreachable(peer);
    if (writer.settled) this.wake();
  }

  /** News that no other frame has carried within the limit goes in a frame of its own. */
  #releaseNewsSoon(): void {
    const { outbox } = this.#parts;
    if (!outbox.holds) return;
    this.#newsRelease.set(() => {
      outbox.release();
      this.wake();
    });
  }

  /** A read round asks the fewest possible peers. When they take too long, it asks all of them. */
  #hurryReadsSoon(): void {
    const { raft } = this.#parts;
    const round = raft.openReadRound;
    if (round === 0) return;
    this.#readHurry.set(() => {
      const { openReadRound } = raft;
      if (openReadRound !== 0 && openReadRound <= round) raft.hurryReads();
      this.wake();
    });
  }

  /** Removes compacted history in small steps, so that callers are served in between. */
  #compactStore(): void {
    if (this.#compactionPause.isSet) return;
    const { machine, limits } = this.#parts;
    if (!machine().compactStep(limits.compactionOperationsPerStep)) return;
    this.#compactionPause.set(() => this.wake());
  }

  #compactLog(): void {
    const { snapshots, trimmer, writer } = this.#parts;
    if (snapshots.leaving) return;
    const operations = trimmer.cut(writer.writtenIndex);
    if (operations === undefined) return;
    writer.log({ operations, lastIndex: undefined, sync: false, done: undefined });
  }
}
