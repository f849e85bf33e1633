/**
 * Snapshots: an image of the store's part of the disk as of one applied index. It carries the
 * history since the compact revision, so that watches resume on the receiver as on the sender.
 *
 * Format: a sequence of chunks, each
 *
 *   magic "TRS1" | digest of the rest, 4 bytes | number of the chunk from 0 on |
 *   { key length, key, value length, value } ...
 *
 * number and lengths as varints, records in disk key order but for the last: 'A' (Applied),
 * which ends the snapshot. Written last, it also makes the copied state valid: a start before that
 * finds an interrupted restore. `restore` = delete {@link storeRanges}, write what
 * {@link SnapshotReader.read} answers, then load.
 */
import { assert } from "../runtime/assert.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { DiskEntry, DiskOperation } from "../runtime/types.ts";
import { seal } from "./checksum.ts";
import { Digest } from "./digest.ts";
import {
  type Applied,
  appliedKey,
  byRevision,
  decodeApplied,
  decodeChanges,
  diskKey,
  encodeApplied,
  encodeLease,
  encodeSession,
  leaseKey,
  openRecord,
  type PageReader,
  Prefix,
  positionOf,
  sealChanges,
  storeRanges,
} from "./layout.ts";
import { after } from "./load.ts";
import { type Records, survivorsOf } from "./records.ts";
import type { StateMachine } from "./state-machine.ts";
import { WireReader, WireWriter } from "./wire.ts";

const magic = Uint8Array.of(0x54, 0x52, 0x53, 0x31);
const headerBytes = 8;
/** A page is in memory as a whole, and one record may be as large as a request. */
const pageRecords = 64;

/**
 * A snapshot being read; holds compaction back until closed, so close it when the receiver is
 * gone. Revision records never change while held: they are read page by page as chunks are taken.
 */
export class Snapshot {
  /** What the snapshot is a snapshot of. */
  readonly applied: Applied;
  private readonly small: DiskEntry[] = [];
  private readonly records: Records;
  private readonly release: () => void;

  /** All operations must have been taken and handed to the disk. */
  constructor(machine: StateMachine) {
    assert(!machine.hasOperations, "what is applied is handed to the disk before a snapshot");
    this.applied = machine.applied;
    this.records = machine.history.records;
    for (const id of machine.leases.ids()) {
      const key = leaseKey(id);
      this.small.push([key, seal(key, encodeLease(id, machine.leases.get(id)?.seconds ?? 0))]);
    }
    let order = 0;
    for (const session of machine.sessions.records()) {
      const key = diskKey(Prefix.session, order);
      this.small.push([key, seal(key, encodeSession(session, order))]);
      order++;
    }
    this.release = machine.holdHistory();
  }

  /**
   * Chunks of at most `maxBytes`, or of one record where that is larger. `sinceRevision`: without
   * the revisions up to it. Closes the snapshot when it is through or given up. Throws
   * `DiskError("corrupt")` that names the record where the disk no longer holds what was written.
   */
  async *chunks(
    read: PageReader,
    maxBytes: number,
    sinceRevision = 0,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const writer = new ChunkWriter(maxBytes);
    try {
      for (const entry of this.small) yield* writer.add(entry);
      for await (const page of this.revisions(read, sinceRevision)) {
        for (const entry of page) yield* writer.add(entry);
      }
      yield* writer.add([appliedKey, seal(appliedKey, encodeApplied(this.applied))]);
      yield writer.chunk();
    } finally {
      this.close();
    }
  }

  private async *revisions(
    read: PageReader,
    sinceRevision: number,
  ): AsyncGenerator<readonly DiskEntry[]> {
    const from = sinceRevision === 0 ? 0 : this.records.firstOf(sinceRevision + 1);
    let start: Uint8Array = diskKey(Prefix.revision, from);
    const end = diskKey(Prefix.revision, this.applied.revision + 1);
    for (;;) {
      const page = await read({ start, end, limit: pageRecords });
      yield page.flatMap(([key, value]) => this.record(key, value, sinceRevision));
      const last = page[page.length - 1]?.[0];
      if (page.length < pageRecords || last === undefined) return;
      start = after(last);
    }
  }

  /**
   * A record less what was dropped from it, and less the revisions up to `since`. A damaged
   * record must reach neither another member nor a backup.
   */
  private record(key: Uint8Array, value: Uint8Array, since: number): DiskEntry[] {
    const content = openRecord(key, value);
    const first = positionOf(key);
    const dropped = this.records.droppedFrom(first);
    if (first > since && dropped.length === 0) return [[key, value]];
    const survivors = survivorsOf(decodeChanges(key, content), dropped);
    const later = survivors.filter(({ mod }) => mod > since);
    if (later.length === 0) return [];
    const place = diskKey(Prefix.revision, Math.max(first, since + 1));
    return [[place, sealChanges(place, later)]];
  }

