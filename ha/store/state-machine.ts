/**
 * The replicated state machine: what every member computes from the same log. Synchronous and
 * deterministic; disk work comes out as operations that the driver writes in one batch per turn.
 *
 *   proposal ──apply──► outcomes, to the waiting callers
 *                └────► revisions, to the observer (the watch hub)
 *                └────► disk operations, by takeOperations
 */
import { AssertionError, assert, unreachable } from "../runtime/assert.ts";
import { StatusError } from "../runtime/status-error.ts";
import type { DiskOperation, MemberId } from "../runtime/types.ts";
import { Alarms, AlarmType } from "./alarms.ts";
import { seal } from "./checksum.ts";
import {
  type DecodedProposal,
  decodeProposal,
  type SequencedCommand,
  type StoreCommand,
} from "./commands.ts";
import { Digest } from "./digest.ts";
import * as errors from "./errors.ts";
import { type AppliedChange, History } from "./history.ts";
import {
  type Applied,
  appliedKey,
  type Change,
  encodeApplied,
  type SessionRecord,
} from "./layout.ts";
import { Leases } from "./leases.ts";
import { defaultStoreLimits, type StoreLimits } from "./limits.ts";
import { queryOf, runRange } from "./range.ts";
import type { HistoryDisk } from "./records.ts";
import { Sessions } from "./sessions.ts";
import { bytesOf } from "./text.ts";
import { TxnRun } from "./txn.ts";
import type { LeaseId, RangeRequest, RangeResponse, Revision, TxnResponse } from "./types.ts";
import { checkCommand } from "./validate.ts";

export type Outcome =
  | { readonly kind: "txn"; readonly response: TxnResponse }
  | { readonly kind: "leaseGrant"; readonly id: LeaseId; readonly seconds: number }
  | { readonly kind: "leaseRevoke"; readonly revision: Revision }
  | { readonly kind: "compact"; readonly revision: Revision }
  /** `changed`: it was not so before. */
  | { readonly kind: "alarm"; readonly changed: boolean }
  | { readonly kind: "failed"; readonly error: StatusError };

export interface AppliedCommand {
  readonly proposer: number;
  readonly incarnation: number;
  readonly sequence: number;
  /** Without results for another member's command that has no request id. */
  readonly outcome: Outcome;
}

/** Called for every revision, synchronously and in order. */
export interface RevisionObserver {
  changed(revision: number, changes: readonly AppliedChange[]): void;
}

export interface StateMachineOptions {
  readonly limits?: StoreLimits | undefined;
  /** The member whose commands get full answers. Absent: those of all members. */
  readonly self?: { readonly member: MemberId; readonly incarnation: number } | undefined;
}

export class StateMachine {
  readonly limits: StoreLimits;
  readonly history: History;
  readonly leases = new Leases();
  readonly sessions: Sessions;
  readonly alarms = new Alarms();
  /** Set by the watch hub. */
  observer: RevisionObserver | undefined;
  private readonly self: StateMachineOptions["self"];
  private index = 0;
  private term = 0;
  /** The store's time: the largest wall clock any proposer has shown. */
  private wallMillis = 0;
  /**
   * The store's age, by which request ids are forgotten: time that has passed, of which a wall
   * clock that was set forward is no proof. Each step of it counts up to `maxClockStepMillis`.
   */
  private ageMillis = 0;
  private takenIndex = 0;
  /** Snapshots being read: what they read must stay. */
  private holds = 0;

  constructor(disk: HistoryDisk, options: StateMachineOptions = {}) {
    this.limits = options.limits ?? defaultStoreLimits;
    this.self = options.self;
    this.history = new History(disk);
    this.sessions = new Sessions(this.limits);
  }

  get appliedIndex(): number {
    return this.index;
  }
  get appliedTerm(): number {
    return this.term;
  }
  get revision(): Revision {
    return this.history.revision as Revision;
  }
  get compactRevision(): Revision {
    return this.history.compactRevision as Revision;
  }
  /** Keys that exist. */
  get keys(): number {
    return this.history.entries.live;
  }

  /**
   * Carries out a committed entry. Empty data is a leader's no-op. Throws AssertionError when the
   * entry is out of order or undecodable: neither can be survived.
   */
  apply(index: number, term: number, proposal: Uint8Array): AppliedCommand[] {
    this.advance(index, term);
    if (proposal.length === 0) return [];
    const decoded = decodeCommitted(index, proposal);
    if (decoded.wallMillis > this.wallMillis) {
      const step = decoded.wallMillis - this.wallMillis;
      this.ageMillis += Math.min(step, this.limits.maxClockStepMillis);
      this.wallMillis = decoded.wallMillis;
    }
    this.sessions.expire(this.ageMillis);
    const { proposer, incarnation } = decoded;
    const { self } = this;
    const own =
      self === undefined || (self.member === proposer && self.incarnation === incarnation);
    const applied: AppliedCommand[] = [];
    for (const command of decoded.commands) {
      const outcome = this.perform(command, own);
      applied.push({ proposer, incarnation, sequence: command.sequence, outcome });
    }
    return applied;
  }

