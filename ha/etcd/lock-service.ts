/** v3lockpb.Lock */
import type { LockRequest, LockResponse, LockServer } from "../../proto/gen/etcd_lock.ts";
import { type CallContext, unary } from "../rpc/mod.ts";
import type { StoreAccess } from "./access.ts";
import { orNone } from "./bytes.ts";
import type { Caller } from "./caller.ts";
import * as errors from "./errors.ts";
import {
  CallerLease,
  enterQueue,
  firstOf,
  keyOf,
  queueOf,
  waitForTurn,
  withdraw,
} from "./ownership.ts";

export function lockService(access: StoreAccess): LockServer {
  return {
    lock: unary(async (request, context) => {
      const caller = await access.begin(context);
      const lease = await CallerLease.open(access, caller, request.lease ?? 0n);
      try {
        const response = await lock(access, caller, request, lease, context);
        lease.release();
        return response;
      } catch (thrown) {
        await lease.abandon();
        throw thrown;
      }
    }),

    unlock: unary(async (request, context) => {
      const caller = await access.begin(context);
      const operation = { op: "delete", key: orNone(request.key) } as const;
      const txn = { compares: [], success: [operation], failure: [] };
      const { revision } = await access.txn(caller, txn, {});
      return { header: access.header.of(revision) };
    }),
  };
}

async function lock(
  access: StoreAccess,
  caller: Caller,
  request: LockRequest,
  lease: CallerLease,
  context: CallContext,
): Promise<LockResponse> {
  const name = orNone(request.name);
  const queue = queueOf(name);
  const key = keyOf(name, lease.id);
  const owner = { op: "range", ...firstOf(queue) } as const;
  const entered = await enterQueue(access, caller, key, orNone(undefined), lease.id, [owner]);
  const [, first] = entered.answer.results;
  const holder = first?.op === "range" ? first.kvs[0] : undefined;
  if (holder === undefined || holder.createRevision === entered.createRevision) {
    return { header: access.header.of(entered.answer.revision), key };
  }
  try {
    await lease.keep();
    await waitForTurn(access, caller, queue, entered.createRevision, context);
  } catch (thrown) {
    await withdraw(access, caller, entered);
    throw thrown;
  }
  // The lease may have ended while we waited, and our key with it.
  const { kvs, revision } = await access.range(caller, { key });
  if (kvs.length === 0) throw errors.unknown("mutex: session is expired");
  return { header: access.header.of(revision), key };
}
