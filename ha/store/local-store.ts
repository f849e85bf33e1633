/**
 * A store of one member in this thread, without a log: commands of a turn are applied as one
 * proposal and written with one synced batch. For unit tests of the layers above, and the model to
 * which the other implementations are held.
 */
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Cancel, MemberId, Runtime } from "../runtime/types.ts";
import { type Command, encodeProposal, type ProposedCommand } from "./codec.ts";
import * as errors from "./errors.ts";
import { LeaseClock } from "./lease-clock.ts";
import { defaultStoreLimits, type StoreLimits, type WatchLimits } from "./limits.ts";
import { loadStateMachine, pageReader } from "./load.ts";
import {
  type OpenRangeOptions,
  type RangeHost,
  RangeReads,
  type RangeRows,
} from "./range-reads.ts";
import { type AppliedCommand, type Outcome, StateMachine } from "./state-machine.ts";
import type {
  DirectStore,
  DirectWatch,
  LeaseId,
  LeaseStatus,
  MemberStatus,
  RangeRequest,
  RangeResponse,
  Revision,
  TxnRequest,
  TxnResponse,
  WatchRequest,
  WriteOptions,
} from "./types.ts";
import { checkLease, checkRange, checkRequestId, checkTxn } from "./validate.ts";
import { WatchHub } from "./watch-hub.ts";

export interface LocalStoreOptions {
  readonly name?: string | undefined;
  readonly limits?: StoreLimits | undefined;
  readonly watchLimits?: WatchLimits | undefined;
  /** Commands waiting to be applied; more are refused as too many requests. */
  readonly maxWaiting?: number | undefined;
}

const leaseCheckMillis = 100;
const maxExpiriesPerCheck = 100;
const maxCommandsPerTurn = 1000;
const compactionPerTurn = 1000;
const defaultMaxWaiting = 10_000;
const member = 1 as MemberId;
const clusterId = 1n;

/** Opens the store on the runtime's disk; rejects with DiskError where that is corrupt. */
export async function openLocalStore(
  runtime: Runtime,
  options: LocalStoreOptions = {},
): Promise<DirectStore> {
  const machine = new StateMachine(runtime.disk, { limits: options.limits });
  await loadStateMachine(machine, runtime.disk, pageReader(runtime.disk));
  return new LocalStore(runtime, machine, options);
}

interface Waiting {
  readonly command: Command;
  readonly requestId: string | undefined;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: StatusError) => void;
}

class LocalStore implements DirectStore {
  private readonly runtime: Runtime;
  private readonly machine: StateMachine;
  private readonly hub: WatchHub;
  private readonly clock: LeaseClock;
  private readonly options: LocalStoreOptions;
  private readonly limits: StoreLimits;
  private readonly incarnation: number;
  private waiting: Waiting[] = [];
  private readonly cancelExpiry: Cancel;
  /** A batch is on its way to the disk. */
  private writing = false;
  private scheduled = false;
  /** Reads that wait for what is applied to be on disk. */
  private barriers: (() => void)[] = [];
  private readonly reads: RangeReads;
  private failure: StatusError | undefined;

  constructor(runtime: Runtime, machine: StateMachine, options: LocalStoreOptions) {
    this.runtime = runtime;
    this.machine = machine;
    this.options = options;
    this.limits = options.limits ?? defaultStoreLimits;
    this.incarnation = runtime.random.below(2 ** 32);
    this.hub = new WatchHub(machine, pageReader(runtime.disk), {
      limits: options.watchLimits,
      log: runtime.log,
    });
    this.reads = new RangeReads(this.rangeHost());
    this.clock = new LeaseClock(machine.leases);
    this.clock.promote(runtime.clock.monotonicMillis());
    this.cancelExpiry = runtime.clock.every(leaseCheckMillis, () => this.expireLeases());
  }

  async range(
    request: RangeRequest,
    options?: { readonly serializable?: boolean; readonly signal?: AbortSignal | undefined },
  ): Promise<RangeResponse> {
    checkRange(request);
    if (options?.serializable !== true) await this.durable(options?.signal);
    this.checkOpen();
    return this.machine.range(request);
  }

  async openRange(
    request: RangeRequest,
    options: OpenRangeOptions = {},
  ): Promise<RangeResponse | RangeRows> {
    checkRange(request);
    if (options.serializable !== true) await this.durable(undefined);
    this.checkOpen();
    return this.reads.open(request, options);
  }

