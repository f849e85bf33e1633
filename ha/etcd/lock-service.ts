/** v3lockpb.Lock */
import type { LockRequest, LockResponse, LockServer } from "../../proto/gen/etcd_lock.ts";
import { type CallContext, unary } from "../rpc/mod.ts";
import { orNone } from "./bytes.ts";
import type { Caller } from "./caller.ts";
import * as errors from "./errors.ts";
import type { Front } from "./front.ts";
import {
  CallerLease,
  enterQueue,
  firstOf,
  keyOf,
  queueOf,
  waitForTurn,
  withdraw,
} from "./ownership.ts";

export function lockService(front: Front): LockServer {
  return {
    lock: unary(async (request, context) => {
      const caller = await front.enter(context);
      const lease = await CallerLease.open(front, caller, request.lease ?? 0n);
      try {
        const response = await lock(front, caller, request, lease, context);
        lease.release();
        return response;
      } catch (thrown) {
        await lease.abandon();
        throw thrown;
      }
    }),

    unlock: unary(async (request, context) => {
      const caller = await front.enter(context);
      const operation = { op: "delete", key: orNone(request.key) } as const;
      const txn = { compares: [], success: [operation], failure: [] };
      const { revision } = await front.txn(caller, txn, {});
      return { header: front.header.of(revision) };
    }),
  };
}

async function lock(
  front: Front,
  caller: Caller,
  request: LockRequest,
  lease: CallerLease,
  context: CallContext,
): Promise<LockResponse> {
  const name = orNone(request.name);
  const queue = queueOf(name);
  const key = keyOf(name, lease.id);
  const owner = { op: "range", ...firstOf(queue) } as const;
  const entered = await enterQueue(front, caller, key, orNone(undefined), lease.id, [owner]);
  const [, first] = entered.answer.results;
  const holder = first?.op === "range" ? first.kvs[0] : undefined;
  if (holder === undefined || holder.createRevision === entered.createRevision) {
    return { header: front.header.of(entered.answer.revision), key };
  }
  try {
    await lease.keep();
    await waitForTurn(front, caller, queue, entered.createRevision, context);
  } catch (thrown) {
    await withdraw(front, caller, entered);
    throw thrown;
  }
  // The lease may have ended while we waited, and our key with it.
  const { kvs, revision } = await front.range(caller, { key });
  if (kvs.length === 0) throw errors.unknown("mutex: session is expired");
  return { header: front.header.of(revision), key };
}
