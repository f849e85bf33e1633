/**
 * The writes of one candidate to its Lease.
 *
 *   observed ──free──▶ take ──▶ renew … ──▶ release
 */

import type { Lease, LeaseSpec } from "../../proto/gen/coordination.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import {
  holderOf,
  leaseSeconds,
  microTime,
  millisUntilFree,
  type Observed,
  observe,
} from "./lease-record.ts";
import type { ElectionClock } from "./options.ts";
import { Prospect } from "./prospect.ts";
import type { ElectionOptions, FencingToken } from "./types.ts";

export class Candidate {
  readonly #options: ElectionOptions;
  readonly #clock: ElectionClock;
  readonly #prospect: Prospect;
  #observed: Observed | undefined;
  #announced = "";

  constructor(options: ElectionOptions, clock: ElectionClock) {
    this.#options = options;
    this.#clock = clock;
    this.#prospect = new Prospect(options, clock);
  }

  get holder(): string {
    return holderOf(this.#observed?.lease);
  }

  note(lease: Lease): void {
    this.#observed = observe(this.#observed, lease, this.#clock.monotonicMillis());
    this.#prospect.seen(this.#observed);
    const { identity, observed } = this.#options;
    if (this.holder === this.#announced) return;
    this.#announced = this.holder;
    if (this.holder !== "" && this.holder !== identity) observed?.(this.holder);
  }

  /** Milliseconds until the Lease as last seen may be taken. */
  millisUntilFree(): number {
    if (!this.#observed) return 0;
    const { leaseMillis } = this.#options;
    return millisUntilFree(this.#observed, leaseMillis, this.#clock.monotonicMillis());
  }

  /** Ends its timer. */
  close(): void {
    this.#prospect.close();
  }

  /** Takes the Lease when it is free; undefined: another candidate holds it, or was quicker. */
  async take(): Promise<FencingToken | undefined> {
    const { client, identity, name, namespace } = this.#options;
    const seen = this.#observed?.lease;
    if (seen && holderOf(seen) !== identity && this.millisUntilFree() <= 0) {
      // Free as last seen: what has changed unseen is a conflict, and is then read.
      const token = this.#taken(await this.#contended(client.update(this.#claimed(seen))));
      if (token) return token;
    }
    const stored = await client.get(namespace, name);
    if (!stored) {
      const lease = { ...identityOf(this.#options), spec: this.#spec(undefined) };
      return this.#taken(await this.#contended(client.create(lease)));
    }
    this.note(stored);
    let current: Lease | undefined = stored;
    if (holderOf(stored) === identity) {
      // Taken by an answer that never arrived, or in an earlier life under the same name. Only a
      // change of holder moves the fence, and only its revision is a token: so give it back first.
      current = await this.#contended(client.update(this.#released(stored)));
      if (current) this.note(current);
    } else if (this.millisUntilFree() > 0) return undefined;
    if (!current) return undefined;
    return this.#taken(await this.#contended(client.update(this.#claimed(current))));
  }

  /** False: another candidate holds the Lease. Throws when the answer is not known. */
  async renew(): Promise<boolean> {
    const { client, identity, name, namespace } = this.#options;
    let lease = this.#observed?.lease;
    if (!lease || holderOf(lease) !== identity) return false;
    const renewed = await this.#contended(client.update(this.#renewed(lease)));
    if (renewed) {
      this.note(renewed);
      return true;
    }
    lease = await client.get(namespace, name);
    if (lease) this.note(lease);
    if (!lease || holderOf(lease) !== identity) return false;
    // An earlier renewal had arrived after all, or another client edited the Lease's metadata.
    this.note(await client.update(this.#renewed(lease)));
    return true;
  }

  async release(): Promise<void> {
    const lease = this.#observed?.lease;
    if (!lease || holderOf(lease) !== this.#options.identity) return;
    const released = await this.#contended(this.#options.client.update(this.#released(lease)));
    if (released) this.note(released);
  }

  #taken(lease: Lease | undefined): FencingToken | undefined {
    if (!lease) return undefined;
    this.note(lease);
    const { name, namespace } = this.#options;
    const token = lease.metadata?.resourceVersion;
    if (!token) throw new StatusError(Code.internal, "the Lease came back without a revision");
    return { lease: `${namespace}/${name}`, token };
  }

  #spec(previous: LeaseSpec | undefined): LeaseSpec {
    const now = microTime(this.#clock.wallMillis());
    return {
      holderIdentity: this.#options.identity,
      leaseDurationSeconds: leaseSeconds(this.#options.leaseMillis),
      acquireTime: now,
      renewTime: now,
      leaseTransitions: previous ? (previous.leaseTransitions ?? 0) + 1 : 0,
    };
  }

  #claimed(lease: Lease): Lease {
    return { ...lease, spec: this.#spec(lease.spec) };
  }

  #renewed(lease: Lease): Lease {
    return { ...lease, spec: { ...lease.spec, renewTime: microTime(this.#clock.wallMillis()) } };
  }

  #released(lease: Lease): Lease {
    const now = microTime(this.#clock.wallMillis());
    return {
      ...lease,
      spec: {
        ...lease.spec,
        holderIdentity: "",
        leaseDurationSeconds: 1,
        acquireTime: now,
        renewTime: now,
      },
    };
  }

  /** Undefined when another write came first. */
  async #contended(write: Promise<Lease>): Promise<Lease | undefined> {
    try {
      return await write;
    } catch (thrown) {
      const error = StatusError.from(thrown);
      if (lostRace.has(error.code)) return undefined;
      throw error;
    }
  }
}

/** Changed, made and deleted meanwhile. */
const lostRace: ReadonlySet<Code> = new Set([Code.aborted, Code.alreadyExists, Code.notFound]);

function identityOf({ name, namespace }: ElectionOptions): Lease {
  return {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { name, namespace },
  };
}
