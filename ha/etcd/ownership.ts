/**
 * The queue behind locks and elections: keys `name/<lease in hex>`, each of which lives as long as
 * its lease, ordered by create revision. The first key of the queue owns the lock. Every other
 * waiter watches the key just before its own, so that a change wakes one waiter and not all of
 * them. Source: etcd `client/v3/concurrency`.
 */
import type { CallContext } from "../rpc/mod.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type {
  KeyRange,
  KeyValue,
  LeaseId,
  Operation,
  RangeRequest,
  Revision,
  TxnResponse,
} from "../store/mod.ts";
import type { StoreAccess } from "./access.ts";
import { prefixEnd } from "./bytes.ts";
import type { Caller } from "./caller.ts";
import { etcdLimits } from "./limits.ts";

const slash = Buffer.from("/");
const millisPerSecond = 1000;

/** All keys of the queue. */
export function queueOf(name: Uint8Array): KeyRange {
  const key = Buffer.concat([name, slash]);
  return { key, rangeEnd: prefixEnd(key) };
}

export function keyOf(name: Uint8Array, lease: LeaseId): Buffer {
  return Buffer.concat([name, slash, Buffer.from(lease.toString(16))]);
}

/** The first of the queue. */
export function firstOf(queue: KeyRange): RangeRequest {
  return { ...queue, limit: 1, sort: { by: "create", order: "ascending" } };
}

/** Keeps the lease of a waiting caller alive, as etcd does for the length of the call. */
export class CallerLease {
  readonly id: LeaseId;
  /** The caller gave none: it was made for this call, and goes with it if the call fails. */
  private readonly own: boolean;
  private readonly access: StoreAccess;
  private timer: NodeJS.Timeout | undefined;

  private constructor(access: StoreAccess, id: LeaseId, own: boolean) {
    this.access = access;
    this.id = id;
    this.own = own;
  }

  static async open(access: StoreAccess, caller: Caller, lease: LeaseId): Promise<CallerLease> {
    await access.requireUser(caller);
    if (lease === 0n) {
      const granted = await access.store.leaseGrant(0n, etcdLimits.sessionSeconds);
      return new CallerLease(access, granted.id, true);
    }
    await access.requireLeaseWrite(caller, lease);
    return new CallerLease(access, lease, false);
  }

  /** From now on until {@link release} or {@link abandon}. */
  async keep(): Promise<void> {
    const seconds = await this.access.store.leaseKeepAlive(this.id);
    const millis = Math.max(1, seconds / 3) * millisPerSecond;
    this.timer = setInterval(() => {
      this.access.store.leaseKeepAlive(this.id).catch((thrown: unknown) => {
        // A lease that is gone takes the caller's key with it, which the waiting ends on.
        const { message } = StatusError.from(thrown);
        this.access.options.log.debug("a waiting caller's lease was not renewed", {
          error: message,
        });
      });
    }, millis);
  }

  /** The caller has what it wanted, and looks after the lease from now on. */
  release(): void {
    clearInterval(this.timer);
  }

  /** The call has failed, for a reason that its caller is about to be told. Never throws. */
  async abandon(): Promise<void> {
    clearInterval(this.timer);
    if (!this.own) return;
    await this.access.store.leaseRevoke(this.id).catch((thrown: unknown) => {
      // The lease expires by itself later.
      const { message } = StatusError.from(thrown);
      this.access.options.log.debug("a lease was not revoked", { error: message });
    });
  }
}

/** Waits until the queue holds no key that is older than `createRevision`. */
export async function waitForTurn(
  access: StoreAccess,
  caller: Caller,
  queue: KeyRange,
  createRevision: number,
  context: CallContext,
): Promise<void> {
  const before: RangeRequest = {
    ...queue,
    limit: 1,
    sort: { by: "create", order: "descending" },
    maxCreateRevision: (createRevision - 1) as Revision,
  };
  // No create revision is below the first one.
  if (createRevision <= 1) return;
  for (;;) {
    const { kvs, revision } = await access.range(caller, before, { signal: context.signal });
    const [predecessor] = kvs;
    if (predecessor === undefined) return;
    await waitForDelete(access, caller, predecessor, revision, context);
  }
}

async function waitForDelete(
  access: StoreAccess,
  caller: Caller,
  { key }: KeyValue,
  revision: Revision,
  context: CallContext,
): Promise<void> {
  const startRevision = (revision + 1) as Revision;
  const request = { key, startRevision, filters: ["put"] as const };
  const stream = await access.watch(caller, request);
  const stop = () => stream.close();
  context.signal.addEventListener("abort", stop, { once: true });
  try {
    if (context.signal.aborted) throw gone();
    for await (const { events } of stream) if (events.length > 0) return;
    throw gone();
  } finally {
    context.signal.removeEventListener("abort", stop);
    stream.close();
  }
}

function gone(): StatusError {
  return new StatusError(Code.cancelled, "the caller has gone");
}

export interface Entered {
  readonly key: Buffer;
  readonly createRevision: number;
  /** False: the key was there before this call. */
  readonly created: boolean;
  /** The value of the key, if it was there. */
  readonly value: Uint8Array | undefined;
  readonly answer: TxnResponse;
}

/** Puts the caller's key into the queue, unless it is there; `more` is done in either case. */
export async function enterQueue(
  access: StoreAccess,
  caller: Caller,
  key: Buffer,
  value: Uint8Array,
  lease: LeaseId,
  more: readonly Operation[] = [],
): Promise<Entered> {
  const answer = await access.txn(
    caller,
    {
      compares: [{ key, target: "create", operator: "=", operand: 0 }],
      success: [{ op: "put", key, value, lease }, ...more],
      failure: [{ op: "range", key }, ...more],
    },
    {},
  );
  const [result] = answer.results;
  const present = result?.op === "range" ? result.kvs[0] : undefined;
  return {
    key,
    createRevision: present?.createRevision ?? answer.revision,
    created: answer.succeeded,
    value: present?.value,
    answer,
  };
}

/**
 * Undoes what a failed call put into the queue; one that found its key there leaves it. Never
 * throws: the key ends with its lease in any case.
 */
export async function withdraw(
  access: StoreAccess,
  caller: Caller,
  entered: Entered,
): Promise<void> {
  if (!entered.created) return;
  const { key, createRevision } = entered;
  await leaveQueue(access, caller, key, createRevision).catch((thrown: unknown) => {
    const { message } = StatusError.from(thrown);
    access.options.log.debug("a waiting caller's key was not removed", { error: message });
  });
}

/** Takes the key out of the queue, if it is still the one that was put there. */
export function leaveQueue(
  access: StoreAccess,
  caller: Caller,
  key: Uint8Array,
  createRevision: number,
): Promise<TxnResponse> {
  return access.txn(
    caller,
    {
      compares: [{ key, target: "create", operator: "=", operand: createRevision }],
      success: [{ op: "delete", key }],
      failure: [],
    },
    {},
  );
}