  async txn(request: TxnRequest, options: WriteOptions = {}): Promise<TxnResponse> {
    checkRequestId(options.requestId, this.limits);
    const txn = checkTxn(request, this.limits);
    const command = { kind: "encodedTxn", txn } as const;
    const outcome = await this.propose(command, options.requestId, options.signal);
    if (outcome.kind !== "txn") throw unexpected(outcome);
    return outcome.response;
  }

  async recall(requestId: string): Promise<TxnResponse | undefined> {
    checkRequestId(requestId, this.limits);
    await this.durable(undefined);
    return this.machine.recall(requestId);
  }

  async readRevision(): Promise<Revision> {
    await this.durable(undefined);
    return this.machine.revision;
  }

  watch(request: WatchRequest): DirectWatch {
    return this.hub.watch(request);
  }

  async compact(revision: Revision): Promise<Revision> {
    if (!Number.isSafeInteger(revision) || revision < 0) {
      throw errors.invalid("revision", revision, "an integer in 0..2^53-1");
    }
    const outcome = await this.propose({ kind: "compact", revision });
    if (outcome.kind !== "compact") throw unexpected(outcome);
    return outcome.revision;
  }

  async leaseGrant(id: LeaseId, seconds: number): Promise<{ id: LeaseId; seconds: number }> {
    checkLease("id", id);
    if (!Number.isSafeInteger(seconds) || seconds < 0) {
      throw errors.invalid("seconds", seconds, "an integer in 0..2^53-1");
    }
    const chosen = id === 0n ? this.freeLease() : id;
    const outcome = await this.propose({ kind: "leaseGrant", id: chosen, seconds });
    if (outcome.kind !== "leaseGrant") throw unexpected(outcome);
    return { id: outcome.id, seconds: outcome.seconds };
  }

  private freeLease(): LeaseId {
    for (;;) {
      const view = new DataView(Uint8Array.from(this.runtime.random.bytes(8)).buffer);
      const id = BigInt.asUintN(63, view.getBigUint64(0));
      if (id !== 0n && this.machine.leases.get(id) === undefined) return id;
    }
  }

  async leaseRevoke(id: LeaseId): Promise<Revision> {
    checkLease("id", id);
    const outcome = await this.propose({ kind: "leaseRevoke", id });
    if (outcome.kind !== "leaseRevoke") throw unexpected(outcome);
    return outcome.revision;
  }

  async leaseKeepAlive(id: LeaseId): Promise<number> {
    this.checkOpen();
    return this.clock.keepAlive(id, this.runtime.clock.monotonicMillis());
  }

  async leaseTimeToLive(id: LeaseId): Promise<LeaseStatus> {
    await this.durable(undefined);
    const lease = this.machine.leases.get(id);
    return {
      id,
      grantedSeconds: lease?.seconds ?? 0,
      remainingSeconds: this.clock.remaining(id, this.runtime.clock.monotonicMillis()),
      keys: this.machine.leaseKeys(id),
    };
  }

  async leases(): Promise<readonly LeaseId[]> {
    await this.durable(undefined);
    return this.machine.leases.ids();
  }

  async status(): Promise<MemberStatus> {
    this.checkOpen();
    return this.statusOf(await this.runtime.disk.bytesUsed());
  }

  private statusOf(diskBytes: number): MemberStatus {
    const { machine } = this;
    const name = this.options.name ?? "local";
    const matchIndex = machine.appliedIndex;
    return {
      id: member,
      name,
      clusterId,
      role: "leader",
      leader: member,
      term: 1,
      revision: machine.revision,
      compactRevision: machine.compactRevision,
      commitIndex: machine.appliedIndex,
      appliedIndex: machine.appliedIndex,
      diskBytes,
      keys: machine.keys,
      members: [
        { id: member, name, connected: true, learner: false, apiAddresses: [], matchIndex },
      ],
    };
  }

  onStatus(listener: (status: MemberStatus) => void): () => void {
    // Leader, role, term and links never change here: the present status is all there is to tell.
    listener(this.statusOf(0));
    return () => undefined;
  }

  async close(): Promise<void> {
    while (this.failure === undefined && (this.writing || this.waiting.length > 0)) {
      await new Promise<void>((resolve) => this.barriers.push(resolve));
    }
    this.fail(errors.stopped());
  }

  private rangeHost(): RangeHost {
    const failure = () => this.failure;
    return {
      clock: this.runtime.clock,
      machine: this.machine,
      installations: 0,
      get failure() {
        return failure();
      },
      readFailed: (thrown) => thrown,
    };
  }

