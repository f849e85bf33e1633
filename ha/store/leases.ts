/**
 * Granted leases and the keys attached to them: the replicated part. When a lease expires is not
 * decided here but by the leader's {@link LeaseClock}, which proposes the revocation.
 */
import { assert } from "../runtime/assert.ts";
import type { DiskOperation } from "../runtime/types.ts";
import { seal } from "./checksum.ts";
import { encodeLease, leaseKey } from "./layout.ts";
import type { LeaseId } from "./types.ts";

export interface Lease {
  readonly id: LeaseId;
  readonly seconds: number;
  readonly keys: Set<string>;
}

/** Hears of the changes that `apply` makes to leases. */
export interface LeaseObserver {
  leaseGranted(id: LeaseId): void;
  leaseRevoked(id: LeaseId): void;
}

export class Leases {
  private readonly byId = new Map<LeaseId, Lease>();
  private operations: DiskOperation[] = [];
  /** Set by the clock that measures the leases' time. */
  observer: LeaseObserver | undefined;

  get(id: LeaseId): Lease | undefined {
    return this.byId.get(id);
  }

  get size(): number {
    return this.byId.size;
  }

  ids(): LeaseId[] {
    return [...this.byId.keys()].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  }

  grant(id: LeaseId, seconds: number): void {
    this.restore(id, seconds);
    const key = leaseKey(id);
    this.operations.push({ key, value: seal(key, encodeLease(id, seconds)) });
    this.observer?.leaseGranted(id);
  }

  /** A lease read from disk. */
  restore(id: LeaseId, seconds: number): void {
    assert(!this.byId.has(id), `lease ${id} is granted once`);
    this.byId.set(id, { id, seconds, keys: new Set() });
  }

  /** Removes a lease. Its keys must have been deleted before. */
  revoke(id: LeaseId): void {
    this.byId.delete(id);
    this.operations.push({ key: leaseKey(id) });
    this.observer?.leaseRevoked(id);
  }

  /** A key changed hands; 0n is no lease. */
  move(key: string, from: LeaseId, to: LeaseId): void {
    if (from === to) return;
    if (from !== 0n) this.byId.get(from)?.keys.delete(key);
    if (to === 0n) return;
    const lease = this.byId.get(to);
    assert(lease !== undefined, `lease ${to} exists when a key is attached`);
    lease.keys.add(key);
  }

  get hasOperations(): boolean {
    return this.operations.length > 0;
  }

  takeOperations(into: DiskOperation[]): void {
    if (this.operations.length === 0) return;
    for (const operation of this.operations) into.push(operation);
    this.operations = [];
  }
}
