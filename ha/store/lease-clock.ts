/**
 * When leases expire: kept by the leader alone, in its own monotonic milliseconds, which every call
 * brings along. Nothing here is replicated; a new leader gives every lease its full time again
 * (etcd's `Promote`), so a lease may live longer than granted but never shorter.
 */
import * as errors from "./errors.ts";
import type { LeaseObserver, Leases } from "./leases.ts";
import type { LeaseId } from "./types.ts";

/** A revocation that was not carried out is asked for again after this. */
const retryMillis = 1000;

interface Due {
  readonly id: LeaseId;
  readonly at: number;
}

export class LeaseClock implements LeaseObserver {
  private readonly leases: Leases;
  /** Undefined: not the leader. */
  private deadlines: Map<LeaseId, number> | undefined;
  /** Min-heap by time. A lease that was kept alive since is put back when its turn comes. */
  private heap: Due[] = [];
  /** Granted since the last call that told the time. */
  private fresh: LeaseId[] = [];

  constructor(leases: Leases) {
    this.leases = leases;
    leases.observer = this;
  }

  get leading(): boolean {
    return this.deadlines !== undefined;
  }

  promote(now: number): void {
    this.deadlines = new Map();
    this.heap = [];
    this.fresh = this.leases.ids();
    this.start(now);
  }

  demote(): void {
    this.deadlines = undefined;
    this.heap = [];
    this.fresh = [];
  }

  leaseGranted(id: LeaseId): void {
    if (this.deadlines !== undefined) this.fresh.push(id);
  }

  leaseRevoked(id: LeaseId): void {
    this.deadlines?.delete(id);
  }

  /** Gives a lease its full time again, in seconds. Throws `leaseNotFound`, `notLeader`. */
  keepAlive(id: LeaseId, now: number): number {
    const deadlines = this.start(now);
    const lease = this.leases.get(id);
    const deadline = deadlines.get(id);
    if (lease === undefined || deadline === undefined || deadline <= now) {
      throw errors.leaseNotFound();
    }
    deadlines.set(id, now + lease.seconds * 1000);
    return lease.seconds;
  }

  /** Whole seconds left; -1 when there is no such lease. Throws `notLeader`. */
  remaining(id: LeaseId, now: number): number {
    const deadline = this.start(now).get(id);
    return deadline === undefined ? -1 : Math.max(0, Math.floor((deadline - now) / 1000));
  }

  /** At most `limit` leases whose time is up, to be revoked. Each is named again after a while. */
  expired(now: number, limit: number): LeaseId[] {
    if (this.deadlines === undefined) return [];
    const deadlines = this.start(now);
    const ids: LeaseId[] = [];
    while (ids.length < limit) {
      const next = this.heap[0];
      if (next === undefined || next.at > now) break;
      this.pop();
      const deadline = deadlines.get(next.id);
      if (deadline === undefined) continue;
      if (deadline > now) this.push({ id: next.id, at: deadline });
      else {
        ids.push(next.id);
        this.push({ id: next.id, at: now + retryMillis });
      }
    }
    return ids;
  }

  private start(now: number): Map<LeaseId, number> {
    const { deadlines } = this;
    if (deadlines === undefined) throw errors.notLeader();
    for (const id of this.fresh) {
      const lease = this.leases.get(id);
      if (lease === undefined) continue;
      const at = now + lease.seconds * 1000;
      deadlines.set(id, at);
      this.push({ id, at });
    }
    if (this.fresh.length > 0) this.fresh = [];
    return deadlines;
  }

  private push(due: Due): void {
    const { heap } = this;
    let index = heap.length;
    heap.push(due);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent] as Due;
      if (above.at <= due.at) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = due;
  }

  private pop(): void {
    const { heap } = this;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      const left = heap[child];
      if (left === undefined) break;
      const right = heap[child + 1];
      if (right !== undefined && right.at < left.at) child++;
      const smaller = heap[child] as Due;
      if (smaller.at >= last.at) break;
      heap[index] = smaller;
      index = child;
    }
    heap[index] = last;
  }
}
