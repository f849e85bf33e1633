/**
 * What the store keeps on disk, and under which keys. A key is one prefix byte and, but for the
 * first, eight bytes, most significant first:
 *
 *   'A'                  Applied         where the applied state stands
 *   'D' first revision   RevisionRecord  what compaction has dropped from the 'R' of that number
 *   'E' lease id         Lease           granted leases (attached keys are in the key-values)
 *   'R' first revision   RevisionRecord  what that revision and some that follow it changed
 *   'S' order            Session         remembered request ids, oldest first
 *
 * 'L', 'H' and 'M' belong to the member (log, hard state, membership).
 *
 * There is no second copy of the current values: they are those of the 'R' records. The puts of a
 * turn are then a record or two under ascending keys, which LevelDB only has to append and never
 * has to merge. The price is paid by compaction, which has to keep old records: below the compact
 * revision R what counts of a record, less what its 'D' names, is exactly those changes that are
 * still the newest of their key at R. From R on records are whole, for watches resume there. Each
 * record ends in its checksum (`checksum.ts`), which is looked at whenever it is read.
 */
import { type DiskEntry, DiskError, type DiskRange } from "../runtime/types.ts";
import { sealWritten, unseal } from "./checksum.ts";
import type { LeaseId } from "./types.ts";
import { varintBytes, WireReader, WireWriter } from "./wire.ts";

export const Prefix = {
  applied: 0x41,
  dropped: 0x44,
  lease: 0x45,
  revision: 0x52,
  session: 0x53,
} as const;
export type Prefix = (typeof Prefix)[keyof typeof Prefix];

/** Reads one page of a range; what a driver makes of `Disk.scan`. */
export type PageReader = (range: DiskRange) => Promise<readonly DiskEntry[]>;

export interface Applied {
  readonly index: number;
  readonly term: number;
  readonly revision: number;
  readonly compactRevision: number;
  readonly wallMillis: number;
  readonly ageMillis: number;
  /** By member, then kind. */
  readonly alarms: readonly AlarmRecord[];
}

/** What is wrong with a member; `kind` as in etcd: 1 NOSPACE, 2 CORRUPT. */
export interface AlarmRecord {
  readonly member: number;
  readonly kind: number;
}

/** One change as a record holds it; of a deletion only `key` and `mod` count. */
export interface Change {
  readonly key: string;
  readonly deleted: boolean;
  readonly value: string;
  readonly create: number;
  readonly mod: number;
  readonly version: number;
  readonly lease: LeaseId;
}

const writer = new WireWriter();

export const appliedKey: Uint8Array = Uint8Array.of(Prefix.applied);

/** The key of a number, or of a lease id taken as an unsigned 64-bit number. */
export function diskKey(prefix: Prefix, position: number): Uint8Array {
  writer.byte(prefix);
  writer.bigEndian64(position);
  return writer.finish();
}

export function leaseKey(id: LeaseId): Uint8Array {
  const bytes = new Uint8Array(9);
  bytes[0] = Prefix.lease;
  new DataView(bytes.buffer).setBigInt64(1, id);
  return bytes;
}

/** The number in a key of eight bytes after its prefix. */
export function positionOf(key: Uint8Array): number {
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
  return view.byteLength === 9 ? view.getUint32(1) * 2 ** 32 + view.getUint32(5) : Number.NaN;
}

/** All keys under a prefix from `position` on. */
export function rangeFrom(prefix: Prefix, position: number, limit: number): DiskRange {
  return { start: diskKey(prefix, position), end: Uint8Array.of(prefix + 1), limit };
}

/** Everything the store owns on disk, in key order. */
export const storeRanges: readonly { readonly start: Uint8Array; readonly end: Uint8Array }[] = [
  Prefix.applied,
  Prefix.dropped,
  Prefix.lease,
  Prefix.revision,
  Prefix.session,
].map((prefix) => ({ start: Uint8Array.of(prefix), end: Uint8Array.of(prefix + 1) }));

export function encodeApplied(applied: Applied): Uint8Array {
  writer.number(1, applied.index);
  writer.number(2, applied.term);
  writer.number(3, applied.revision);
  writer.number(4, applied.compactRevision);
  writer.fixed64(5, applied.wallMillis);
  writer.fixed64(7, applied.ageMillis);
  for (const { member, kind } of applied.alarms) {
    const mark = writer.begin(6, 10);
    writer.number(1, member);
    writer.number(2, kind);
    writer.end(mark);
  }
  return writer.finish();
}

export function decodeApplied(bytes: Uint8Array): Applied {
  return decoding(appliedKey, () => {
    const reader = new WireReader(bytes);
    let [index, term, revision, compactRevision, wallMillis, ageMillis] = [0, 0, 0, 0, 0, 0];
    const alarms: AlarmRecord[] = [];
    while (reader.position < reader.end) {
      const tag = reader.varint();
      if (tag === 8) index = reader.varint();
      else if (tag === 16) term = reader.varint();
      else if (tag === 24) revision = reader.varint();
      else if (tag === 32) compactRevision = reader.varint();
      else if (tag === 41) wallMillis = reader.fixed64();
      else if (tag === 57) ageMillis = reader.fixed64();
      else if (tag === 50) alarms.push(readAlarm(reader, reader.enter()));
      else reader.skip(tag);
    }
    return { index, term, revision, compactRevision, wallMillis, ageMillis, alarms };
  });
}

export function readAlarm(reader: WireReader, end: number): AlarmRecord {
  let [member, kind] = [0, 0];
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === 8) member = reader.varint();
    else if (tag === 16) kind = reader.varint();
    else reader.skip(tag);
  }
  return { member, kind };
}

