/**
 * Ranges whose answer may be large: the rows are selected in steps, one a turn of the event loop,
 * and handed out as {@link RangeRows}, from which the caller makes the answer a piece at a time.
 *
 * What is held meanwhile is two references a row. The versions that were current stay alive by
 * that; older ones are read from disk when they are wanted, and for that the history is held back
 * from compaction, for a bounded time.
 */
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Cancel, Clock } from "../runtime/types.ts";
import type { RangeQuery } from "./commands.ts";
import * as errors from "./errors.ts";
import { answerOf, checkRevision, queryOf, singleKey } from "./range.ts";
import { diskReadEffort, type Selection, selectSteps } from "./selection.ts";
import type { StateMachine } from "./state-machine.ts";
import { textOf } from "./text.ts";
import type { KeyRange, RangeRequest, RangeResponse, Revision } from "./types.ts";

export const rangeReadLimits = {
  /** Keys visited in one step, or as much effort: some tenths of a millisecond. */
  effortPerStep: 4096,
  /** Rows held by all answers on their way together; beyond that the next range waits … */
  heldRows: 16_000_000,
  /** … as so many may. */
  waiting: 1_000,
  /** An answer holds old versions back from compaction for so long. */
  holdMillis: 60_000,
} as const;

/** One row; key and value are texts of one character a byte (`text.ts`). */
export interface RangeRow {
  readonly key: string;
  readonly value: string;
  readonly create: number;
  readonly mod: number;
  readonly version: number;
  readonly lease: bigint;
}

/** The rows of a large answer, all of one revision. The caller that opened it closes it. */
export interface RangeRows {
  /** The store's revision when it was read. */
  readonly revision: Revision;
  readonly length: number;
  readonly more: boolean;
  readonly count: number;
  /** Throws a StatusError when an older version can no longer be read. */
  at(row: number): RangeRow;
  /** The cost of `at(row)`, in plain rows. */
  effort(row: number): number;
  /** Idempotent. */
  close(): void;
}

export interface OpenRangeOptions {
  readonly serializable?: boolean | undefined;
  /**
   * Whose answer it is. The signal, which may cost to make, is asked for if the answer is large.
   */
  readonly caller?: { readonly signal: AbortSignal } | undefined;
  /** Keys that are treated as absent. */
  readonly hidden?: KeyRange | undefined;
}

/** The member that reads, as far as its ranges are concerned. */
export interface RangeHost {
  readonly clock: Clock;
  readonly machine: StateMachine;
  /** Counts the snapshots put in place: what was being read is gone then. */
  readonly installations: number;
  /** Why it answers nothing any more. */
  readonly failure: StatusError | undefined;
  /** Maps an error from reading an older version to the one to throw. */
  readonly readFailed: (thrown: unknown) => unknown;
}

export class RangeReads {
  private readonly host: RangeHost;
  private readonly limits: typeof rangeReadLimits;
  private heldRows = 0;
  private selecting = false;
  private waiting: (() => void)[] = [];

  constructor(host: RangeHost, limits: typeof rangeReadLimits = rangeReadLimits) {
    this.host = host;
    this.limits = limits;
  }

  /**
   * A small answer at once, a large one as rows. Throws or rejects with compacted, futureRevision,
   * tooManyRequests, the host's failure, and `cancelled` once the caller's signal has aborted.
   */
  open(
    request: RangeRequest,
    { caller, hidden }: OpenRangeOptions = {},
  ): RangeResponse | Promise<RangeRows> {
    const { machine } = this.host;
    machine.checkReadable();
    const { history } = machine;
    const query = queryOf(request);
    const newest = history.revision;
    checkRevision(history, query.revision, newest);
    const only = hidden === undefined ? singleKey(history, query, newest) : undefined;
    if (only !== undefined) return only;
    const { effortPerStep } = this.limits;
    const steps = selectSteps(history, query, {
      newest,
      effortPerStep,
      hidden: hidden && { start: textOf(hidden.key), end: textOf(hidden.rangeEnd ?? hidden.key) },
    });
    const first = this.reading(() => steps.next());
    if (first.done === true && !first.value.hasStored) return answerOf(first.value, query, newest);
    if (this.waiting.length >= this.limits.waiting) throw errors.tooManyRequests();
    return this.select(first, steps, { query, newest, signal: caller?.signal });
  }

