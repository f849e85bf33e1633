/**
 * ReadIndex: linearizable reads without a log entry (Ongaro 2014, section 6.4).
 *
 * A leader notes its commit index and has a quorum confirm, by one round of heartbeats, that no
 * newer leader exists. All reads asked between two rounds share one. Rounds are numbered upwards, a
 * peer that answers one thereby confirms all before it, so the newest confirmed round is the same
 * quorum computation as the commit index. A follower sends its own reads on, again one message for
 * all.
 *
 * This file keeps the books; `replication.ts` sends the messages.
 */
import type { MemberId } from "../runtime/types.ts";
import type { LogIndex } from "./types.ts";

/** Reads waiting in one member; more are failed at once. */
const maxPendingReads = 65_536;
/** Rounds under way at once; reads beyond wait for the next. */
const maxRounds = 64;

interface RemoteRead {
  readonly from: MemberId;
  readonly context: number;
}

interface Round {
  readonly number: number;
  readonly index: LogIndex;
  readonly contexts: readonly number[];
  readonly remote: readonly RemoteRead[];
}

interface Forwarded {
  readonly batch: number;
  readonly contexts: readonly number[];
  ticks: number;
}

export interface ConfirmedRead {
  readonly context: number;
  readonly index: LogIndex;
}

export class Reads {
  /** Reads of this member that are not yet part of a round or of a forwarded batch. */
  #waiting: number[] = [];
  #waitingTicks = 0;
  #waitingRemote: RemoteRead[] = [];
  #rounds: Round[] = [];
  #lastRound = 0;
  /** All peers were asked about the rounds up to this one. */
  #hurriedRound = 0;
  #forwarded: Forwarded[] = [];
  #lastBatch: number;
  #pending = 0;
  confirmed: ConfirmedRead[] = [];
  failed: number[] = [];

  /**
   * Batches are numbered from `incarnation` times 2^20: after a restart, a late answer to an
   * earlier batch must not be taken for an answer to a new one.
   */
  constructor(incarnation: number) {
    this.#lastBatch = incarnation * 2 ** 20;
  }

  /** The number of the newest round; heartbeats carry it, so that a lost one is made up for. */
  get lastRound(): number {
    return this.#rounds.length > 0 ? this.#lastRound : 0;
  }

  /** Leader: the oldest round that is not confirmed; 0: none. */
  get oldestRound(): number {
    return this.#rounds[0]?.number ?? 0;
  }

  /** Leader: the newest round if it is open and was not asked for here before; 0: none. */
  takeHurry(): number {
    if (this.lastRound <= this.#hurriedRound) return 0;
    this.#hurriedRound = this.#lastRound;
    return this.#lastRound;
  }

  get isWaiting(): boolean {
    return this.#waiting.length > 0 || this.#waitingRemote.length > 0;
  }

  get canStartRound(): boolean {
    return this.isWaiting && this.#rounds.length < maxRounds;
  }

  ask(context: number): void {
    if (this.#pending >= maxPendingReads) {
      this.failed.push(context);
      return;
    }
    if (this.#waiting.length === 0) this.#waitingTicks = 0;
    this.#pending++;
    this.#waiting.push(context);
  }

  /** Leader: a follower asks. It gives up by itself, so that too many are simply not answered. */
  askRemote(from: MemberId, context: number): void {
    if (this.#waitingRemote.length < maxPendingReads) this.#waitingRemote.push({ from, context });
  }

  /** Leader: all that wait become one round. */
  startRound(index: LogIndex): number {
    const number = ++this.#lastRound;
    this.#rounds.push({ number, index, contexts: this.#waiting, remote: this.#waitingRemote });
    this.#waiting = [];
    this.#waitingRemote = [];
    return number;
  }

  /** Leader: a quorum has answered `round`. Reads of others go to `answer`. */
  confirmUpTo(
    round: number,
    answer: (to: MemberId, context: number, index: LogIndex) => void,
  ): void {
    let done = 0;
    for (const { number, index, contexts, remote } of this.#rounds) {
      if (number > round) break;
      this.#confirm(contexts, index);
      for (const read of remote) answer(read.from, read.context, index);
      done++;
    }
    if (done > 0) this.#rounds.splice(0, done);
  }

  /** Follower: all that wait become one batch, to be sent to the leader under this number. */
  forward(): number {
    const batch = ++this.#lastBatch;
    this.#forwarded.push({ batch, contexts: this.#waiting, ticks: 0 });
    this.#waiting = [];
    return batch;
  }

  /** Follower: the leader has answered a batch. */
  answered(batch: number, index: LogIndex): void {
    const position = this.#forwarded.findIndex((forwarded) => forwarded.batch === batch);
    if (position < 0) return;
    const [forwarded] = this.#forwarded.splice(position, 1) as [Forwarded];
    this.#confirm(forwarded.contexts, index);
  }

  /** The old leader will not answer any more. Reads that were not sent to it yet keep waiting. */
  leaderChanged(): void {
    for (const { contexts } of this.#rounds) this.#fail(contexts);
    for (const { contexts } of this.#forwarded) this.#fail(contexts);
    this.#rounds = [];
    this.#forwarded = [];
    this.#waitingRemote = [];
  }

  /** Fails what has waited for `limit` ticks, for a leader or for its answer. */
  tick(limit: number): void {
    if (this.#pending === 0) return;
    if (this.#waiting.length > 0 && ++this.#waitingTicks >= limit) {
      this.#fail(this.#waiting);
      this.#waiting = [];
    }
    for (const forwarded of this.#forwarded) forwarded.ticks++;
    while ((this.#forwarded[0]?.ticks ?? 0) >= limit) {
      this.#fail((this.#forwarded.shift() as Forwarded).contexts);
    }
  }

  #confirm(contexts: readonly number[], index: LogIndex): void {
    this.#pending -= contexts.length;
    for (const context of contexts) this.confirmed.push({ context, index });
  }

  #fail(contexts: readonly number[]): void {
    this.#pending -= contexts.length;
    for (const context of contexts) this.failed.push(context);
  }
}
