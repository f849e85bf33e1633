/**
 * Questions that only the leader can answer and that need no log entry: how long a lease has left,
 * and that it be kept alive. Asked of the leader, again when it changes, until the deadline.
 */
import type { Answer, Call } from "../../proto/gen/raft.ts";
import type { StatusError } from "../runtime/status-error.ts";
import type { MemberId } from "../runtime/types.ts";
import { storeErrors as errors } from "../store/mod.ts";
import type { MemberLimits } from "./limits.ts";

export const CallKind = { keepAlive: 1, timeToLive: 2 } as const;
export type CallKind = (typeof CallKind)[keyof typeof CallKind];

export interface LeaseAnswer {
  readonly found: boolean;
  readonly grantedSeconds: number;
  readonly remainingSeconds: number;
}

export type CallDone = (error: StatusError | undefined, answer: LeaseAnswer | undefined) => void;

interface Pending {
  readonly call: Call;
  readonly deadline: number;
  readonly done: CallDone;
  askedOf: MemberId | undefined;
}

export class Calls {
  readonly #limits: MemberLimits;
  readonly #pending = new Map<number, Pending>();
  #id = 0;

  constructor(limits: MemberLimits) {
    this.#limits = limits;
  }

  submit(kind: CallKind, lease: bigint, now: number, done: CallDone): StatusError | undefined {
    if (this.#pending.size >= this.#limits.pendingCallsMax) return errors.tooManyRequests();
    const call: Call = { id: ++this.#id, kind, lease: lease.toString() };
    const deadline = now + this.#limits.requestTimeoutMillis;
    this.#pending.set(this.#id, { call, deadline, done, askedOf: undefined });
    return undefined;
  }

  /** What the present leader has not been asked yet. */
  unasked(leader: MemberId): Call[] {
    const calls: Call[] = [];
    for (const pending of this.#pending.values()) {
      if (pending.askedOf === leader) continue;
      pending.askedOf = leader;
      calls.push(pending.call);
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
