/** etcdserverpb.Watch */
import type { WatchRequest, WatchResponse, WatchServer } from "../../proto/gen/etcd.ts";
import { bidiStream, type CallContext } from "../rpc/mod.ts";
import { StatusError } from "../runtime/status-error.ts";
import type { Front } from "./front.ts";
import { WatchSession, type WatchSessionOptions } from "./watch-session.ts";

export function watchService(front: Front, options: WatchSessionOptions): WatchServer {
  return {
    watch: bidiStream<WatchRequest, WatchResponse>((requests, context) => {
      const session = new WatchSession(front, options);
      front.endWithoutLeader(context, session.answers);
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
  await front.admit(context);
  // A bad token is told in the answer to each watch, as by etcd. A client that has asked for all it
  // wants may close its side and go on listening.
  await session.run(requests, () => front.identify(context));
}
