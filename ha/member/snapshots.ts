/**
 * The snapshots that this member sends, and the one that it receives. A snapshot holds all applied
 * state, so the member takes one only when all of that is on the disk (`due`).
 */
import type { SnapshotChunk } from "../../proto/gen/raft.ts";
import type { Term } from "../raft/mod.ts";
import type { StatusError } from "../runtime/status-error.ts";
import type { DiskError, MemberId, Runtime } from "../runtime/types.ts";
import { type PageReader, Snapshot, type StateMachine } from "../store/mod.ts";
import type { MemberLimits } from "./limits.ts";
import { SnapshotReceiver } from "./snapshot-receiver.ts";
import { SnapshotSender } from "./snapshot-sender.ts";
import type { RosterMeta } from "./wire.ts";

/** What {@link Snapshots} needs of its member. */
export interface SnapshotsHost {
  readonly runtime: Runtime;
  readonly limits: MemberLimits;
  readonly read: PageReader;
  machine(): StateMachine;
  /** Position and roster of the applied state; undefined: the log begins later. */
  meta(): RosterMeta | undefined;
  /** The term in which this member leads; undefined while it does not lead. */
  leadingTerm(): Term | undefined;
  /** Queues a chunk for the peer; it leaves at the end of the turn. */
  send(peer: MemberId, chunk: SnapshotChunk): void;
  sent(peer: MemberId, ok: boolean): void;
  /** A whole snapshot is staged durably. */
  received(from: MemberId, term: Term, meta: RosterMeta): void;
  diskFailed(error: DiskError): void;
  wake(): void;
}

interface Asker {
  readonly resolve: (snapshot: Snapshot) => void;
  readonly reject: (error: StatusError) => void;
}

export class Snapshots {
  readonly #host: SnapshotsHost;
  readonly #sender: SnapshotSender;
  readonly #receiver: SnapshotReceiver;
  /** Peers whose log ends before this leader's begins. */
  readonly #wanted = new Set<MemberId>();
  /** Callers that wait for a snapshot of everything applied. */
  #asked: Asker[] = [];
  /** The snapshot that was received and is about to be installed. */
  installing: RosterMeta | undefined;

  constructor(host: SnapshotsHost) {
    const { runtime, limits, read } = host;
    this.#host = host;
    const diskFailed = (error: DiskError) => host.diskFailed(error);
    const send = (peer: MemberId, chunk: SnapshotChunk) => host.send(peer, chunk);
    const wake = () => host.wake();
    this.#sender = new SnapshotSender(
      read,
      { send, finished: (peer, ok) => host.sent(peer, ok), unreadable: diskFailed, wake },
      runtime.log,
      limits,
    );
    this.#receiver = new SnapshotReceiver(
      runtime.disk,
      {
        answer: send,
        complete: (from, term, meta) => host.received(from, term, meta),
        failed: diskFailed,
        wake,
      },
      runtime.log,
      limits,
    );
  }

  /** A peer or a caller waits for a snapshot: until all applied state is written, apply no more. */
  get due(): boolean {
    return this.#wanted.size + this.#asked.length > 0;
  }

  /** A snapshot is being sent. Its receiver will need the log entries that follow it. */
  get leaving(): boolean {
    return this.#sender.active;
  }

  want(peers: readonly MemberId[]): void {
    for (const peer of peers) this.#wanted.add(peer);
  }

  /** Resolves with a snapshot of all applied state. The caller closes it. */
  ask(): Promise<Snapshot> {
    return new Promise((resolve, reject) => {
      this.#asked.push({ resolve, reject });
      this.#host.wake();
    });
  }

  /** Takes the snapshots that are due. All applied state must be on the disk. */
  take(now: number): void {
    const machine = this.#host.machine();
    for (const { resolve } of this.#asked.splice(0)) resolve(new Snapshot(machine));
    if (this.#wanted.size === 0) return;
    const term = this.#host.leadingTerm();
    const meta = this.#host.meta();
    for (const peer of this.#wanted) {
      if (term !== undefined && meta) this.#sender.start(peer, meta, term, machine, now);
      else this.#host.sent(peer, false);
    }
    this.#wanted.clear();
  }

  /** A peer has sent a part of a snapshot, or has acknowledged one. */
  chunk(from: MemberId, chunk: SnapshotChunk): void {
    if (chunk.data === undefined) {
      this.#sender.acknowledged(from, chunk, this.#host.runtime.clock.monotonicMillis());
    } else if (this.installing === undefined) {
      this.#receiver.chunk(from, chunk);
    }
    // Otherwise the staged snapshot is about to be installed: a new transfer would delete it.
  }

  /** Gives up transfers that make no progress. The member calls this at every tick. */
  sweep(now: number): void {
    this.#sender.sweep(now);
  }

  lost(peer: MemberId): void {
    this.#sender.lost(peer);
  }

  /** This member has lost leadership. */
  deposed(): void {
    this.#sender.stopAll();
  }

  stop(): void {
    this.#sender.stopAll();
    this.#receiver.stop();
  }

  /** Fails the callers that wait for a snapshot. */
  refuse(error: StatusError): void {
    for (const { reject } of this.#asked.splice(0)) reject(error);
  }
}
