/** etcdserverpb.Watch */
import type { WatchRequest, WatchResponse, WatchServer } from "../../proto/gen/etcd.ts";
import { bidiStream, type CallContext } from "../rpc/mod.ts";
import { StatusError } from "../runtime/status-error.ts";
import { storeErrors } from "../store/mod.ts";
import { type Front, requiresLeader } from "./front.ts";
import { etcdLimits } from "./limits.ts";
import { WatchSession, type WatchSessionOptions } from "./watch-session.ts";

export function watchService(front: Front, options: WatchSessionOptions): WatchServer {
  return {
    watch: bidiStream<WatchRequest, WatchResponse>((requests, context) => {
      const session = new WatchSession(front, options);
      if (requiresLeader(context)) {
        const lost = () => session.answers.fail(storeErrors.noLeader());
        session.answers.whenClosed(front.header.whenLeaderLost(etcdLimits.leaderLossMillis, lost));
      }
      serve(front, session, requests, context).catch((thrown: unknown) => {
        session.answers.fail(StatusError.from(thrown));
      });
      return session.answers;
    }),
  };
}

async function serve(
  front: Front,
  session: WatchSession,
  requests: AsyncIterable<WatchRequest>,
  context: CallContext,
): Promise<void> {
  await front.enter(context);
  // A token may end during the stream: each watch is begun with what it is then. A client that has
  // asked for all it wants may close its side and go on listening.
  await session.run(requests, () => front.identify(context));
}
