/**
 * Streams snapshots to peers whose log ends before this leader's begins: a window of chunks under
 * way, each acknowledged once it is on the receiver's disk.
 */
import type { SnapshotChunk } from "../../proto/gen/raft.ts";
import type { Term } from "../raft/mod.ts";
import { DiskError, type Log, type MemberId } from "../runtime/types.ts";
import { type PageReader, Snapshot, type StateMachine } from "../store/mod.ts";
import type { MemberLimits } from "./limits.ts";
import { type RosterMeta, rosterMetaToWire } from "./wire.ts";

export interface SenderEvents {
  /** Queue a chunk for the peer; it leaves at the end of the turn. */
  readonly send: (peer: MemberId, chunk: SnapshotChunk) => void;
  readonly finished: (peer: MemberId, ok: boolean) => void;
  /** The own disk does not give back what was written: this member must not go on. */
  readonly unreadable: (error: DiskError) => void;
  /** Something was queued outside of a turn. */
  readonly wake: () => void;
}

interface Stream {
  readonly meta: RosterMeta;
  readonly term: Term;
  readonly chunks: AsyncGenerator<Uint8Array, void, undefined>;
  sent: number;
  acknowledged: number;
  lastSent: boolean;
  reading: boolean;
  /** A chunk was read ahead, to know whether it is the last. */
  ahead: Uint8Array | undefined;
  movedAt: number;
}

export class SnapshotSender {
  readonly #read: PageReader;
  readonly #events: SenderEvents;
  readonly #log: Log;
  readonly #limits: MemberLimits;
  readonly #streams = new Map<MemberId, Stream>();

  constructor(read: PageReader, events: SenderEvents, log: Log, limits: MemberLimits) {
    this.#read = read;
    this.#events = events;
    this.#log = log;
    this.#limits = limits;
  }

  get active(): boolean {
    return this.#streams.size > 0;
  }

  /** Everything applied must be on the disk. Replaces a stream under way to the same peer. */
  start(peer: MemberId, meta: RosterMeta, term: Term, machine: StateMachine, now: number): void {
    this.stop(peer);
    const chunks = new Snapshot(machine).chunks(this.#read, this.#limits.snapshotChunkBytes);
    const stream: Stream = {
      meta,
      term,
      chunks,
      sent: 0,
      acknowledged: 0,
      lastSent: false,
      reading: false,
      ahead: undefined,
      movedAt: now,
    };
    this.#streams.set(peer, stream);
    this.#log.info("sending a snapshot", { peer, index: meta.index });
    this.#pump(peer, stream);
  }

  acknowledged(peer: MemberId, chunk: SnapshotChunk, now: number): void {
    const stream = this.#streams.get(peer);
    if (!stream || chunk.meta?.index !== stream.meta.index) return;
    if (chunk.refused) {
      this.#finish(peer, false);
      return;
    }
    // An acknowledgement beyond the sent bytes counts only up to them: the window bounds what is
    // read.
    const acknowledged = Math.min(chunk.acknowledged ?? 0, stream.sent);
    if (acknowledged <= stream.acknowledged) return;
    stream.acknowledged = acknowledged;
    stream.movedAt = now;
    if (stream.lastSent && stream.acknowledged >= stream.sent) this.#finish(peer, true);
    else this.#pump(peer, stream);
  }

  /** Gives up what has not moved for too long. */
  sweep(now: number): void {
    for (const [peer, stream] of this.#streams) {
      if (now - stream.movedAt >= this.#limits.snapshotStallMillis) this.#finish(peer, false);
    }
  }

  lost(peer: MemberId): void {
    if (this.#streams.has(peer)) this.#finish(peer, false);
  }

  /** Leadership is lost, or the member closes. */
  stopAll(): void {
    for (const peer of [...this.#streams.keys()]) this.stop(peer);
  }

  stop(peer: MemberId): void {
    const stream = this.#streams.get(peer);
    if (!stream) return;
    this.#streams.delete(peer);
    // Ends the generator, which lets compaction go on.
    stream.chunks.return().catch((error: unknown) => {
      this.#log.warn("a snapshot could not be closed", { error });
    });
  }

  #finish(peer: MemberId, ok: boolean): void {
    this.stop(peer);
    this.#log.info(ok ? "a snapshot was taken" : "a snapshot was not taken", { peer });
    this.#events.finished(peer, ok);
  }

  #pump(peer: MemberId, stream: Stream): void {
    const room = stream.sent - stream.acknowledged < this.#limits.snapshotChunksInflight;
    if (!room || stream.lastSent || stream.reading) return;
    stream.reading = true;
    this.#next(stream).then(
      (chunk) => {
        stream.reading = false;
        if (this.#streams.get(peer) !== stream) return;
        this.#events.send(peer, chunk);
        this.#events.wake();
        this.#pump(peer, stream);
      },
      (error: unknown) => {
        if (this.#streams.get(peer) !== stream) return;
        this.#log.error("a snapshot could not be read", { peer, error });
        this.#finish(peer, false);
        if (error instanceof DiskError) this.#events.unreadable(error);
        this.#events.wake();
      },
    );
  }

  async #next(stream: Stream): Promise<SnapshotChunk> {
    const data = stream.ahead ?? (await take(stream.chunks));
    if (data === undefined) throw new Error("a snapshot has no chunks");
    stream.ahead = await take(stream.chunks);
    stream.lastSent = stream.ahead === undefined;
    return {
      term: stream.term,
      meta: rosterMetaToWire(stream.meta),
      sequence: stream.sent++,
      data: data as Buffer,
      last: stream.lastSent,
    };
  }
}

async function take(chunks: AsyncGenerator<Uint8Array>): Promise<Uint8Array | undefined> {
  const result = await chunks.next();
  return result.done ? undefined : result.value;
}
