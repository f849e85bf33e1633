/**
 * What locks and elections have in common: keys `name/<lease in hex>`, each alive as long as its
 * lease, in a queue by create revision. Whoever is first owns; everybody else waits for the one
 * just before to go, so that a change wakes one and not all. Source: etcd
 * `client/v3/concurrency`.
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
import { prefixEnd } from "./bytes.ts";
import type { Caller } from "./caller.ts";
import type { Front } from "./front.ts";
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
  private readonly front: Front;
  private timer: NodeJS.Timeout | undefined;

  private constructor(front: Front, id: LeaseId, own: boolean) {
    this.front = front;
    this.id = id;
    this.own = own;
  }

  static async open(front: Front, caller: Caller, lease: LeaseId): Promise<CallerLease> {
    await front.someone(caller);
    if (lease === 0n) {
      const granted = await front.store.leaseGrant(0n, etcdLimits.sessionSeconds);
      return new CallerLease(front, granted.id, true);
    }
    await front.leaseWriter(caller, lease);
    return new CallerLease(front, lease, false);
  }

  /** From now on until {@link release} or {@link abandon}. */
  async keep(): Promise<void> {
    const seconds = await this.front.store.leaseKeepAlive(this.id);
    const millis = Math.max(1, seconds / 3) * millisPerSecond;
    this.timer = setInterval(() => {
      this.front.store.leaseKeepAlive(this.id).catch((thrown: unknown) => {
        // A lease that is gone takes the caller's key with it, which the waiting ends on.
        const { message } = StatusError.from(thrown);
        this.front.options.log.debug("a waiting caller's lease was not renewed", {
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
    await this.front.store.leaseRevoke(this.id).catch((thrown: unknown) => {
      // It ends by itself, later.
      const { message } = StatusError.from(thrown);
      this.front.options.log.debug("a lease was not revoked", { error: message });
    });
  }
}

/** Waits until nobody in the queue was there before `createRevision`. */
export async function waitForTurn(
  front: Front,
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
  // Nobody's create revision is below the first one there can be.
  if (createRevision <= 1) return;
  for (;;) {
    const { kvs, revision } = await front.range(caller, before, { signal: context.signal });
    const [predecessor] = kvs;
    if (predecessor === undefined) return;
    await waitForDelete(front, caller, predecessor, revision, context);
  }
}

async function waitForDelete(
  front: Front,
  caller: Caller,
  { key }: KeyValue,
  revision: Revision,
  context: CallContext,
): Promise<void> {
  const startRevision = (revision + 1) as Revision;
  const request = { key, startRevision, filters: ["put"] as const };
  const stream = await front.watch(caller, request);
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
  /** Its value, if it was. */
  readonly value: Uint8Array | undefined;
  readonly answer: TxnResponse;
}

/** Puts the caller's key into the queue, unless it is there; `more` is done in either case. */
export async function enterQueue(
  front: Front,
  caller: Caller,
  key: Buffer,
  value: Uint8Array,
  lease: LeaseId,
  more: readonly Operation[] = [],
): Promise<Entered> {
  const answer = await front.txn(
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
export async function withdraw(front: Front, caller: Caller, entered: Entered): Promise<void> {
  if (!entered.created) return;
  const { key, createRevision } = entered;
  await leaveQueue(front, caller, key, createRevision).catch((thrown: unknown) => {
    const { message } = StatusError.from(thrown);
    front.options.log.debug("a waiting caller's key was not removed", { error: message });
  });
}

/** Takes the key out of the queue, if it is still the one that was put there. */
export function leaveQueue(
  front: Front,
  caller: Caller,
  key: Uint8Array,
  createRevision: number,
): Promise<TxnResponse> {
  return front.txn(
    caller,
    {
      compares: [{ key, target: "create", operator: "=", operand: createRevision }],
      success: [{ op: "delete", key }],
      failure: [],
    },
    {},
  );
}