/**
 * A record of changes with its checksum; a view of a shared chunk. Sizes are computed beforehand:
 * no byte is moved twice on the path of every write.
 */
export function sealChanges(key: Uint8Array, changes: readonly Change[]): Uint8Array {
  for (const change of changes) {
    const { key, value, deleted, lease } = change;
    const leaseText = lease === 0n ? "" : lease.toString();
    let size = 1 + varintBytes(key.length) + key.length + 1 + varintBytes(change.mod);
    if (!deleted) {
      size += 2 + varintBytes(change.create) + varintBytes(change.version);
      if (value.length > 0) size += 1 + varintBytes(value.length) + value.length;
      if (leaseText.length > 0) size += 2 + leaseText.length;
    }
    writer.open(1, 1 + varintBytes(size) + size + (deleted ? 2 : 0));
    writer.open(1, size);
    writer.text(1, key);
    if (!deleted && value.length > 0) writer.text(2, value);
    if (!deleted) writer.number(3, change.create);
    writer.number(4, change.mod);
    if (!deleted) writer.number(5, change.version);
    if (!deleted && leaseText.length > 0) writer.text(6, leaseText);
    if (deleted) writer.flag(2, true);
  }
  return sealWritten(key, writer);
}

export function decodeChanges(key: Uint8Array, bytes: Uint8Array): Change[] {
  return decoding(key, () => {
    const reader = new WireReader(bytes);
    const changes: Change[] = [];
    while (reader.position < reader.end) {
      const tag = reader.varint();
      if (tag === 10) changes.push(readChange(reader, reader.enter()));
      else reader.skip(tag);
    }
    return changes;
  });
}

/** The changes of a record, grouped by their revisions. */
export function* byRevision(
  changes: readonly Change[],
): Generator<readonly [revision: number, changes: readonly Change[]]> {
  for (let from = 0; from < changes.length; ) {
    const { mod } = changes[from] as Change;
    let to = from + 1;
    while (changes[to]?.mod === mod) to++;
    yield [mod, changes.slice(from, to)];
    from = to;
  }
}

function readChange(reader: WireReader, end: number): Change {
  let deleted = false;
  let key = "";
  let value = "";
  let [create, mod, version] = [0, 0, 0];
  let lease = 0n;
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === 16) deleted = reader.bool();
    else if (tag === 10) {
      const kvEnd = reader.enter();
      while (reader.position < kvEnd) {
        const field = reader.varint();
        if (field === 10) key = reader.text();
        else if (field === 18) value = reader.text();
        else if (field === 24) create = reader.varint();
        else if (field === 32) mod = reader.varint();
        else if (field === 40) version = reader.varint();
        else if (field === 50) lease = BigInt(reader.text());
        else reader.skip(field);
      }
    } else reader.skip(tag);
  }
  return { key, deleted, value, create, mod, version, lease };
}

export interface SessionRecord {
  readonly requestId: string;
  readonly wallMillis: number;
  /** An encoded `TxnResult`, as a text (`text.ts`). */
  readonly result: string;
}

export function encodeSession(session: SessionRecord, order: number): Uint8Array {
  writer.string(1, session.requestId);
  writer.fixed64(2, session.wallMillis);
  writer.text(3, session.result);
  writer.number(4, order);
  return writer.finish();
}

export function decodeSession(key: Uint8Array, bytes: Uint8Array): SessionRecord {
  return decoding(key, () => {
    const reader = new WireReader(bytes);
    let requestId = "";
    let wallMillis = 0;
    let result = "";
    while (reader.position < reader.end) {
      const tag = reader.varint();
      if (tag === 10) requestId = reader.string();
      else if (tag === 17) wallMillis = reader.fixed64();
      else if (tag === 26) result = reader.text();
      else reader.skip(tag);
    }
    return { requestId, wallMillis, result };
  });
}

export function encodeLease(id: LeaseId, seconds: number): Uint8Array {
  writer.text(1, id.toString());
  writer.number(2, seconds);
  return writer.finish();
}

export function decodeLease(key: Uint8Array, bytes: Uint8Array): { id: LeaseId; seconds: number } {
  return decoding(key, () => {
    const reader = new WireReader(bytes);
    let id = 0n;
    let seconds = 0;
    while (reader.position < reader.end) {
      const tag = reader.varint();
      if (tag === 10) id = BigInt(reader.text());
      else if (tag === 16) seconds = reader.varint();
      else reader.skip(tag);
    }
    return { id, seconds };
  });
}

function decoding<T>(key: Uint8Array, decode: () => T): T {
  try {
    return decode();
  } catch (cause) {
    throw corruptRecord(key, "cannot be decoded", cause);
  }
}

/** The content of a record on disk; throws where its checksum says that it was damaged. */
export function openRecord(key: Uint8Array, sealed: Uint8Array): Uint8Array {
  const content = unseal(key, sealed);
  if (content === undefined) throw corruptRecord(key, "does not match its checksum");
  return content;
}

/**
 * What to do about a member whose data cannot be trusted: it may have forgotten what it voted and
 * acknowledged, so it does not come back under its name with empty hands.
 */
export const repair =
  "remove this member from the cluster, delete its data and its peer key, and add it as a new learner";

/** Names the record: its prefix and, where it has one, its number. */
export function corruptRecord(key: Uint8Array, what: string, cause?: unknown): DiskError {
  const position = key.length === 9 ? ` ${positionOf(key)}` : "";
  const name = `${String.fromCharCode(key[0] ?? 0)}${position}`;
  return new DiskError("corrupt", `store record ${name} ${what}: ${repair}`, { cause });
}
