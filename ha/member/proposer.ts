/** Proposes the commands of this member, and on a leader also those forwarded by its peers. */
import type { Message, Raft } from "../raft/mod.ts";
import { assert } from "../runtime/assert.ts";
import type { Clock } from "../runtime/types.ts";
import type { Proposals } from "./proposals.ts";

export class Proposer {
  readonly #raft: Raft;
  readonly #proposals: Proposals;
  readonly #clock: Clock;
  /** Proposals of others: on a leader with a crowd of its own they wait for its next round. */
  #forwarded: Message[] = [];
  /** The core refused for now: the next tick tries again. */
  #refused = false;
  /** Commands wait for the last proposal to come back. */
  #held = false;

  constructor(raft: Raft, proposals: Proposals, clock: Clock) {
    this.#raft = raft;
    this.#proposals = proposals;
    this.#clock = clock;
  }

  /** Commands wait for nothing but the next turn. */
  get isPressing(): boolean {
    return this.#proposals.waiting && !this.#refused && !this.#held;
  }

  /** Another member's message that proposes. */
  forward(message: Message): void {
    this.#forwarded.push(message);
  }

  propose(now: number): void {
    this.#refused = false;
    this.#held = false;
    if (!this.#proposals.waiting && this.#forwarded.length === 0) return;
    const readiness = this.#proposals.readiness(now, this.#raft.hasUncommitted);
    this.#held = readiness === "hold";
    if (this.#held) return;
    this.#takeForwarded();
    if (readiness === "go" && this.#proposals.waiting) this.#proposeOwn(now);
  }

  #takeForwarded(): void {
    if (this.#forwarded.length === 0) return;
    for (const message of this.#forwarded) this.#raft.step(message);
    this.#forwarded = [];
    this.#proposals.forwarded();
  }

  #proposeOwn(now: number): void {
    const wallMillis = Math.max(0, Math.floor(this.#clock.wallMillis()));
    const { data, taken } = this.#proposals.take(wallMillis);
    const refusal = this.#raft.propose(data);
    assert(refusal !== "too-large", "a proposal is bounded before it is encoded");
    if (refusal === undefined) this.#proposals.proposed(taken, this.#raft.term, now);
    else {
      this.#refused = true;
      this.#proposals.putBack(taken);
    }
  }
}
