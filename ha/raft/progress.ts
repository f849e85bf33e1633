/**
 * What a leader knows about one peer's log.
 *
 * ```
 *              acknowledged                     log compacted past next
 *   ┌───────┐ ──────────────▶ ┌───────────┐ ──────────────▶ ┌──────────┐
 *   │ probe │                 │ replicate │                 │ snapshot │
 *   └───────┘ ◀────────────── └───────────┘                 └──────────┘
 *       ▲     rejected, link lost                                 │
 *       └───────────────────── streamed, or given up ─────────────┘
 * ```
 *
 * Probing sends one append and waits; replicating assumes success, moves `next` on at once and
 * keeps a bounded window of appends in flight; during a snapshot nothing is sent.
 */
import type { MemberId } from "../runtime/types.ts";
import type { LogIndex } from "./types.ts";

export type ProgressState = "probe" | "replicate" | "snapshot";

export class Progress {
  readonly id: MemberId;
  /** Known to be durable in the peer's log. */
  match = 0 as LogIndex;
  /** The next entry to send. */
  next: LogIndex;
  state: ProgressState = "probe";
  /** Probing, and the one append is under way. */
  paused = false;
  /** The peer answered a heartbeat but may have missed an append: send one, even an empty one. */
  nudged = false;
  /** Heard from since the leader last counted its quorum. */
  recentlyActive = false;
  learner = false;
  /** The highest commit index the peer has been sent. */
  commitSent = 0 as LogIndex;
  /** A caller of the peer waits for this entry to be committed. */
  awaits = 0 as LogIndex;
  /** The last read round the peer has confirmed. */
  readRound = 0;
  /** Not zero: this entry removed the peer, which has yet to hear of it. */
  leavingAt = 0 as LogIndex;
  /** The last indexes of the appends in flight: a ring. */
  readonly #window: number[];
  #windowHead = 0;
  #windowCount = 0;

  constructor(id: MemberId, next: LogIndex, maxInflightAppends: number) {
    this.id = id;
    this.next = next;
    this.#window = new Array<number>(maxInflightAppends).fill(0);
  }

  get windowFull(): boolean {
    return this.#windowCount === this.#window.length;
  }

  /** Notes an append that ends with `last`. */
  sent(last: LogIndex): void {
    if (this.state === "probe") {
      this.paused = true;
      return;
    }
    if (last < this.next) return;
    this.next = (last + 1) as LogIndex;
    this.#window[(this.#windowHead + this.#windowCount) % this.#window.length] = last;
    this.#windowCount++;
  }

  /** The peer has everything up to `index`. True when that is news. */
  acknowledged(index: LogIndex, firstIndex: LogIndex): boolean {
    if (index < this.match) return false;
    const advanced = index > this.match;
    this.match = index;
    if (this.next <= index) this.next = (index + 1) as LogIndex;
    if (this.state === "replicate") this.#freeTo(index);
    else if (this.state === "probe" || index + 1 >= firstIndex) this.#enter("replicate", index + 1);
    return advanced;
  }

  /**
   * The peer refused entries after `index` and suggests to continue at `next`. False for an answer
   * to a question that has been settled since.
   */
  rejected(index: LogIndex, next: number): boolean {
    if (this.state === "snapshot" || index <= this.match) return false;
    if (this.state === "probe" && index !== this.next - 1) return false;
    this.#enter("probe", Math.max(Math.min(index, next), this.match + 1));
    return true;
  }

  /**
   * Appends in flight were probably lost. Waits for a sign of life before it tries again, lest a
   * full queue be filled up for ever.
   */
  unreachable(): void {
    if (this.state === "replicate") this.#enter("probe", this.match + 1);
    if (this.state === "probe") this.paused = true;
  }

  startSnapshot(): void {
    this.#enter("snapshot", this.next);
  }

  /**
   * The snapshot was streamed, or not. If it was, its acknowledgement may still be under way and
   * its index is the driver's choice; probing at the log's end finds out where the peer is.
   */
  finishSnapshot(ok: boolean, lastIndex: LogIndex): void {
    if (this.state !== "snapshot") return;
    this.#enter("probe", ok ? lastIndex + 1 : this.match + 1);
    this.paused = true;
  }

  #enter(state: ProgressState, next: number): void {
    this.state = state;
    this.next = next as LogIndex;
    this.paused = false;
    this.#windowHead = 0;
    this.#windowCount = 0;
  }

  #freeTo(index: LogIndex): void {
    const window = this.#window;
    while (this.#windowCount > 0 && (window[this.#windowHead] as number) <= index) {
      this.#windowHead = (this.#windowHead + 1) % window.length;
      this.#windowCount--;
    }
  }
}