  private checkOpen(): void {
    if (this.failure !== undefined) throw StatusError.from(this.failure);
  }

  private propose(command: Command, requestId?: string, signal?: AbortSignal): Promise<Outcome> {
    return new Promise<Outcome>((resolve, reject) => {
      this.checkOpen();
      if (this.waiting.length >= (this.options.maxWaiting ?? defaultMaxWaiting)) {
        throw errors.tooManyRequests();
      }
      const done = onAbort(signal, reject);
      this.waiting.push({
        command,
        requestId,
        resolve: (outcome) => {
          done();
          if (outcome.kind === "failed") reject(outcome.error);
          else resolve(outcome);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      });
      this.schedule();
    });
  }

  private schedule(): void {
    if (this.scheduled || this.writing) return;
    this.scheduled = true;
    this.runtime.clock.soon(() => {
      this.scheduled = false;
      this.turn();
    });
  }

  /** Applies what waits and writes it; the callers hear of it when it is durable. */
  private turn(): void {
    if (this.writing || this.failure !== undefined) return;
    const { machine } = this;
    const batch = this.waiting.splice(0, maxCommandsPerTurn);
    const applied = batch.length > 0 ? this.apply(batch) : [];
    const garbage = machine.compactStep(compactionPerTurn);
    const operations = machine.takeOperations();
    if (operations.length === 0) {
      this.finish(batch, applied, garbage);
      return;
    }
    this.writing = true;
    this.runtime.disk.write(operations, { sync: true }, (error) => {
      this.writing = false;
      if (error !== undefined) this.fail(errors.diskFailed(error), batch);
      else this.finish(batch, applied, garbage);
    });
  }

  private apply(batch: readonly Waiting[]): AppliedCommand[] {
    const commands: ProposedCommand[] = batch.map(({ command, requestId }, sequence) => ({
      sequence,
      requestId,
      command,
    }));
    const wallMillis = Math.max(0, Math.floor(this.runtime.clock.wallMillis()));
    const { incarnation, machine } = this;
    const proposal = encodeProposal({ proposer: member, incarnation, wallMillis, commands });
    return machine.apply(machine.appliedIndex + 1, 1, proposal);
  }

  private finish(batch: readonly Waiting[], applied: AppliedCommand[], garbage: boolean): void {
    this.hub.flush();
    for (const { sequence, outcome } of applied) batch[sequence]?.resolve(outcome);
    if (this.waiting.length > 0 || garbage) this.schedule();
    // Until the next turn all applied state is on the disk, so that queued reads need not wait.
    const { barriers } = this;
    this.barriers = [];
    for (const passed of barriers) passed();
  }

  /** Resolves when everything applied is on disk: what is read now cannot be lost again. */
  private async durable(signal: AbortSignal | undefined): Promise<void> {
    this.checkOpen();
    if (this.writing) {
      await new Promise<void>((resolve, reject) => {
        const done = onAbort(signal, reject);
        this.barriers.push(() => {
          done();
          resolve();
        });
      });
    }
    this.checkOpen();
  }

  private expireLeases(): void {
    if (this.failure !== undefined) return;
    const now = this.runtime.clock.monotonicMillis();
    for (const id of this.clock.expired(now, maxExpiriesPerCheck)) {
      this.propose({ kind: "leaseRevoke", id }).catch((thrown: unknown) => {
        // Gone already, or the store is closing; the clock asks again if it is still there.
        this.runtime.log.debug("an expired lease was not revoked", { error: String(thrown) });
      });
    }
  }

  private fail(error: StatusError, batch: readonly Waiting[] = []): void {
    if (this.failure !== undefined) return;
    this.failure = error;
    this.cancelExpiry();
    this.hub.stop(error);
    for (const waiting of [...batch, ...this.waiting]) waiting.reject(error);
    this.waiting = [];
    const { barriers } = this;
    this.barriers = [];
    for (const passed of barriers) passed();
  }
}

function unexpected(outcome: Outcome): StatusError {
  return new StatusError(Code.internal, `etcdserver: a command was answered as ${outcome.kind}`);
}

/** Rejects when the signal aborts; the write may be done all the same. */
function onAbort(signal: AbortSignal | undefined, reject: (error: StatusError) => void): Cancel {
  if (signal === undefined) return () => undefined;
  const abort = () => reject(new StatusError(Code.cancelled, "the caller has gone"));
  if (signal.aborted) abort();
  else signal.addEventListener("abort", abort, { once: true });
  return () => signal.removeEventListener("abort", abort);
}
