/** Answers calls about leases while this member leads, and names the leases that have expired. */
import type { Answer, Call } from "../../proto/gen/raft.ts";
import type { Clock } from "../runtime/types.ts";
import { LeaseClock, type LeaseId, type StateMachine } from "../store/mod.ts";
import { CallKind } from "./calls.ts";

export interface LeaseHost {
  readonly clock: Clock;
  /** The term in which this member leads; undefined while it does not lead. */
  leadingTerm(): number | undefined;
  /**
   * Calls back when a quorum has confirmed that no newer leader existed at the time of the call.
   */
  confirm(done: (confirmed: boolean) => void): void;
  wake(): void;
}

export class LeaseKeeper {
  readonly #host: LeaseHost;
  #machine: StateMachine;
  #clock: LeaseClock;

  constructor(host: LeaseHost, machine: StateMachine) {
    this.#host = host;
    this.#machine = machine;
    this.#clock = new LeaseClock(machine.leases);
  }

  /** An installed snapshot has replaced the state machine. */
  reset(machine: StateMachine): void {
    this.#machine = machine;
    this.#clock = new LeaseClock(machine.leases);
  }

  /** `knowsAll`: the member has applied an entry of the present term, so it knows all leases. */
  noticeLeadership(leads: boolean, knowsAll: boolean, now: number): void {
    if (leads && knowsAll && !this.#clock.leading) this.#clock.promote(now);
    else if (!leads && this.#clock.leading) this.#clock.demote();
  }

  /** At most `most` leases that have expired; none while this member does not lead. */
  expired(now: number, most: number): readonly LeaseId[] {
    return this.#clock.leading ? this.#clock.expired(now, most) : [];
  }

  /**
   * An answer is a promise about time, and the next leader has its own clock: it is given only once
   * a quorum has confirmed that there was no next leader when the lease was renewed. A member that
   * was cut off or paused would promise what its successor does not keep.
   */
  answer(call: Call, tell: (answer: Answer) => void): void {
    const { leadingTerm, confirm, wake } = this.#host;
    const answer = this.#answer(call);
    const term = leadingTerm();
    if (!answer.leads || term === undefined) {
      tell({ id: answer.id, leads: false });
      return;
    }
    confirm((confirmed) => {
      // The read may have been served by the next leader.
      tell(confirmed && leadingTerm() === term ? answer : { id: answer.id, leads: false });
      wake();
    });
  }

  #answer(call: Call): Answer {
    const id = call.id ?? 0;
    if (!this.#clock.leading) return { id, leads: false };
    const now = this.#host.clock.monotonicMillis();
    let lease: bigint;
    try {
      lease = BigInt(call.lease ?? "");
    } catch {
      return { id, leads: true, found: false }; // No number: certainly no lease.
    }
    const granted = this.#machine.leases.get(lease)?.seconds;
    if (granted === undefined) return { id, leads: true, found: false };
    let remainingSeconds: number;
    try {
      const keep = call.kind === CallKind.keepAlive;
      remainingSeconds = keep
        ? this.#clock.keepAlive(lease, now)
        : this.#clock.remaining(lease, now);
    } catch {
      return { id, leads: true, found: false }; // Its time is up; the revocation is on its way.
    }
    return { id, leads: true, found: true, grantedSeconds: granted, remainingSeconds };
  }
}
