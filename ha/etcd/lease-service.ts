/** etcdserverpb.Lease */
import type {
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  LeaseServer,
} from "../../proto/gen/etcd.ts";
import { bidiStream, type CallContext, unary } from "../rpc/mod.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { StoreAccess } from "./access.ts";
import { bufferOf } from "./bytes.ts";
import type { Caller } from "./caller.ts";
import { countOf } from "./convert.ts";
import { Exchange } from "./exchange.ts";

export function leaseService(access: StoreAccess): LeaseServer {
  return {
    leaseGrant: unary(async (request, context) => {
      const caller = await access.begin(context);
      await access.requireUser(caller);
      // The store lengthens what is too short, zero included.
      const granted = await access.store.leaseGrant(request.ID ?? 0n, countOf(request.TTL) ?? 0);
      return { header: await access.header.now(), ID: granted.id, TTL: BigInt(granted.seconds) };
    }),

    leaseRevoke: unary(async (request, context) => {
      const caller = await access.begin(context);
      const lease = request.ID ?? 0n;
      await access.requireUser(caller);
      await access.requireLeaseWrite(caller, lease);
      return { header: access.header.of(await access.store.leaseRevoke(lease)) };
    }),

    leaseKeepAlive: bidiStream((requests, context) => {
      const answers = new Exchange<LeaseKeepAliveResponse>();
      access.endWithoutLeader(context, answers);
      keepAliveAll(access, requests, context, answers).catch((thrown: unknown) => {
        answers.fail(StatusError.from(thrown));
      });
      return answers;
    }),

    leaseTimeToLive: unary(async (request, context) => {
      const caller = await access.begin(context);
      await access.requireUser(caller);
      const lease = await access.store.leaseTimeToLive(request.ID ?? 0n);
      if (request.keys) await access.requireLeaseRead(caller, lease);
      return {
        header: await access.header.now(),
        ID: lease.id,
        TTL: BigInt(Math.floor(lease.remainingSeconds)),
        grantedTTL: BigInt(lease.grantedSeconds),
        keys: request.keys ? lease.keys.map(bufferOf) : [],
      };
    }),

    leaseLeases: unary(async (_, context) => {
      const caller = await access.begin(context);
      await access.requireUser(caller);
      const ids = await access.store.leases();
      return { header: await access.header.now(), leases: ids.map((ID) => ({ ID })) };
    }),
  };
}

/** One after the other, no faster than the answers are taken. */
async function keepAliveAll(
  access: StoreAccess,
  requests: AsyncIterable<LeaseKeepAliveRequest>,
  context: CallContext,
  answers: Exchange<LeaseKeepAliveResponse>,
): Promise<void> {
  const caller = await access.begin(context);
  for await (const request of requests) {
    if (!(await answers.offer(await keepAlive(access, caller, request.ID ?? 0n)))) return;
  }
  answers.finish();
}

/** A lease that does not exist is answered with zero seconds, not with an error. */
async function keepAlive(
  access: StoreAccess,
  caller: Caller,
  lease: bigint,
): Promise<LeaseKeepAliveResponse> {
  await access.requireLeaseWrite(caller, lease);
  let seconds = 0;
  try {
    seconds = await access.store.leaseKeepAlive(lease);
  } catch (thrown) {
    if (StatusError.from(thrown).code !== Code.notFound) throw thrown;
  }
  return { header: await access.header.now(), ID: lease, TTL: BigInt(Math.floor(seconds)) };
}
