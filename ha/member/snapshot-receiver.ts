/**
 * Receives a snapshot chunk by chunk, checks it, and stages it on the disk. Chunks are acknowledged
 * when they are written, so the sender's window is also the bound of what waits here.
 */
import type { SnapshotChunk } from "../../proto/gen/raft.ts";
import type { Term } from "../raft/mod.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import {
  type Disk,
  DiskError,
  type DiskOperation,
  type Log,
  type MemberId,
} from "../runtime/types.ts";
import { SnapshotReader } from "../store/mod.ts";
import { dropStaged, stagedOperations, writeAll } from "./installer.ts";
import type { MemberLimits } from "./limits.ts";
import { type RosterMeta, rosterMetaFromWire, rosterMetaToWire } from "./wire.ts";

export interface ReceiverEvents {
  readonly answer: (peer: MemberId, chunk: SnapshotChunk) => void;
  /** All of it is staged, durably. */
  readonly complete: (peer: MemberId, term: Term, meta: RosterMeta) => void;
  /** The own disk failed: this member must not go on. */
  readonly failed: (error: DiskError) => void;
  readonly wake: () => void;
}

interface Transfer {
  readonly from: MemberId;
  readonly term: Term;
  readonly meta: RosterMeta;
  readonly reader: SnapshotReader;
  readonly queue: SnapshotChunk[];
  expected: number;
  writing: boolean;
  written: number;
}

export class SnapshotReceiver {
  readonly #disk: Disk;
  readonly #events: ReceiverEvents;
  readonly #log: Log;
  readonly #limits: MemberLimits;
  #transfer: Transfer | undefined;
  /**
   * One thing after the other: what an earlier transfer still writes, clearing its remains, the
   * chunks of the next. What fails the disk fails all that follows.
   */
  #staging: Promise<void> = Promise.resolve();

  constructor(disk: Disk, events: ReceiverEvents, log: Log, limits: MemberLimits) {
    this.#disk = disk;
    this.#events = events;
    this.#log = log;
    this.#limits = limits;
  }

  chunk(from: MemberId, chunk: SnapshotChunk): void {
    const meta = chunk.meta && rosterMetaFromWire(chunk.meta);
    if (!meta || chunk.data === undefined) return;
    let transfer = this.#transfer;
    if (transfer?.from !== from || transfer.meta.index !== meta.index) {
      if (chunk.sequence !== 0) {
        this.#refuse(from, meta);
        return;
      }
      transfer = this.#begin(from, (chunk.term ?? 0) as Term, meta);
    }
    const full = transfer.queue.length >= this.#limits.snapshotChunksInflight * 2;
    if (chunk.sequence !== transfer.expected || full) {
      this.#refuse(from, meta);
      return;
    }
    transfer.expected++;
    transfer.queue.push(chunk);
    this.#pump(transfer);
  }

  stop(): void {
    this.#transfer = undefined;
  }

  #begin(from: MemberId, term: Term, meta: RosterMeta): Transfer {
    this.#log.info("receiving a snapshot", { from, index: meta.index });
    const transfer: Transfer = {
      from,
      term,
      meta,
      reader: new SnapshotReader(),
      queue: [],
      expected: 0,
      writing: false,
      written: 0,
    };
    this.#transfer = transfer;
    this.#stage(() => dropStaged(this.#disk)).catch((error: unknown) => this.#failed(error));
    return transfer;
  }

  #refuse(from: MemberId, meta: RosterMeta): void {
    if (this.#transfer?.from === from) this.#transfer = undefined;
    this.#events.answer(from, { meta: rosterMetaToWire(meta), refused: true });
    this.#events.wake();
  }

  #pump(transfer: Transfer): void {
    if (transfer.writing) return;
    const chunk = transfer.queue.shift();
    if (!chunk) return;
    transfer.writing = true;
    let operations: DiskOperation[];
    try {
      operations = contentOf(transfer, chunk);
    } catch (error) {
      // The sender's fault, and none of the own disk's.
      this.#log.error("a snapshot was refused", { error: StatusError.from(error).message });
      this.#refuse(transfer.from, transfer.meta);
      return;
    }
    this.#stage(() => writeAll(this.#disk, operations, chunk.last ?? false)).then(
      () => {
        transfer.writing = false;
        if (this.#transfer !== transfer) return;
        const meta = rosterMetaToWire(transfer.meta);
        this.#events.answer(transfer.from, { meta, acknowledged: ++transfer.written });
        if (chunk.last) {
          this.#transfer = undefined;
          this.#events.complete(transfer.from, transfer.term, transfer.meta);
        } else this.#pump(transfer);
        this.#events.wake();
      },
      (error: unknown) => this.#failed(error),
    );
  }

  #stage(step: () => Promise<void>): Promise<void> {
    this.#staging = this.#staging.then(step);
    return this.#staging;
  }

  #failed(error: unknown): void {
    if (!(error instanceof DiskError)) throw error;
    this.#transfer = undefined;
    this.#events.failed(error);
  }
}

/** Throws where the chunk is damaged, or ends a snapshot of another index than was announced. */
function contentOf({ reader, meta }: Transfer, chunk: SnapshotChunk): DiskOperation[] {
  const operations = stagedOperations(reader.read(chunk.data ?? new Uint8Array(0)));
  const { complete } = reader;
  if (chunk.last !== true && !complete) return operations;
  if (chunk.last === true && complete?.index === meta.index) return operations;
  const text = `the snapshot ends at index ${complete?.index}, not at ${meta.index}`;
  throw new StatusError(Code.dataLoss, text);
}
