/**
 * Questions that only the leader can answer: how long a lease has left, that it be kept alive, that
 * the membership be changed. Asked of the leader, again when it changes, until the deadline. (The
 * one kind that the leader asks of others is in `corruption.ts`.)
 */
import type { Answer, Call, MembershipRequest } from "../../proto/gen/raft.ts";
import { type Code, StatusError } from "../runtime/status-error.ts";
import type { MemberId, Random } from "../runtime/types.ts";
import { storeErrors as errors } from "../store/mod.ts";
import type { MemberLimits } from "./limits.ts";

export const CallKind = { keepAlive: 1, timeToLive: 2, membership: 3, hash: 4 } as const;
export type CallKind = (typeof CallKind)[keyof typeof CallKind];

export interface Question {
  readonly kind: CallKind;
  /** int64 in decimal. */
  readonly lease?: string;
  readonly membership?: MembershipRequest;
}

export interface LeaderAnswer {
  readonly found: boolean;
  readonly grantedSeconds: number;
  readonly remainingSeconds: number;
}

export type CallDone = (error: StatusError | undefined, answer: LeaderAnswer | undefined) => void;

interface Pending {
  readonly call: Call;
  readonly deadline: number;
  readonly done: CallDone;
  askedOf: MemberId | undefined;
  asked: boolean;
}

export class Calls {
  readonly #limits: MemberLimits;
  readonly #pending = new Map<number, Pending>();
  /** Begins anywhere: an answer that was meant for this member's former life must fit nothing. */
  #id: number;

  constructor(limits: MemberLimits, random: Random) {
    this.#limits = limits;
    // 48 bits: a life's calls are far fewer than what is left of 2^53.
    this.#id = random.below(2 ** 32) * 2 ** 16 + random.below(2 ** 16);
  }

  submit(question: Question, now: number, done: CallDone): StatusError | undefined {
    if (this.#pending.size >= this.#limits.pendingCallsMax) return errors.tooManyRequests();
    const id = this.newId();
    const call: Call = { ...question, id };
    const deadline = now + this.#limits.requestTimeoutMillis;
    this.#pending.set(id, { call, deadline, done, askedOf: undefined, asked: false });
    return undefined;
  }

  /** A number of its own for a call that is not among these. */
  newId(): number {
    return ++this.#id;
  }

  /** The calls that have not been sent to the present leader yet. */
  unasked(leader: MemberId): Call[] {
    const calls: Call[] = [];
    for (const pending of this.#pending.values()) {
      if (pending.askedOf === leader) continue;
      pending.askedOf = leader;
      calls.push(pending.asked ? { ...pending.call, repeated: true } : pending.call);
      pending.asked = true;
    }
    return calls;
  }

  /** The link to a member broke: whatever it was asked may be lost. Asking twice is harmless. */
  lost(member: MemberId): void {
    for (const pending of this.#pending.values()) {
      if (pending.askedOf === member) pending.askedOf = undefined;
    }
  }

  answered(answer: Answer): void {
    const pending = this.#pending.get(answer.id ?? 0);
    if (!pending) return;
    if (!answer.leads) {
      pending.askedOf = undefined;
      return;
    }
    this.#pending.delete(answer.id ?? 0);
    if (answer.code) {
      pending.done(new StatusError(answer.code as Code, answer.text ?? ""), undefined);
      return;
    }
    pending.done(undefined, {
      found: answer.found ?? false,
      grantedSeconds: answer.grantedSeconds ?? 0,
      remainingSeconds: answer.remainingSeconds ?? 0,
    });
  }

  sweep(now: number, leaderKnown: boolean): void {
    for (const [id, pending] of this.#pending) {
      if (now < pending.deadline) continue;
      this.#pending.delete(id);
      pending.done(leaderKnown ? errors.timedOut() : errors.noLeader(), undefined);
    }
  }

  close(error: StatusError): void {
    for (const pending of this.#pending.values()) pending.done(error, undefined);
    this.#pending.clear();
  }
}