  /** Idempotent. */
  close(): void {
    this.release();
  }
}

class ChunkWriter {
  private readonly maxBytes: number;
  private readonly writer = new WireWriter();
  private readonly digestBytes = new Uint8Array(4);
  private number = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  *add([key, value]: DiskEntry): Generator<Uint8Array> {
    const { writer } = this;
    const bytes = key.length + value.length + 15;
    if (writer.length > 0 && writer.length + bytes + headerBytes > this.maxBytes) {
      yield this.chunk();
    }
    if (writer.length === 0) writer.varint(this.number);
    writer.varint(key.length);
    writer.raw(key);
    writer.varint(value.length);
    writer.raw(value);
  }

  chunk(): Uint8Array {
    const content = this.writer.finish();
    this.number++;
    const chunk = new Uint8Array(headerBytes + content.length);
    chunk.set(magic);
    new DataView(this.digestBytes.buffer).setUint32(0, digestOf(content));
    chunk.set(this.digestBytes, 4);
    chunk.set(content, headerBytes);
    return chunk;
  }
}

function digestOf(bytes: Uint8Array): number {
  const digest = new Digest();
  digest.bytes(bytes);
  return digest.value;
}

/** Turns received chunks into disk operations; keeps nothing but its place. */
export class SnapshotReader {
  private applied: Applied | undefined;
  private lastRevision: number;
  private next = 0;

  /** `sinceRevision`: the snapshot begins after it. */
  constructor(sinceRevision = 0) {
    this.lastRevision = Math.max(1, sinceRevision);
  }

  /** Present once the snapshot is complete. */
  get complete(): Applied | undefined {
    return this.applied;
  }

  /**
   * Operations of the next chunk, one batch; they hold views of `chunk`. Throws `dataLoss` where
   * the chunk is damaged or out of order: the restore must then begin anew.
   */
  read(chunk: Uint8Array): DiskOperation[] {
    if (this.applied !== undefined) throw damaged("goes on after its end");
    const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (chunk.length < headerBytes || magic.some((byte, index) => chunk[index] !== byte)) {
      throw damaged("has a chunk of another format");
    }
    const content = chunk.subarray(headerBytes);
    if (view.getUint32(4) !== digestOf(content)) throw damaged("has a damaged chunk");
    const operations: DiskOperation[] = [];
    try {
      const reader = new WireReader(content);
      const number = reader.varint();
      if (number !== this.next) throw damaged(`has chunk ${number} where ${this.next} is due`);
      this.next++;
      while (reader.position < reader.end) {
        const operation = { key: reader.bytes(), value: reader.bytes() };
        this.check(operation);
        operations.push(operation);
      }
    } catch (thrown) {
      if (thrown instanceof RangeError) throw damaged("has a chunk that ends inside a record");
      throw thrown;
    }
    return operations;
  }

  private check({ key, value }: { key: Uint8Array; value: Uint8Array }): void {
    const prefix = key[0];
    const content = openRecord(key, value);
    if (this.applied !== undefined) throw damaged("goes on after its end");
    if (prefix === Prefix.applied && key.length === 1) {
      this.applied = decodeApplied(content);
      if (this.applied.revision === this.lastRevision) return;
      throw damaged(`ends at revision ${this.lastRevision}, not at ${this.applied.revision}`);
    }
    const known =
      prefix === Prefix.lease || prefix === Prefix.session || prefix === Prefix.revision;
    if (!known || key.length !== 9) throw damaged("has a record of unknown kind");
    if (prefix === Prefix.revision) {
      let after = Math.max(this.lastRevision, positionOf(key) - 1);
      for (const [revision] of byRevision(decodeChanges(key, content))) {
        if (revision <= after) throw damaged("has revisions out of order");
        after = revision;
      }
      this.lastRevision = after;
    }
  }
}

function damaged(what: string): StatusError {
  return new StatusError(Code.dataLoss, `the snapshot ${what}`);
}

/** Batches that delete everything the store has on disk; the applied index goes first. */
export async function* wipe(read: PageReader): AsyncGenerator<DiskOperation[], void, undefined> {
  for (const { start, end } of storeRanges) {
    let from = start;
    for (;;) {
      const page = await read({ start: from, end, limit: pageRecords });
      if (page.length > 0) yield page.map(([key]) => ({ key }));
      const last = page[page.length - 1]?.[0];
      if (page.length < pageRecords || last === undefined) break;
      from = after(last);
    }
  }
}
