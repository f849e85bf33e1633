/**
 * The raft log, hard state and identity of a member on its {@link Disk}.
 *
 * Layout, beside the store's own prefixes (`ha/store/layout.ts`):
 *
 *     'L' + first index (8 bytes, big endian)  →  LogBatch: the entries of one persisted batch
 *     'H'                                      →  HardState
 *     'B'                                      →  LogStart: the log begins after this position
 *     'M'                                      →  MemberIdentity
 *
 * Every record ends in a CRC-32 of key and content (`ha/store/checksum.ts`). A batch is one record,
 * so that its fsync and its handful of microseconds are shared by all its entries. A batch that
 * begins inside an older one replaces that one's tail: records are read in key order, and each cuts
 * what came before it at its first index.
 */
import { LogStart, MemberIdentity, HardState as WireHardState } from "../../proto/gen/raft.ts";
import type { Entry, HardState, LogIndex, Term } from "../raft/mod.ts";
import { assert } from "../runtime/assert.ts";
import {
  type Disk,
  type DiskEntry,
  DiskError,
  type DiskOperation,
  type MemberId,
} from "../runtime/types.ts";
import { repair, seal, sealedByOlder, unseal } from "../store/mod.ts";
import { decodeLogBatch, sealLogBatch } from "./frames.ts";
import { type RosterMeta, rosterMetaFromWire, rosterMetaToWire } from "./wire.ts";

const logPrefix = 0x4c;
const hardStateKey = Uint8Array.of(0x48);
const logStartKey = Uint8Array.of(0x42);
const identityKey = Uint8Array.of(0x4d);

export interface LoadedLog {
  readonly hardState: HardState;
  readonly start: RosterMeta;
  readonly entries: readonly Entry[];
}

export class LogStore {
  /** First indexes of the batches on disk, ascending. */
  #batches: number[] = [];

  /** Operations that make a Ready's `entries` and `hardState` durable. */
  persist(entries: readonly Entry[], hardState: HardState | undefined): DiskOperation[] {
    const operations: DiskOperation[] = [];
    if (hardState) operations.push(sealed(hardStateKey, encodeHardState(hardState)));
    const first = entries[0];
    if (first) {
      for (let last = this.#batches.at(-1); last !== undefined && last >= first.index; ) {
        if (last > first.index) operations.push({ key: batchKey(last) });
        this.#batches.pop();
        last = this.#batches.at(-1);
      }
      this.#batches.push(first.index);
      const key = batchKey(first.index);
      operations.push({ key, value: sealLogBatch(key, entries) });
    }
    return operations;
  }

