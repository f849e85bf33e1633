/** What one Lease says, and what may be concluded from having watched it. */
import type { Lease, LeaseSpec } from "../../proto/gen/coordination.ts";

/**
 * A Lease as this process has seen it change. Whether it has run out is judged by how long ago, on
 * this process's own clock, it last changed: clocks of different hosts are never compared.
 */
export interface Observed {
  readonly lease: Lease;
  readonly atMillis: number;
}

export function observe(previous: Observed | undefined, lease: Lease, nowMillis: number): Observed {
  if (previous && isOlder(lease, previous.lease)) return previous;
  const same = previous && text(previous.lease.spec) === text(lease.spec);
  return { lease, atMillis: same ? previous.atMillis : nowMillis };
}

export function holderOf(lease: Lease | undefined): string {
  return lease?.spec?.holderIdentity ?? "";
}

/** Milliseconds until the Lease may be taken from its holder; 0 or less: now. */
export function millisUntilFree(
  observed: Observed,
  ownLeaseMillis: number,
  nowMillis: number,
): number {
  if (holderOf(observed.lease) === "") return 0;
  return observed.atMillis + durationMillis(observed.lease, ownLeaseMillis) - nowMillis;
}

/** A Lease can only say whole seconds; among candidates set alike their own finer value counts. */
function durationMillis(lease: Lease, ownLeaseMillis: number): number {
  const seconds = lease.spec?.leaseDurationSeconds;
  return seconds === undefined || seconds === leaseSeconds(ownLeaseMillis)
    ? ownLeaseMillis
    : seconds * 1000;
}

export function leaseSeconds(leaseMillis: number): number {
  return Math.max(1, Math.ceil(leaseMillis / 1000));
}

export function microTime(wallMillis: number): string {
  return new Date(wallMillis).toISOString().replace("Z", "000Z");
}

function text(spec: LeaseSpec | undefined): string {
  return JSON.stringify([
    spec?.holderIdentity,
    spec?.leaseDurationSeconds,
    spec?.acquireTime,
    spec?.renewTime,
    spec?.leaseTransitions,
  ]);
}

function isOlder(lease: Lease, than: Lease): boolean {
  if (lease.metadata?.uid !== than.metadata?.uid) return false;
  const [a, b] = [lease, than].map((each) => Number(each.metadata?.resourceVersion));
  return a !== undefined && b !== undefined && a < b;
}
