/** etcdserverpb.Lease */
import type {
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  LeaseServer,
} from "../../proto/gen/etcd.ts";
import { bidiStream, type CallContext, unary } from "../rpc/mod.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import { bufferOf } from "./bytes.ts";
import type { Caller } from "./caller.ts";
import { countOf } from "./convert.ts";
import { Exchange } from "./exchange.ts";
import type { Front } from "./front.ts";

export function leaseService(front: Front): LeaseServer {
  return {
    leaseGrant: unary(async (request, context) => {
      const caller = await front.enter(context);
      await front.someone(caller);
      // The store lengthens what is too short, zero included.
      const granted = await front.store.leaseGrant(request.ID ?? 0n, countOf(request.TTL) ?? 0);
      return { header: await front.header.now(), ID: granted.id, TTL: BigInt(granted.seconds) };
    }),

    leaseRevoke: unary(async (request, context) => {
      const caller = await front.enter(context);
      const lease = request.ID ?? 0n;
      await front.someone(caller);
      await front.leaseWriter(caller, lease);
      return { header: front.header.of(await front.store.leaseRevoke(lease)) };
    }),

    leaseKeepAlive: bidiStream((requests, context) => {
      const answers = new Exchange<LeaseKeepAliveResponse>();
      front.endWithoutLeader(context, answers);
      keepAliveAll(front, requests, context, answers).catch((thrown: unknown) => {
        answers.fail(StatusError.from(thrown));
      });
      return answers;
    }),

    leaseTimeToLive: unary(async (request, context) => {
      const caller = await front.enter(context);
      await front.someone(caller);
      const lease = await front.store.leaseTimeToLive(request.ID ?? 0n);
      if (request.keys) await front.leaseReader(caller, lease);
      return {
        header: await front.header.now(),
        ID: lease.id,
        TTL: BigInt(Math.floor(lease.remainingSeconds)),
        grantedTTL: BigInt(lease.grantedSeconds),
        keys: request.keys ? lease.keys.map(bufferOf) : [],
      };
    }),

    leaseLeases: unary(async (_, context) => {
      const caller = await front.enter(context);
      await front.someone(caller);
      const ids = await front.store.leases();
      return { header: await front.header.now(), leases: ids.map((ID) => ({ ID })) };
    }),
  };
}

/** One after the other, no faster than the answers are taken. */
async function keepAliveAll(
  front: Front,
  requests: AsyncIterable<LeaseKeepAliveRequest>,
  context: CallContext,
  answers: Exchange<LeaseKeepAliveResponse>,
): Promise<void> {
  const caller = await front.enter(context);
  for await (const request of requests) {
    if (!(await answers.offer(await keepAlive(front, caller, request.ID ?? 0n)))) return;
  }
  answers.finish();
}

/** A lease that does not exist is answered with zero seconds, not with an error. */
async function keepAlive(
  front: Front,
  caller: Caller,
  lease: bigint,
): Promise<LeaseKeepAliveResponse> {
  await front.leaseWriter(caller, lease);
  let seconds = 0;
  try {
    seconds = await front.store.leaseKeepAlive(lease);
  } catch (thrown) {
    if (StatusError.from(thrown).code !== Code.notFound) throw thrown;
  }
  return { header: await front.header.now(), ID: lease, TTL: BigInt(Math.floor(seconds)) };
}