  /**
   * Entries `from`..`to` of one batch, which has the first; all are applied and on the disk. Cut
   * after the last that fits into `maxBytes` of data, but not before the first. Throws DiskError
   * `corrupt`.
   */
  read(disk: Disk, from: LogIndex, to: LogIndex, maxBytes: number): readonly Entry[] {
    const key = batchKey(this.#batches.findLast((first) => first <= from) ?? from);
    const value = disk.get(key);
    if (!value) throw corrupt(`the raft log lacks entry ${from}`);
    const read: Entry[] = [];
    let bytes = 0;
    for (const entry of decodeBatch(value, key)) {
      if (entry.index < from) continue;
      bytes += entry.data.length;
      if (entry.index > to || (bytes > maxBytes && read.length > 0)) break;
      read.push(entry);
    }
    if (read[0]?.index !== from) throw corrupt(`the raft log lacks entry ${from}`);
    return read;
  }

  /**
   * Operations that drop whole batches at or below `start.index`, which becomes the log's start.
   */
  compact(start: RosterMeta): DiskOperation[] {
    const operations: DiskOperation[] = [startOperation(start)];
    let dropped = 0;
    for (;;) {
      const next = this.#batches[dropped + 1];
      if (next === undefined || next > start.index + 1) break;
      operations.push({ key: batchKey(this.#batches[dropped] as number) });
      dropped++;
    }
    this.#batches.splice(0, dropped);
    return operations;
  }

  /** Operations that replace the whole log by a snapshot's position. */
  reset(start: RosterMeta): DiskOperation[] {
    const operations: DiskOperation[] = this.#batches.map((first) => ({ key: batchKey(first) }));
    this.#batches = [];
    operations.push(startOperation(start));
    return operations;
  }

  /** Throws DiskError `corrupt` naming what is wrong with the log. */
  async load(disk: Disk, initial: RosterMeta, pageEntries: number): Promise<LoadedLog> {
    const startBytes = readSealed(disk, logStartKey, "the raft log's start");
    const meta = startBytes && decoded(startBytes, LogStart.decode, "the raft log's start").meta;
    const start = meta ? rosterMetaFromWire(meta) : initial;
    const hardBytes = readSealed(disk, hardStateKey, "the raft hard state");
    const hardState = hardBytes ? decodeHardState(hardBytes) : noHardState;
    const entries: Entry[] = [];
    this.#batches = [];
    for await (const [key, value] of scanAll(disk, logPrefix, pageEntries)) {
      const batch = decodeBatch(value, key);
      const first = batch[0]?.index ?? 0;
      assert(first === indexOf(key), `log batch ${indexOf(key)} begins with entry ${first}`);
      this.#batches.push(first);
      const end = (entries.at(-1)?.index ?? start.index) + 1;
      if (first > end) {
        throw corrupt(`the raft log lacks entries ${end} to ${first - 1}`);
      }
      if (entries[0])
        entries.length = Math.max(0, Math.min(entries.length, first - entries[0].index));
      for (const entry of batch) if (entry.index > start.index) entries.push(entry);
    }
    return { hardState, start, entries };
  }
}

function sealed(key: Uint8Array, content: Uint8Array): DiskOperation {
  return { key, value: seal(key, content) };
}

/** A record's content; throws where it is damaged. Undefined: there is no such record. */
export function readSealed(disk: Disk, key: Uint8Array, what: string): Uint8Array | undefined {
  const value = disk.get(key);
  return value && openSealed(key, value, what);
}

/**
 * LevelDB leaves no torn records behind, so a wrong checksum is a fault of the medium. What was
 * acknowledged may be in there: this member cannot go on, the others can.
 */
function openSealed(key: Uint8Array, value: Uint8Array, what: string): Uint8Array {
  const content = unseal(key, value);
  if (content) return content;
  throw corrupt(`${what} does not match its checksum`);
}

const noHardState: HardState = { term: 0 as Term, vote: undefined, commit: 0 as LogIndex };

export function identityOperation(identity: MemberIdentity): DiskOperation {
  return sealed(identityKey, MemberIdentity.encode(identity).finish());
}

export function readIdentity(disk: Disk): MemberIdentity | undefined {
  const sealed = disk.get(identityKey);
  if (sealed && !unseal(identityKey, sealed) && sealedByOlder(identityKey, sealed)) {
    const way = "bring its data over with that version's backup and this one's restore";
    throw new DiskError("corrupt", `an older version of Trireme wrote this data: ${way}`);
  }
  const bytes = readSealed(disk, identityKey, "the member's identity");
  return bytes && decoded(bytes, MemberIdentity.decode, "the member's identity");
}

function startOperation(start: RosterMeta): DiskOperation {
  return sealed(logStartKey, LogStart.encode({ meta: rosterMetaToWire(start) }).finish());
}

function encodeHardState(state: HardState): Uint8Array {
  return WireHardState.encode({
    term: state.term,
    vote: state.vote ?? 0,
    commit: state.commit,
  }).finish();
}

function decodeHardState(bytes: Uint8Array): HardState {
  const wire = decoded(bytes, WireHardState.decode, "the raft hard state");
  return {
    term: (wire.term ?? 0) as Term,
    vote: wire.vote ? (wire.vote as MemberId) : undefined,
    commit: (wire.commit ?? 0) as LogIndex,
  };
}

function decodeBatch(value: Uint8Array, key: Uint8Array): Entry[] {
  const what = `the raft log's batch at index ${indexOf(key)}`;
  return decoded(openSealed(key, value, what), decodeLogBatch, what);
}

/** The message in a record's content; throws where it is none. */
function decoded<T>(content: Uint8Array, decode: (content: Uint8Array) => T, what: string): T {
  try {
    return decode(content);
  } catch (error) {
    throw corrupt(`${what} cannot be read`, error);
  }
}

function corrupt(what: string, cause?: unknown): DiskError {
  return new DiskError("corrupt", `${what}: ${repair}`, { cause });
}

function batchKey(index: number): Uint8Array {
  const key = new Uint8Array(9);
  key[0] = logPrefix;
  const view = new DataView(key.buffer);
  view.setUint32(1, Math.floor(index / 2 ** 32));
  view.setUint32(5, index >>> 0);
  return key;
}

function indexOf(key: Uint8Array): number {
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
  return view.getUint32(1) * 2 ** 32 + view.getUint32(5);
}

/** Every entry whose key begins with the byte `prefix`, page by page, in key order. */
export async function* scanAll(
  disk: Disk,
  prefix: number,
  pageEntries: number,
): AsyncGenerator<DiskEntry> {
  const end = Uint8Array.of(prefix + 1);
  let start: Uint8Array = Uint8Array.of(prefix);
  for (;;) {
    const page = await scanPage(disk, start, end, pageEntries);
    yield* page;
    const last = page.at(-1);
    if (!last || page.length < pageEntries) return;
    start = new Uint8Array(last[0].length + 1);
    start.set(last[0]);
  }
}

function scanPage(
  disk: Disk,
  start: Uint8Array,
  end: Uint8Array,
  limit: number,
): Promise<readonly DiskEntry[]> {
  return new Promise((resolve, reject) => {
    disk.scan({ start, end, limit }, (error, page) => (error ? reject(error) : resolve(page)));
  });
}