  /** Passes over an entry that is not the store's (membership). */
  advance(index: number, term: number): void {
    assert(index > this.index, `entry ${index} is applied after ${this.index}`);
    this.index = index;
    this.term = term;
  }

  private perform({ requestId, command }: SequencedCommand, own: boolean): Outcome {
    try {
      if (command.kind === "txn") return this.txn(command, requestId, own);
      this.alarms.check(command);
      return this.administer(command);
    } catch (thrown) {
      // A refusal; the checks come before any change. Everything else is a bug of ours.
      if (thrown instanceof StatusError) return { kind: "failed", error: thrown };
      throw thrown;
    }
  }

  private txn(
    command: StoreCommand & { kind: "txn" },
    requestId: string | undefined,
    own: boolean,
  ): Outcome {
    const { txn } = command;
    if (requestId !== undefined) {
      const response = this.sessions.get(requestId);
      if (response !== undefined) return { kind: "txn", response };
    }
    this.alarms.check(command);
    checkCommand(txn, this.limits);
    const run = new TxnRun(this.history, this.leases, own || requestId !== undefined);
    const response = run.run(txn);
    this.commit(run.changes);
    if (requestId !== undefined) this.sessions.remember(requestId, this.ageMillis, response);
    return { kind: "txn", response };
  }

  private commit(changes: readonly AppliedChange[]): void {
    if (changes.length === 0) return;
    const revision = this.history.revision + 1;
    this.history.commit(revision, changes);
    this.observer?.changed(revision, changes);
  }

  private administer(command: Exclude<StoreCommand, { kind: "txn" }>): Outcome {
    switch (command.kind) {
      case "leaseGrant":
        return this.leaseGrant(command.id, command.seconds);
      case "leaseRevoke":
        return this.leaseRevoke(command.id);
      case "compact":
        return this.compact(command.revision);
      case "alarm":
        return { kind: "alarm", changed: this.alarms.set(command.alarm, command.active) };
      default:
        return unreachable(command);
    }
  }

  private leaseGrant(id: LeaseId, seconds: number): Outcome {
    if (id === 0n) throw errors.leaseNotFound();
    if (seconds > this.limits.maxLeaseSeconds) throw errors.leaseTooLong();
    if (this.leases.get(id) !== undefined) throw errors.leaseExists();
    const granted = Math.max(seconds, this.limits.minLeaseSeconds);
    this.leases.grant(id, granted);
    return { kind: "leaseGrant", id, seconds: granted };
  }

  private leaseRevoke(id: LeaseId): Outcome {
    const lease = this.leases.get(id);
    if (lease === undefined) throw errors.leaseNotFound();
    const run = new TxnRun(this.history, this.leases, false);
    for (const key of [...lease.keys].sort()) {
      const entry = this.history.entries.get(key);
      assert(entry?.current !== undefined, "an attached key exists");
      run.deleteEntry(entry);
    }
    this.commit(run.changes);
    this.leases.revoke(id);
    return { kind: "leaseRevoke", revision: this.revision };
  }

  private compact(revision: number): Outcome {
    if (revision <= this.history.compactRevision) throw errors.compacted();
    if (revision > this.history.revision) throw errors.futureRevision();
    this.history.compactRevision = revision;
    return { kind: "compact", revision: this.revision };
  }

  /**
   * Drops at most `maxOperations` compacted modifications; answers whether more wait. The driver
   * calls it once a turn, so that a large compaction does not delay a heartbeat.
   */
  compactStep(maxOperations: number): boolean {
    if (this.holds > 0) return false;
    this.history.collect(maxOperations);
    return this.history.hasGarbage;
  }

  /** Keeps compaction from dropping anything until the answer is called. */
  holdHistory(): () => void {
    this.holds++;
    let held = true;
    return () => {
      if (held) this.holds--;
      held = false;
    };
  }

  /** Reads; throws `compacted`, `futureRevision`. The request has been checked (`checkRange`). */
  range(request: RangeRequest): RangeResponse {
    this.checkReadable();
    return runRange(this.history, queryOf(request), this.history.revision);
  }

  /** Throws `corrupt` while that alarm is raised. */
  checkReadable(): void {
    if (this.alarms.raised(AlarmType.corrupt)) throw errors.corrupt();
  }

  /** The answer of the write with this request id. */
  recall(requestId: string): TxnResponse | undefined {
    return this.sessions.get(requestId);
  }

  /** Keys attached to a lease, in order. */
  leaseKeys(id: LeaseId): Uint8Array[] {
    return [...(this.leases.get(id)?.keys ?? [])].sort().map(bytesOf);
  }

  /** The changes of a revision, newest included; undefined when it is gone. */
  record(revision: number): readonly Change[] | undefined {
    return this.history.records.at(revision);
  }

