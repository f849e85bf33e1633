/**
 * Gives LevelDB what the journal holds: in order, without sync, off the path of a caller that waits
 * for a write. One native batch is under way at a time, for two could overtake each other; what is
 * journalled meanwhile goes with the next. A group waits a little for company, since a batch costs
 * LevelDB and its thread much the same for one put as for twenty.
 *
 *     add ──► waiting ──delay, many bytes, or a caller asks──► under way ──► applied
 *
 * What waits is bounded by the journal, which is not used again before it is applied.
 */
import type { DiskOperation } from "../types.ts";
import type { JournalLimits } from "./journal-limits.ts";
import { type LevelColumns, ownKey } from "./level-columns.ts";

/** Writes that are journalled, and given to LevelDB, as one. */
export interface WriteGroup {
  readonly writes: (readonly DiskOperation[])[];
  /** Called, also after a failure, when LevelDB has these writes. */
  readonly applied: (() => void)[];
  /** Of its operations in the journal. */
  bytes: number;
}

/** LevelDB's key of the newest sequence that it was given. */
export const markKey = ownKey("journal");

export interface Mark {
  readonly sequence: number;
  /** The member was stopped in order: LevelDB has everything, and the journal is not needed. */
  readonly clean: boolean;
}

export function encodeMark({ sequence, clean }: Mark): Uint8Array {
  const bytes = new Uint8Array(9);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(sequence));
  bytes[8] = clean ? 1 : 0;
  return bytes;
}

export function decodeMark(bytes: Uint8Array | undefined): Mark | undefined {
  if (bytes?.length !== 9) return;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { sequence: Number(view.getBigUint64(0)), clean: bytes[8] === 1 };
}

export class LevelApplier {
  readonly #columns: LevelColumns;
  readonly #limits: JournalLimits;
  readonly #failed: (error: unknown) => void;
  #waiting: WriteGroup[] = [];
  #waitingBytes = 0;
  #underWay: WriteGroup[] = [];
  #timer: NodeJS.Timeout | undefined;
  #newest: number;

  /** `sequence`: of the newest write that LevelDB has. */
  constructor(
    columns: LevelColumns,
    limits: JournalLimits,
    sequence: number,
    failed: (error: unknown) => void,
  ) {
    this.#columns = columns;
    this.#limits = limits;
    this.#newest = sequence;
    this.#failed = failed;
  }

  /** Sequence of the newest write added. */
  get newest(): number {
    return this.#newest;
  }

  get idle(): boolean {
    return this.#waiting.length === 0 && this.#underWay.length === 0;
  }

  /** Takes a group that is durable in the journal; `sequence` follows that of the one before. */
  add(group: WriteGroup, sequence: number): void {
    this.#waiting.push(group);
    this.#waitingBytes += group.bytes;
    this.#newest = sequence;
    if (group.applied.length > 0 || this.#waitingBytes >= this.#limits.applyBytes) this.#apply();
    else this.#timer ??= setTimeout(() => this.#apply(), this.#limits.applyDelayMillis);
  }

  /** Calls back when LevelDB has everything added so far: at once, or soon. */
  afterAll(callback: () => void): void {
    const last = this.#waiting.at(-1) ?? this.#underWay.at(-1);
    if (!last) {
      callback();
      return;
    }
    last.applied.push(callback);
    this.#apply();
  }

  /** The newest operation on `key` that LevelDB may not have yet. */
  find(key: Uint8Array): DiskOperation | undefined {
    return findOperation(this.#waiting, key) ?? findOperation(this.#underWay, key);
  }

  /** Forgets the waiting groups, and calls back the callers that wait for them. */
  abandon(): void {
    clearTimeout(this.#timer);
    const groups = [...this.#underWay, ...this.#waiting];
    this.#underWay = [];
    this.#waiting = [];
    for (const group of groups) for (const callback of group.applied.splice(0)) callback();
  }

  #apply(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#underWay.length > 0 || this.#waiting.length === 0) return;
    const groups = this.#waiting;
    this.#underWay = groups;
    this.#waiting = [];
    this.#waitingBytes = 0;
    const value = encodeMark({ sequence: this.#newest, clean: false });
    const mark = [{ key: markKey, value }];
    this.#columns.write([...groups.flatMap(({ writes }) => writes), mark]).then(
      // Out of the promise: what a callback throws must end the process, not reject this write.
      () => process.nextTick(() => this.#applied(groups)),
      (error: unknown) => process.nextTick(() => this.#failed(error)),
    );
  }

  #applied(groups: readonly WriteGroup[]): void {
    // Abandoned meanwhile.
    if (this.#underWay !== groups) return;
    // Before the next batch: a scan that has waited is to see one moment of all columns.
    for (const group of groups) {
      for (let next = group.applied.shift(); next !== undefined; next = group.applied.shift())
        next();
    }
    if (this.#underWay !== groups) return;
    this.#underWay = [];
    const urgent = this.#waiting.some((group) => group.applied.length > 0);
    if (urgent || this.#waitingBytes >= this.#limits.applyBytes) this.#apply();
    else if (this.#waiting.length > 0) {
      this.#timer ??= setTimeout(() => this.#apply(), this.#limits.applyDelayMillis);
    }
  }
}

/** Searches the newest group first. Linear, because a writer rarely reads back at once. */
export function findOperation(
  groups: readonly WriteGroup[],
  key: Uint8Array,
): DiskOperation | undefined {
  for (let g = groups.length - 1; g >= 0; g--) {
    const writes = groups[g]?.writes ?? [];
    for (let w = writes.length - 1; w >= 0; w--) {
      const operation = writes[w]?.findLast((candidate) => sameBytes(candidate.key, key));
      if (operation) return operation;
    }
  }
  return undefined;
}

/** From the end, where keys of one table differ. */
function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false;
  for (let index = left.length - 1; index >= 0; index--) {
    if (left[index] !== right[index]) return false;
  }
  return true;
}
