/**
 * Receives a snapshot chunk by chunk, checks it, and stages it on the disk. Chunks are acknowledged
 * when they are written, so the sender's window is also the bound of what waits here.
 */
import type { SnapshotChunk } from "../../proto/gen/raft.ts";
import type { Term } from "../raft/mod.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Disk, Log, MemberId } from "../runtime/types.ts";
import { SnapshotReader } from "../store/mod.ts";
import { dropStaged, stagedOperations, writeAll } from "./installer.ts";
import type { MemberLimits } from "./limits.ts";
import { type RosterMeta, rosterMetaFromWire, rosterMetaToWire } from "./wire.ts";

export interface ReceiverEvents {
  readonly answer: (peer: MemberId, chunk: SnapshotChunk) => void;
  /** All of it is staged, durably. */
  readonly complete: (peer: MemberId, term: Term, meta: RosterMeta) => void;
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
  /** Clearing the remains of an earlier transfer comes before the first chunk of the next. */
  #cleared: Promise<void> = Promise.resolve();

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
    this.#cleared = this.#cleared.then(() => dropStaged(this.#disk));
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
    this.#store(transfer, chunk).then(
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
      (error: unknown) => {
        this.#log.error("a snapshot was refused", { error: StatusError.from(error).message });
        this.#refuse(transfer.from, transfer.meta);
      },
    );
  }

  async #store(transfer: Transfer, chunk: SnapshotChunk): Promise<void> {
    await this.#cleared;
    const operations = stagedOperations(transfer.reader.read(chunk.data ?? new Uint8Array(0)));
    if (chunk.last) {
      const { complete } = transfer.reader;
      if (complete?.index !== transfer.meta.index) {
        const text = `the snapshot ends at index ${complete?.index}, not at ${transfer.meta.index}`;
        throw new StatusError(Code.dataLoss, text);
      }
    }
    await writeAll(this.#disk, operations, chunk.last ?? false);
  }
}