  /**
   * What there is to write since the last call: one batch, to be handed to the disk before the
   * next call of anything here.
   */
  takeOperations(): DiskOperation[] {
    const operations: DiskOperation[] = [];
    this.history.records.takeOperations(operations);
    this.leases.takeOperations(operations);
    this.sessions.takeOperations(operations);
    if (operations.length === 0 && this.takenIndex === this.index) return operations;
    operations.push({ key: appliedKey, value: seal(appliedKey, encodeApplied(this.applied)) });
    this.takenIndex = this.index;
    return operations;
  }

  /** Whether `takeOperations` would answer something. */
  get hasOperations(): boolean {
    const { history, leases, sessions } = this;
    return (
      this.takenIndex !== this.index ||
      history.records.hasOperations ||
      leases.hasOperations ||
      sessions.hasOperations
    );
  }

  get applied(): Applied {
    return {
      index: this.index,
      term: this.term,
      revision: this.history.revision,
      compactRevision: this.history.compactRevision,
      wallMillis: this.wallMillis,
      ageMillis: this.ageMillis,
      alarms: this.alarms.active,
    };
  }

  /** Takes up what a load has read. */
  restore(applied: Applied): void {
    assert(this.index === 0, "only a new state machine is loaded");
    this.index = applied.index;
    this.takenIndex = applied.index;
    this.term = applied.term;
    this.wallMillis = applied.wallMillis;
    this.ageMillis = applied.ageMillis;
    this.alarms.restore(applied.alarms);
    this.history.compactRevision = applied.compactRevision;
    while (this.history.hasGarbage) this.history.collect(10_000);
  }

  /**
   * Digest of the logical state: members that have applied the same index have the same one,
   * however each came there. Unsigned 32 bits; reads every key.
   */
  hash(): number {
    const digest = new Digest();
    digest.number(this.history.revision);
    digest.number(this.history.compactRevision);
    digest.number(this.wallMillis);
    digest.number(this.ageMillis);
    this.digestKeys(digest, this.history.revision);
    for (const id of this.leases.ids()) {
      digest.text(id.toString());
      digest.number(this.leases.get(id)?.seconds ?? 0);
    }
    for (const session of this.sessions.records()) digestSession(digest, session);
    for (const { member, kind } of this.alarms.active) {
      digest.number(member);
      digest.number(kind);
    }
    return digest.value;
  }

  /** Like {@link hash}, in steps of so many keys; the same on members at the same index. */
  *hashSteps(keysPerStep: number): Generator<void, number> {
    const digest = new Digest();
    digest.number(this.wallMillis);
    digest.number(this.ageMillis);
    for (const id of this.leases.ids()) {
      digest.text(id.toString());
      digest.number(this.leases.get(id)?.seconds ?? 0);
    }
    for (const session of this.sessions.records()) digestSession(digest, session);
    for (const { member, kind } of this.alarms.active) {
      digest.number(member);
      digest.number(kind);
    }
    const { revision } = this.history;
    digest.number(this.history.compactRevision);
    digest.number(yield* this.hashKvSteps(revision, keysPerStep));
    return digest.value;
  }

  /** Digest of all keys as they were at `revision` (0: now). Throws like a range there. */
  hashKv(revision: number): number {
    const { history } = this;
    if (revision > history.revision) throw errors.futureRevision();
    const at = revision === 0 ? history.revision : revision;
    if (at < history.compactRevision) throw errors.compacted();
    const digest = new Digest();
    this.digestKeys(digest, at);
    return digest.value;
  }

  /**
   * The same in steps of so many keys, for a member that has other things to do in between: what
   * is applied meanwhile changes nothing, as long as history is held ({@link holdHistory}).
   */
  *hashKvSteps(revision: number, keysPerStep: number): Generator<void, number> {
    if (revision > this.history.revision) throw errors.futureRevision();
    if (revision < this.history.compactRevision) throw errors.compacted();
    const digest = new Digest();
    let from: string | undefined = "";
    while (from !== undefined) {
      from = this.digestKeys(digest, revision, from, keysPerStep);
      yield;
    }
    return digest.value;
  }

  /** Answers where to go on, when `most` keys have been visited before the end. */
  private digestKeys(
    digest: Digest,
    revision: number,
    from = "",
    most = Number.POSITIVE_INFINITY,
  ): string | undefined {
    const { history } = this;
    let visited = 0;
    let next: string | undefined;
    history.entries.visit(from, "\u{ffff}", (entry) => {
      if (visited++ >= most) {
        next = entry.key;
        return false;
      }
      const mod = history.modAt(entry, revision);
      if (mod === undefined) return true;
      const version = history.versionOf(entry, mod);
      digest.text(entry.key);
      digest.text(version.value);
      digest.number(version.create);
      digest.number(mod);
      digest.number(version.version);
      digest.text(version.lease.toString());
      return true;
    });
    return next;
  }
}

function digestSession(digest: Digest, session: SessionRecord): void {
  digest.text(session.requestId);
  digest.number(session.wallMillis);
  digest.text(session.result);
}

function decodeCommitted(index: number, proposal: Uint8Array): DecodedProposal {
  try {
    return decodeProposal(proposal);
  } catch (thrown) {
    throw new AssertionError(`committed entry ${index} cannot be decoded: ${String(thrown)}`);
  }
}
