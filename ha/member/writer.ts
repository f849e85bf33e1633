/**
 * The member's one writer: log and applied state go to the disk in the order in which they came
 * about, one write under way at a time. While it is, the next one gathers, so that an fsync is
 * shared by everything that arrived meanwhile.
 *
 * Applied state never overtakes the log: what an entry did is written in the same batch as the
 * entry, or in a later one. So after any crash the log on disk reaches at least as far as the
 * state.
 */
import type { LogIndex } from "../raft/mod.ts";
import type { Disk, DiskError, DiskOperation } from "../runtime/types.ts";

interface LogWrite {
  readonly operations: readonly DiskOperation[];
  /** The last index of the log after this write; undefined: unchanged. */
  readonly lastIndex: LogIndex | undefined;
  readonly sync: boolean;
  readonly done: (() => void) | undefined;
}

/** Applied state: what `ha/store`'s state machine offers. */
interface AppliedState {
  readonly appliedIndex: number;
  readonly hasOperations: boolean;
  takeOperations(): readonly DiskOperation[];
}

export class Writer {
  readonly #disk: Disk;
  readonly #failed: (error: DiskError) => void;
  readonly #idle: () => void;
  #state: AppliedState;
  #log: LogWrite[] = [];
  #busy = false;
  #waiters: (() => void)[] = [];
  #broken = false;
  /** The log as it will be on disk when the writes issued so far are done. */
  #issuedIndex: number;
  /** Applied state up to here is on the disk, though not synced. */
  #writtenIndex: number;

  constructor(
    disk: Disk,
    state: AppliedState,
    logIndex: LogIndex,
    events: { readonly failed: (error: DiskError) => void; readonly idle: () => void },
  ) {
    this.#disk = disk;
    this.#state = state;
    this.#issuedIndex = logIndex;
    this.#writtenIndex = state.appliedIndex;
    this.#failed = events.failed;
    this.#idle = events.idle;
  }

  /** Applied state that a restart would find, or replay from the log: the log may be cut here. */
  get writtenIndex(): LogIndex {
    return this.#writtenIndex as LogIndex;
  }

  /** No write is under way or waiting. */
  get settled(): boolean {
    return !this.#busy && this.#log.length === 0 && !this.#state.hasOperations;
  }

  get broken(): boolean {
    return this.#broken;
  }

  log(write: LogWrite): void {
    this.#log.push(write);
  }

  /**
   * Issues the next write if none is under way. Applied state waits for a log write to go along
   * with: it can be had again from the log. `state`: it is written by itself as well.
   */
  issue(state = false): void {
    if (this.#busy || this.#broken || (this.#log.length === 0 && !state)) return;
    const log = this.#log;
    this.#log = [];
    let sync = false;
    const operations: DiskOperation[] = [];
    for (const write of log) {
      for (const operation of write.operations) operations.push(operation);
      sync ||= write.sync;
      if (write.lastIndex !== undefined) this.#issuedIndex = write.lastIndex;
    }
    const machine = this.#state;
    let applied = this.#writtenIndex;
    if (machine.appliedIndex <= this.#issuedIndex && machine.hasOperations) {
      for (const operation of machine.takeOperations()) operations.push(operation);
      applied = machine.appliedIndex;
    }
    if (operations.length === 0) {
      for (const write of log) write.done?.();
      return;
    }
    this.#busy = true;
    this.#disk.write(operations, { sync }, (error) => {
      this.#busy = false;
      for (const waiter of this.#waiters.splice(0)) waiter();
      if (error) {
        this.#broken = true;
        this.#failed(error);
        return;
      }
      this.#writtenIndex = applied;
      for (const write of log) write.done?.();
      this.#idle();
    });
  }

  /** Resolves when nothing is under way and no log write waits; applied state may still. */
  async drained(): Promise<void> {
    while (!this.#broken && (this.#busy || this.#log.length > 0)) {
      this.issue();
      if (this.#busy) await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  /** After a snapshot has taken the place of log and state; nothing may be under way. */
  reset(state: AppliedState): void {
    this.#log = [];
    this.#state = state;
    this.#issuedIndex = state.appliedIndex;
    this.#writtenIndex = state.appliedIndex;
  }
}
