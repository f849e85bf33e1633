/**
 * The format of backups.
 *
 *     "TRIREME\x01"  { length, 4 bytes | CRC-32C, 4 bytes | frame }…  end: length 0, CRC 0
 *
 * all big endian. The first frame is a BackupHeader, the others are the chunks of a store snapshot
 * (`ha/store/snapshot.ts`); an incremental backup has only the revisions after its base, and all of
 * the leases, sessions and applied position. A file is that, zeros up to a multiple of 512 bytes,
 * and the SHA-256 of everything before: the same that `etcdctl snapshot save` writes.
 */
import { BackupHeader } from "../../proto/gen/raft.ts";
import { crc32c } from "../runtime/crc32c.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { DiskOperation } from "../runtime/types.ts";
import {
  storeErrors as errors,
  type PageReader,
  type Snapshot,
  SnapshotReader,
} from "../store/mod.ts";

const magic = Uint8Array.of(0x54, 0x52, 0x49, 0x52, 0x45, 0x4d, 0x45, 0x01);
const frameHeaderBytes = 8;
const chunkBytes = 256 * 1024;
/** One record may be as large as a request, with what it replaced. */
const frameBytesMax = 16 * 1024 * 1024;

/** Closes the snapshot when it is through or given up. */
export async function* backupPieces(
  snapshot: Snapshot,
  read: PageReader,
  header: Omit<BackupHeader, "revision" | "compactRevision">,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { revision, compactRevision } = snapshot.applied;
  const since = header.sinceRevision ?? 0;
  try {
    if (since > revision) throw errors.futureRevision();
    // Below the compacted revision only what is still current is known: no longer what was deleted.
    if (since > 0 && since + 1 < compactRevision) throw errors.compacted();
    yield magic;
    yield frame(BackupHeader.encode({ ...header, revision, compactRevision }).finish());
    for await (const chunk of snapshot.chunks(read, chunkBytes, since)) yield frame(chunk);
    yield new Uint8Array(frameHeaderBytes);
  } finally {
    snapshot.close();
  }
}

function frame(content: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(frameHeaderBytes + content.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, content.length);
  view.setUint32(4, crc32c(content));
  bytes.set(content, frameHeaderBytes);
  return bytes;
}

/**
 * Reads a backup piece by piece; pieces may be cut anywhere. Throws `dataLoss` naming the byte at
 * which it is damaged.
 */
export class BackupReader {
  #buffer = new Uint8Array(0);
  /** Where `#buffer` begins in the file. */
  #offset = 0;
  #started = false;
  #header: BackupHeader | undefined;
  #reader = new SnapshotReader();
  #ended = false;

  get header(): BackupHeader | undefined {
    return this.#header;
  }

  /** The last frame has been read; what follows is not the backup's. */
  get ended(): boolean {
    return this.#ended;
  }

  /** The records of the frames that are complete now. */
  take(piece: Uint8Array): DiskOperation[] {
    if (this.#ended) return [];
    const buffer = new Uint8Array(this.#buffer.length + piece.length);
    buffer.set(this.#buffer);
    buffer.set(piece, this.#buffer.length);
    this.#buffer = buffer;
    const operations: DiskOperation[] = [];
    while (!this.#ended && this.#next(operations));
    return operations;
  }

  /** Throws when the backup is not whole. */
  finish(): BackupHeader {
    if (!this.#ended || !this.#header) throw this.#damaged("ends too early");
    return this.#header;
  }

  /** False: more bytes are needed. */
  #next(operations: DiskOperation[]): boolean {
    const buffer = this.#buffer;
    if (!this.#started) {
      if (buffer.length < magic.length) return false;
      if (magic.some((byte, i) => buffer[i] !== byte)) throw this.#damaged("is not a backup");
      this.#started = true;
      this.#consume(magic.length);
      return true;
    }
    if (buffer.length < frameHeaderBytes) return false;
    const view = new DataView(buffer.buffer, buffer.byteOffset);
    const length = view.getUint32(0);
    if (length > frameBytesMax) throw this.#damaged(`has a frame of ${length} bytes`);
    if (buffer.length < frameHeaderBytes + length) return false;
    const content = buffer.subarray(frameHeaderBytes, frameHeaderBytes + length);
    if (view.getUint32(4) !== crc32c(content)) throw this.#damaged("has a damaged frame");
    if (length === 0) this.#end();
    else if (this.#header) operations.push(...this.#records(content));
    else this.#begin(content);
    this.#consume(frameHeaderBytes + length);
    return true;
  }

  #begin(content: Uint8Array): void {
    try {
      this.#header = BackupHeader.decode(content);
    } catch (error) {
      throw this.#damaged(`has a header that cannot be read (${StatusError.from(error).message})`);
    }
    this.#reader = new SnapshotReader(this.#header.sinceRevision ?? 0);
  }

  #records(content: Uint8Array): DiskOperation[] {
    try {
      return this.#reader.read(content);
    } catch (error) {
      throw this.#damaged(`has a frame that cannot be used (${StatusError.from(error).message})`);
    }
  }

  #end(): void {
    const revision = this.#reader.complete?.revision;
    if (revision === undefined || revision !== this.#header?.revision) {
      throw this.#damaged(`ends at revision ${revision}, not at ${this.#header?.revision}`);
    }
    this.#ended = true;
  }

  #consume(bytes: number): void {
    this.#buffer = this.#buffer.subarray(bytes);
    this.#offset += bytes;
  }

  #damaged(what: string): StatusError {
    return new StatusError(Code.dataLoss, `the backup ${what}, at byte ${this.#offset}`);
  }
}
