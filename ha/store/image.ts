/**
 * The store's records outside of a store: taken from backups, and written anew as the beginning of
 * another store's history.
 */
import { assert } from "../runtime/assert.ts";
import type { DiskOperation } from "../runtime/types.ts";
import { seal } from "./checksum.ts";
import {
  type Applied,
  appliedKey,
  type Change,
  decodeApplied,
  decodeChanges,
  diskKey,
  encodeApplied,
  openRecord,
  Prefix,
  positionOf,
  sealChanges,
} from "./layout.ts";

export interface StorePosition {
  readonly index: number;
  readonly term: number;
}

/** A reserved prefix that the etcd services hide from clients (`ha/etcd/reserved.ts`). */
const restoredKey = "\0trireme/restored";
const recordsPerBatch = 1_000;

export class StoreImage {
  /** The newest change of each key that exists. */
  readonly #live = new Map<string, Change>();
  /** Leases and sessions as they are on disk. */
  #small: DiskOperation[] = [];
  #applied: Applied | undefined;

  get keys(): number {
    return this.#live.size;
  }

  /** A part has all leases and sessions; those of the part before it are over. */
  beginPart(): void {
    this.#small = [];
  }

  /** A record, in the order of revisions. Throws DiskError where it is damaged. */
  take(key: Uint8Array, value: Uint8Array): void {
    const content = openRecord(key, value);
    switch (key[0]) {
      case Prefix.revision:
        for (const change of decodeChanges(key, content)) {
          if (change.deleted) this.#live.delete(change.key);
          else this.#live.set(change.key, change);
        }
        return;
      case Prefix.applied:
        this.#applied = decodeApplied(content);
        return;
      default:
        this.#small.push({ key: Uint8Array.from(key), value: Uint8Array.from(value) });
    }
  }

  /**
   * Batches that make a store of it whose revision, and compacted revision, is `revision`. At that
   * revision one hidden key is written that tells of the restoration.
   */
  *restored(
    position: StorePosition,
    revision: number,
  ): Generator<DiskOperation[], void, undefined> {
    const applied = this.#applied;
    assert(applied, "an image is complete before it is restored");
    assert(revision > applied.revision, "the new revision is above all of the old ones");
    const text = `restored from revision ${applied.revision}`;
    const mark: Change = {
      key: restoredKey,
      value: text,
      deleted: false,
      create: revision,
      mod: revision,
      version: 1,
      lease: 0n,
    };
    this.#live.set(restoredKey, mark);
    const byRevision = Map.groupBy(this.#live.values(), (change) => change.mod);
    let batch: DiskOperation[] = [...this.#small];
    for (const [mod, changes] of [...byRevision].sort(([a], [b]) => a - b)) {
      const key = diskKey(Prefix.revision, mod);
      batch.push({ key, value: sealChanges(key, changes) });
      if (batch.length < recordsPerBatch) continue;
      yield batch;
      batch = [];
    }
    const next = { ...applied, ...position, revision, compactRevision: revision, alarms: [] };
    batch.push({ key: appliedKey, value: seal(appliedKey, encodeApplied(next)) });
    yield batch;
  }
}

/** A short name of a record of the store, for a report: `R 17`, `A`. */
export function recordName(key: Uint8Array): string {
  const position = key.length === 9 ? ` ${positionOf(key)}` : "";
  return `${String.fromCharCode(key[0] ?? 0)}${position}`;
}
