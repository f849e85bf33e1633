/**
 * The commands of this member that wait for their outcome.
 *
 *     submit ──► outbox ──► proposed in term T ──► applied: answered
 *                  ▲              │
 *                  └──────────────┘  an entry of a later term was applied: T's copy is lost for
 *                                    certain, for a leader appends only what was proposed to it
 *                                    in its own term, and terms never decrease along the log
 *
 * A command with a request id may be proposed again at any time: the store does it once.
 */

import { RingTable } from "../runtime/ring-table.ts";
import type { StatusError } from "../runtime/status-error.ts";
import type { Random } from "../runtime/types.ts";
import {
  type AppliedCommand,
  type Command,
  encodeProposal,
  storeErrors as errors,
  type Outcome,
  type ProposedCommand,
} from "../store/mod.ts";
import { Gathering, type Readiness } from "./gathering.ts";
import type { MemberLimits } from "./limits.ts";

export type CommandDone = (error: StatusError | undefined, outcome: Outcome | undefined) => void;

interface Pending {
  /** The command's number. */
  readonly id: number;
  readonly command: ProposedCommand;
  readonly bytes: number;
  readonly deadline: number;
  readonly done: CommandDone;
  /** 0: not proposed yet. */
  term: number;
  proposedAt: number;
}

export class Proposals {
  readonly #member: number;
  readonly #limits: MemberLimits;
  readonly #incarnation: number;
  readonly #pending = new RingTable<Pending>();
  #outbox: Pending[] = [];
  #sequence = 0;
  readonly #gathering = new Gathering();
  /** The last command of the last proposal. */
  #lastProposed = 0;

  constructor(member: number, random: Random, limits: MemberLimits) {
    this.#member = member;
    this.#limits = limits;
    this.#incarnation = random.below(2 ** 32) * 2 ** 20 + random.below(2 ** 20);
  }

  get incarnation(): number {
    return this.#incarnation;
  }

  get waiting(): boolean {
    return this.#outbox.length > 0;
  }

  /** Whether what waits is to be proposed now; `busy`: the log waits for what others proposed. */
  readiness(now: number, busy: boolean): Readiness {
    const underWay = busy || this.#pending.get(this.#lastProposed) !== undefined;
    return this.#gathering.readiness(this.#outbox.length, this.#pending.size, underWay, now);
  }

  get count(): number {
    return this.#pending.size;
  }

  /** `bytes`: size of the command's keys and values. `done` is called once, never in this call. */
  submit(
    command: Command,
    options: { readonly bytes: number; readonly requestId?: string | undefined },
    now: number,
    done: CommandDone,
  ): StatusError | undefined {
    const { bytes, requestId } = options;
    if (bytes > this.#limits.requestBytesMax) return errors.requestTooLarge();
    if (this.#pending.size >= this.#limits.pendingCommandsMax) return errors.tooManyRequests();
    const sequence = ++this.#sequence;
    const pending: Pending = {
      id: sequence,
      command: { sequence, requestId, command },
      bytes,
      deadline: now + this.#limits.requestTimeoutMillis,
      done,
      term: 0,
      proposedAt: now,
    };
    this.#pending.add(pending);
    this.#outbox.push(pending);
    return undefined;
  }

  /**
   * What others propose goes to the log now, whether or not something of this member goes along.
   */
  forwarded(): void {
    this.#gathering.gone();
  }

  /** The waiting commands as data of log entries; the caller says what became of them. */
  take(wallMillis: number): { data: Uint8Array[]; taken: readonly unknown[] } {
    const taken = this.#outbox;
    this.#outbox = [];
    const data: Uint8Array[] = [];
    let commands: ProposedCommand[] = [];
    let bytes = 0;
    const close = () => {
      if (commands.length === 0) return;
      const incarnation = this.#incarnation;
      data.push(encodeProposal({ proposer: this.#member, incarnation, wallMillis, commands }));
      commands = [];
      bytes = 0;
    };
    for (const pending of taken) {
      const full = commands.length >= this.#limits.commandsPerEntryMax;
      if (full || bytes + pending.bytes > this.#limits.requestBytesMax) close();
      commands.push(pending.command);
      bytes += pending.bytes;
    }
    close();
    return { data, taken };
  }

  /** The taken commands are on their way to the log of `term`. */
  proposed(taken: readonly unknown[], term: number, now: number): void {
    for (const pending of taken as Pending[]) {
      pending.term = term;
      pending.proposedAt = now;
      this.#lastProposed = pending.id;
    }
    this.#gathering.gone();
  }

  /** The taken commands were not accepted, and will be offered again, before later ones. */
  putBack(taken: readonly unknown[]): void {
    this.#outbox = [...(taken as Pending[]), ...this.#outbox];
  }

  answer({ proposer, incarnation, sequence, outcome }: AppliedCommand): void {
    if (proposer !== this.#member || incarnation !== this.#incarnation) return;
    const pending = this.#pending.get(sequence);
    if (!pending) return;
    this.#pending.delete(pending);
    if (outcome.kind === "failed") pending.done(outcome.error, undefined);
    else pending.done(undefined, outcome);
  }

  /** An entry of `term` has been applied: what was proposed in earlier terms is lost. */
  termApplied(term: number): void {
    for (const pending of this.#pending.values()) {
      if (pending.term !== 0 && pending.term < term) this.#again(pending);
    }
  }

  /** Fails what has waited too long; offers again what may safely be done twice. */
  sweep(now: number, leaderKnown: boolean): void {
    let expired = false;
    for (const pending of this.#pending.values()) {
      if (now >= pending.deadline) {
        this.#pending.delete(pending);
        expired = true;
        pending.done(this.#timeout(pending, leaderKnown), undefined);
      } else if (this.#overdue(pending, now)) this.#again(pending);
    }
    if (expired) {
      const live = this.#pending;
      this.#outbox = this.#outbox.filter((p) => live.get(p.id) !== undefined);
    }
  }

  /**
   * A snapshot took the place of entries that were never applied here: whether a command was among
   * them is unknown, so only what may be done twice is proposed again.
   */
  skipped(): void {
    for (const pending of this.#pending.values()) {
      if (pending.term === 0) continue;
      if (pending.command.requestId !== undefined) this.#again(pending);
      else {
        this.#pending.delete(pending);
        pending.done(errors.timedOutLeaderFailed(), undefined);
      }
    }
  }

  /** Everything unanswered fails. */
  close(error: StatusError): void {
    for (const pending of this.#pending.values()) pending.done(error, undefined);
    this.#pending.clear();
    this.#outbox = [];
  }

  #overdue(pending: Pending, now: number): boolean {
    if (pending.term === 0 || pending.command.requestId === undefined) return false;
    return now - pending.proposedAt > this.#limits.requestTimeoutMillis / 4;
  }

  #again(pending: Pending): void {
    pending.term = 0;
    this.#outbox.push(pending);
  }

  /** A command that never left the outbox has certainly not been done. */
  #timeout(pending: Pending, leaderKnown: boolean): StatusError {
    if (pending.term === 0 && !leaderKnown) return errors.noLeader();
    return leaderKnown ? errors.timedOut() : errors.timedOutLeaderFailed();
  }
}
