/** v3electionpb.Election */
import type { ResponseHeader } from "../../proto/gen/etcd.ts";
import type {
  CampaignRequest,
  CampaignResponse,
  ElectionServer,
  LeaderKey,
  LeaderResponse,
} from "../../proto/gen/etcd_election.ts";
import { type CallContext, serverStream, unary } from "../rpc/mod.ts";
import type { KeyRange, KeyValue, Revision, WatchBatch, WatchRequest } from "../store/mod.ts";
import type { StoreAccess } from "./access.ts";
import { orNone } from "./bytes.ts";
import type { Caller } from "./caller.ts";
import { wireKeyValue } from "./convert-answers.ts";
import * as errors from "./errors.ts";
import {
  CallerLease,
  enterQueue,
  firstOf,
  keyOf,
  leaveQueue,
  queueOf,
  waitForTurn,
  withdraw,
} from "./ownership.ts";

export function electionService(access: StoreAccess): ElectionServer {
  return {
    campaign: unary(async (request, context) => {
      const caller = await access.begin(context);
      const lease = await CallerLease.open(access, caller, request.lease ?? 0n);
      try {
        const response = await campaign(access, caller, request, lease, context);
        lease.release();
        return response;
      } catch (thrown) {
        await lease.abandon();
        throw thrown;
      }
    }),

    proclaim: unary(async (request, context) => {
      const caller = await access.begin(context);
      const leader = given(request.leader);
      return { header: await proclaim(access, caller, leader, orNone(request.value)) };
    }),

    leader: unary(async (request, context) => {
      const caller = await access.begin(context);
      const { kvs, revision } = await access.range(caller, firstOf(queueOf(orNone(request.name))));
      const [kv] = kvs;
      if (kv === undefined) throw errors.unknown("election: no leader");
      return { header: access.header.of(revision), kv: wireKeyValue(kv) };
    }),

    observe: serverStream(async function* (request, context) {
      const caller = await access.begin(context);
      yield* observe(access, caller, queueOf(orNone(request.name)), context);
    }),

    resign: unary(async (request, context) => {
      const caller = await access.begin(context);
      const leader = given(request.leader);
      const rev = Number(leader.rev ?? 0n);
      const { revision } = await leaveQueue(access, caller, orNone(leader.key), rev);
      return { header: access.header.of(revision) };
    }),
  };
}

function given(leader: LeaderKey | undefined): LeaderKey {
  if (leader === undefined) throw errors.unknown('"leader" field must be provided');
  return leader;
}

async function campaign(
  access: StoreAccess,
  caller: Caller,
  request: CampaignRequest,
  lease: CallerLease,
  context: CallContext,
): Promise<CampaignResponse> {
  const name = orNone(request.name);
  const value = orNone(request.value);
  const key = keyOf(name, lease.id);
  const entered = await enterQueue(access, caller, key, value, lease.id);
  const { createRevision } = entered;
  const leader = { name, key, rev: BigInt(createRevision), lease: lease.id };
  try {
    if (entered.value !== undefined && !value.equals(entered.value)) {
      await proclaim(access, caller, leader, value);
    }
    await lease.keep();
    await waitForTurn(access, caller, queueOf(name), createRevision, context);
  } catch (thrown) {
    await withdraw(access, caller, entered);
    throw thrown;
  }
  return { header: access.header.of(entered.answer.revision), leader };
}

async function proclaim(
  access: StoreAccess,
  caller: Caller,
  leader: LeaderKey,
  value: Buffer,
): Promise<ResponseHeader> {
  const key = orNone(leader.key);
  const answer = await access.txn(
    caller,
    {
      compares: [{ key, target: "create", operator: "=", operand: Number(leader.rev ?? 0n) }],
      success: [{ op: "put", key, value, lease: leader.lease }],
      failure: [],
    },
    {},
  );
  if (!answer.succeeded) throw errors.unknown("election: not leader");
  return access.header.of(answer.revision);
}

/** The leader's value, each one that it proclaims, then the next leader's, and so on. */
async function* observe(
  access: StoreAccess,
  caller: Caller,
  queue: KeyRange,
  context: CallContext,
): AsyncGenerator<LeaderResponse, void> {
  const say = (kv: KeyValue, revision: Revision): LeaderResponse => ({
    header: access.header.of(revision),
    kv: wireKeyValue(kv),
  });
  while (!context.signal.aborted) {
    const { kvs, revision } = await access.range(caller, firstOf(queue));
    let [leader] = kvs;
    let from = revision;
    if (leader === undefined) {
      leader = await firstPut(access, caller, queue, revision, context);
      if (leader === undefined) return;
      from = leader.modRevision;
    }
    yield say(leader, from);
    const startRevision = (from + 1) as Revision;
    const watched = watchWhile(access, caller, { key: leader.key, startRevision }, context);
    for await (const { events } of watched) {
      let ended = false;
      for (const { type, kv } of events) {
        ended = type === "delete";
        if (ended) break;
        yield say(kv, kv.modRevision);
      }
      if (ended) break;
    }
  }
}

async function firstPut(
  access: StoreAccess,
  caller: Caller,
  queue: KeyRange,
  revision: Revision,
  context: CallContext,
): Promise<KeyValue | undefined> {
  const startRevision = (revision + 1) as Revision;
  const request = { ...queue, startRevision, filters: ["delete"] as const };
  for await (const { events } of watchWhile(access, caller, request, context)) {
    const [event] = events;
    if (event !== undefined) return event.kv;
  }
  return undefined;
}

/** Ends when the caller goes. */
async function* watchWhile(
  access: StoreAccess,
  caller: Caller,
  request: WatchRequest,
  context: CallContext,
): AsyncGenerator<WatchBatch, void> {
  const stream = await access.watch(caller, request);
  const stop = () => stream.close();
  context.signal.addEventListener("abort", stop, { once: true });
  try {
    if (context.signal.aborted) return;
    yield* stream;
  } finally {
    context.signal.removeEventListener("abort", stop);
    stream.close();
  }
}
