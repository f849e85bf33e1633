import type { LeaseId, Store } from "../../../ha/store/types.ts";
import type { Resource } from "../../kinds/mod.ts";
import { limits } from "../limits.ts";
import type { Backend } from "./backend.ts";

interface Granted {
  readonly lease: Promise<LeaseId>;
  readonly usableUntil: number;
}

/**
 * The store's leases on which objects hang that go by themselves, such as Events. Objects written
 * within the same minute share one, as upstream's lease manager has it.
 */
export class TimeToLive {
  readonly #store: Pick<Store, "leaseGrant">;
  readonly #now: () => number;
  readonly #granted = new Map<number, Granted>();

  constructor(store: Pick<Store, "leaseGrant">, now: () => number) {
    this.#store = store;
    this.#now = now;
  }

  /** A lease that lives at least so long, and at most a minute longer. */
  leaseFor(seconds: number): Promise<LeaseId> {
    const present = this.#granted.get(seconds);
    if (present !== undefined && this.#now() < present.usableUntil) return present.lease;
    const shared = limits.leaseSharedSeconds;
    const lease = this.#store.leaseGrant(0n, seconds + shared).then(({ id }) => id);
    const granted = { lease, usableUntil: this.#now() + 1000 * shared };
    this.#granted.set(seconds, granted);
    // The next write tries again; this one is told.
    lease.catch(() => {
      if (this.#granted.get(seconds) === granted) this.#granted.delete(seconds);
    });
    return lease;
  }
}

/** On which lease an object of the resource is put; undefined: it stays. */
export async function leaseOf(backend: Backend, resource: Resource): Promise<LeaseId | undefined> {
  const { timeToLiveSeconds } = resource;
  return timeToLiveSeconds === undefined
    ? undefined
    : backend.timeToLive.leaseFor(timeToLiveSeconds);
}
