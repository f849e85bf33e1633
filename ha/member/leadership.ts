/**
 * The leader as far as this member knows it: the member tells its listeners of every change here,
 * and transfers leadership on demand.
 */
import { type Raft, Role, type Term } from "../raft/mod.ts";
import type { StatusError } from "../runtime/status-error.ts";
import type { Cancel, MemberId, Runtime } from "../runtime/types.ts";
import { storeErrors as errors } from "../store/mod.ts";
import type { MemberLimits } from "./limits.ts";

export interface LeadershipStatus {
  readonly role: Role;
  readonly leader: MemberId | undefined;
  readonly term: Term;
}

/** What {@link Leadership} needs of its member. */
export interface LeadershipHost {
  readonly id: MemberId;
  readonly runtime: Runtime;
  readonly limits: MemberLimits;
  readonly raft: Raft;
  isLinked(id: MemberId): boolean;
  /** The linked peers, the one linked longest first. */
  linked(): readonly MemberId[];
  running(): boolean;
  /** Why the member serves no callers; undefined while it does serve them. */
  failure(): StatusError | undefined;
  /** The leader, the role of this member, or the term has changed. */
  changed(before: LeadershipStatus, present: LeadershipStatus): void;
  wake(): void;
}

export class Leadership {
  readonly #host: LeadershipHost;
  #status: LeadershipStatus;
  readonly #listeners = new Set<() => void>();
  #cancelCampaign: Cancel = () => {};

  constructor(host: LeadershipHost) {
    this.#host = host;
    this.#status = this.#present();
  }

  get status(): LeadershipStatus {
    return this.#status;
  }

  get leads(): boolean {
    return this.#status.role === Role.leader;
  }

  get leaderKnown(): boolean {
    return this.#status.leader !== undefined;
  }

  /** Compares the state with that of the consensus core. The turn loop calls this once a turn. */
  notice(): void {
    const before = this.#status;
    const present = this.#present();
    const changed =
      before.role !== present.role ||
      before.leader !== present.leader ||
      before.term !== present.term;
    if (!changed) return;
    this.#status = present;
    this.#host.changed(before, present);
    this.tell();
  }

  /** Called after leader, role, term, a link or the roster has changed. */
  onChange(listener: () => void): Cancel {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Calls the listeners at once. */
  tell(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Calls the listeners in an event of its own, so that they see what has just been applied. */
  tellSoon(): void {
    this.#host.runtime.clock.soon(() => this.tell());
  }

  /** Hands leadership from this member to the voter `to`. Resolves when `to` leads. */
  async moveTo(to: MemberId, millisMax: number): Promise<void> {
    const { raft, id } = this.#host;
    const { role, membership } = raft.status();
    const failure = this.#host.failure();
    if (failure) throw failure;
    if (role !== Role.leader) throw errors.notLeader();
    if (to === id) return;
    if (!membership.voters.includes(to)) throw errors.badTransferee();
    raft.transferLeadership(to);
    this.#host.wake();
    await this.#untilChanged(() => this.#status.leader === to, millisMax);
    if (this.#status.leader !== to) throw errors.timedOut();
  }

  /** Asks the best peer to take over, if this member leads; resolves when it has. */
  async handOver(millisMax: number): Promise<void> {
    const { raft, id } = this.#host;
    if (raft.status().role !== Role.leader || !this.#host.running()) return;
    const successor = this.#successor();
    if (successor === undefined) return;
    raft.transferLeadership(successor);
    this.#host.wake();
    // If this member closed its links before its peers knew the new leader, they would elect again.
    await this.#untilChanged(() => this.leaderKnown && this.#status.leader !== id, millisMax);
  }

  /**
   * Of the voters that lack few entries, the one linked longest: a member that has just started is
   * still cold, and not all callers have found it. Without such a voter, the one that lacks least.
   */
  #successor(): MemberId | undefined {
    const { raft, limits } = this.#host;
    const { progress, lastIndex } = raft.status();
    const voters = this.#host.linked().flatMap((id) => {
      const peer = progress.find((each) => each.id === id && !each.learner);
      return peer === undefined ? [] : [peer];
    });
    const near = voters.find(({ match }) => lastIndex - match <= limits.successorLagEntries);
    return (near ?? voters.toSorted((a, b) => b.match - a.match)[0])?.id;
  }

  /**
   * Campaigns without waiting for the election timeout, if no leader is known and a quorum is
   * linked. Pre-vote keeps this harmless.
   */
  campaignSoon(): void {
    const { id, raft, runtime, limits } = this.#host;
    const { voters } = raft.status().membership;
    const there = voters.filter((voter) => voter === id || this.#host.isLinked(voter)).length;
    const quorum = Math.floor(voters.length / 2) + 1;
    if (this.leaderKnown || there < quorum) return;
    const delay = 1 + runtime.random.below(limits.tickMillis);
    this.stop();
    this.#cancelCampaign = runtime.clock.after(delay, () => {
      if (!this.#host.running() || this.leaderKnown) return;
      raft.campaign();
      this.#host.wake();
    });
  }

  /** Cancels a planned campaign. */
  stop(): void {
    this.#cancelCampaign();
  }

  #present(): LeadershipStatus {
    const { role, leader, term } = this.#host.raft;
    return { role, leader, term };
  }

  /** Resolves when the condition holds after a change, or when the time has run out. */
  #untilChanged(condition: () => boolean, millisMax: number): Promise<void> {
    return new Promise<void>((resolve) => {
      const end = () => {
        stop();
        cancel();
        resolve();
      };
      const cancel = this.#host.runtime.clock.after(millisMax, end);
      const stop = this.onChange(() => {
        if (condition() || this.#host.failure()) end();
      });
    });
  }
}
