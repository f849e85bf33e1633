/**
 * Leases with a key attached, kept alive for a while, then left alone or revoked.
 *
 * A key with a lease never disappears before the lease's time since the last acknowledged
 * keep-alive is over, and does disappear some time later.
 */

import { Violation } from "../../services/drill/checker/violation.ts";
import { bytes, Caller } from "./caller.ts";
import { between, type Chance } from "./chance.ts";
import type { Cluster } from "./cluster.ts";
import type { TrueEvent } from "./truth.ts";

export interface LeaseRecord {
  readonly key: string;
  readonly lease: bigint;
  readonly seconds: number;
  /** When acknowledged grants and keep-alives were asked for; the grant is the first. */
  readonly renewed: number[];
  /** From then on its end is its owner's wish. */
  revokedAt: number | undefined;
}

/** Clocks drift; a millisecond more for rounding. */
const driftMax = 0.001;

export class LeaseClient extends Caller {
  readonly records: LeaseRecord[] = [];
  #leases = 0;

  constructor(name: string, cluster: Cluster, chance: Chance) {
    super(name, cluster, chance);
  }

  protected async act(): Promise<void> {
    await this.pause(between(this.chance, 10, 400));
    const called = this.now;
    const seconds = between(this.chance, 1, 2);
    const granted = await this.ask((store) => store.leaseGrant(0n, seconds));
    if (granted?.kind !== "done") return;
    const record: LeaseRecord = {
      key: `/leases/${this.name}.${++this.#leases}`,
      lease: granted.value.id,
      seconds: granted.value.seconds,
      renewed: [called],
      revokedAt: undefined,
    };
    this.records.push(record);
    await this.#attach(record);
    const renewals = this.chance.below(8);
    for (let i = 0; i < renewals && !this.stopped; i++) {
      if (!(await this.#keepAlive(record))) break;
    }
    if (this.chance.below(4) > 0) return;
    record.revokedAt = this.now;
    await this.ask((store) => store.leaseRevoke(record.lease));
  }

  async #attach({ key, lease }: LeaseRecord): Promise<void> {
    const put = { op: "put", key: bytes(key), value: bytes(String(lease)), lease } as const;
    await this.ask((store) => store.txn({ compares: [], success: [put], failure: [] }));
  }

  async #keepAlive(record: LeaseRecord): Promise<boolean> {
    // Mostly in good time, sometimes too late.
    await this.pause(between(this.chance, 50, record.seconds * 1_050));
    const called = this.now;
    const answer = await this.ask((store) => store.leaseKeepAlive(record.lease));
    if (answer?.kind === "done") record.renewed.push(called);
    // Not found: its time was up. Whether it might be is for the check to say.
    return answer?.kind !== "failed";
  }
}

export function assertLeasesLastLong(
  records: readonly LeaseRecord[],
  events: readonly TrueEvent[],
): void {
  const ends = new Map(
    events.filter(({ type }) => type === "delete").map(({ key, at }) => [key, at]),
  );
  for (const { key, seconds, renewed, revokedAt } of records) {
    const end = ends.get(key);
    if (end === undefined || (revokedAt !== undefined && revokedAt < end)) continue;
    for (const asked of renewed) {
      if (asked > end) {
        const text = `${key} ended at ${end} ms, and was kept alive at ${asked} ms`;
        throw new Violation(`lease exclusion: ${text}`);
      }
      if (end >= asked + seconds * 1_000 * (1 - driftMax) - 1) continue;
      const text = `${key} disappeared at ${end} ms, ${(end - asked).toFixed(1)} ms after it was`;
      throw new Violation(`lease duration: ${text} renewed for ${seconds} s`);
    }
  }
}

/** Keys of leases that are still there. */
export function leasedKeysLeft(events: readonly TrueEvent[]): ReadonlySet<string> {
  const left = new Set<string>();
  for (const { key, lease, type } of events) {
    if (type === "delete") left.delete(key);
    else if (lease !== 0n) left.add(key);
  }
  return left;
}
