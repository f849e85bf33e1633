/**
 * Linearizable reads: everything that asks in one turn shares one ReadIndex round, and is served
 * once this member has applied what the leader had committed when the round began.
 */
import type { StatusError } from "../runtime/status-error.ts";
import { storeErrors as errors } from "../store/mod.ts";
import type { MemberLimits } from "./limits.ts";

export type ReadDone = (error: StatusError | undefined) => void;

interface Reader {
  readonly deadline: number;
  readonly done: ReadDone;
}

interface Round {
  readonly context: number;
  readonly readers: Reader[];
  askedAt: number;
}

export class Reads {
  readonly #limits: MemberLimits;
  #gathering: Reader[] = [];
  /** A handful, oldest first. */
  #rounds: Round[] = [];
  /** Confirmed, but the index is not applied yet; ascending. */
  #confirmed: { index: number; readers: Reader[] }[] = [];
  #context = 0;
  #count = 0;

  constructor(limits: MemberLimits) {
    this.#limits = limits;
  }

  get waiting(): boolean {
    return this.#gathering.length > 0;
  }

  /**
   * A round costs a frame to each peer and back, however many reads it serves: while one is under
   * way, the next one gathers.
   */
  get mayBegin(): boolean {
    return this.#gathering.length > 0 && this.#rounds.length < this.#limits.readRoundsMax;
  }

  submit(now: number, done: ReadDone): StatusError | undefined {
    if (this.#count >= this.#limits.pendingReadsMax) return errors.tooManyRequests();
    this.#count++;
    this.#gathering.push({ deadline: now + this.#limits.requestTimeoutMillis, done });
    return undefined;
  }

  /** Closes the gathering and returns the context of its round. */
  begin(now: number): number {
    const context = ++this.#context;
    this.#rounds.push({ context, readers: this.#gathering, askedAt: now });
    this.#gathering = [];
    return context;
  }

  confirmed(context: number, index: number, applied: number): void {
    const round = this.#take(context);
    if (!round) return;
    if (index <= applied) this.#serve(round.readers);
    else {
      this.#confirmed.push({ index, readers: round.readers });
      this.#confirmed.sort((a, b) => a.index - b.index);
    }
  }

  failed(context: number): void {
    const round = this.#take(context);
    if (!round) return;
    this.#gathering.push(...round.readers);
  }

  applied(index: number): void {
    while (this.#confirmed[0] && this.#confirmed[0].index <= index) {
      this.#serve(this.#confirmed.shift()?.readers ?? []);
    }
  }

  /** Asks again what got no answer, and fails what has waited too long. */
  sweep(now: number, leaderKnown: boolean): void {
    for (const { context, askedAt } of [...this.#rounds]) {
      if (now - askedAt >= this.#limits.readRetryMillis) this.failed(context);
    }
    this.#gathering = this.#expire(this.#gathering, now, leaderKnown);
    for (const entry of this.#confirmed) {
      entry.readers = this.#expire(entry.readers, now, leaderKnown);
    }
  }

  close(error: StatusError): void {
    const all = [...this.#gathering];
    for (const round of this.#rounds) all.push(...round.readers);
    for (const entry of this.#confirmed) all.push(...entry.readers);
    this.#gathering = [];
    this.#rounds = [];
    this.#confirmed = [];
    for (const reader of all) reader.done(error);
  }

  #take(context: number): Round | undefined {
    const round = this.#rounds.find((each) => each.context === context);
    if (round) this.#rounds = this.#rounds.filter((each) => each !== round);
    return round;
  }

  #serve(readers: readonly Reader[]): void {
    this.#count -= readers.length;
    for (const reader of readers) reader.done(undefined);
  }

  #expire(readers: Reader[], now: number, leaderKnown: boolean): Reader[] {
    if (!readers.some((reader) => now >= reader.deadline)) return readers;
    const live: Reader[] = [];
    for (const reader of readers) {
      if (now < reader.deadline) live.push(reader);
      else {
        this.#count--;
        reader.done(leaderKnown ? errors.timedOut() : errors.noLeader());
      }
    }
    return live;
  }
}