  private async select(
    first: IteratorResult<void, Selection>,
    steps: Generator<void, Selection>,
    { query, newest, signal }: Selecting,
  ): Promise<RangeRows> {
    const { host } = this;
    const { installations } = host;
    const release = releaseOnce(host.machine.holdHistory());
    const limit = host.clock.after(this.limits.holdMillis, release);
    const end = () => {
      limit();
      release();
    };
    let mine = false;
    try {
      while (this.selecting || this.heldRows >= this.limits.heldRows) {
        await new Promise<void>((resolve) => {
          this.waiting.push(resolve);
          signal?.addEventListener("abort", () => resolve(), { once: true });
        });
        this.check(signal, installations);
      }
      this.selecting = true;
      mine = true;
      let step = first;
      while (step.done !== true) {
        await new Promise<void>((resolve) => host.clock.soon(resolve));
        this.check(signal, installations);
        step = this.reading(() => steps.next());
      }
      const selection = step.value;
      const keepsHold = selection.hasStored;
      if (!keepsHold) end();
      this.heldRows += selection.entries.length;
      return new Rows(selection, query, newest as Revision, {
        reading: (read) => {
          if (keepsHold) this.check(undefined, installations);
          return this.reading(read);
        },
        close: () => {
          end();
          this.heldRows -= selection.entries.length;
          this.next();
        },
      });
    } catch (thrown) {
      end();
      throw thrown;
    } finally {
      if (mine) {
        this.selecting = false;
        this.next();
      }
    }
  }

  private check(signal: AbortSignal | undefined, installations: number): void {
    const { host } = this;
    if (signal?.aborted) throw new StatusError(Code.cancelled, "the caller has gone");
    if (host.failure !== undefined) throw StatusError.from(host.failure);
    if (host.installations !== installations) throw errors.leaderChanged();
  }

  private reading<T>(read: () => T): T {
    try {
      return read();
    } catch (thrown) {
      throw this.host.readFailed(thrown);
    }
  }

  private next(): void {
    const { waiting } = this;
    this.waiting = [];
    for (const resolve of waiting) resolve();
  }
}

interface Selecting {
  readonly query: RangeQuery;
  readonly newest: number;
  readonly signal: AbortSignal | undefined;
}

interface RowsOwner {
  readonly reading: <T>(read: () => T) => T;
  readonly close: () => void;
}

class Rows implements RangeRows {
  readonly revision: Revision;
  private readonly selection: Selection;
  private readonly keysOnly: boolean;
  private readonly owner: RowsOwner;
  private closed = false;

  constructor(selection: Selection, query: RangeQuery, revision: Revision, owner: RowsOwner) {
    this.selection = selection;
    this.keysOnly = query.keysOnly;
    this.revision = revision;
    this.owner = owner;
  }

  get length(): number {
    return this.selection.entries.length;
  }
  get more(): boolean {
    return this.selection.more;
  }
  get count(): number {
    return this.selection.count;
  }

  at(row: number): RangeRow {
    const { selection } = this;
    const found = selection.isStored(row)
      ? this.owner.reading(() => selection.versionAt(row))
      : selection.versionAt(row);
    const { create, mod, version, lease } = found;
    const key = selection.entries[row]?.key ?? "";
    return { key, value: this.keysOnly ? "" : found.value, create, mod, version, lease };
  }

  effort(row: number): number {
    return this.selection.isStored(row) ? diskReadEffort : 1;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.owner.close();
  }
}

function releaseOnce(release: Cancel): Cancel {
  let held = true;
  return () => {
    if (held) release();
    held = false;
  };
}
