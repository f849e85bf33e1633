/** etcdserverpb.Watch */
import type { WatchRequest, WatchResponse, WatchServer } from "../../proto/gen/etcd.ts";
import { type CallContext, directStream } from "../rpc/mod.ts";
import type { StoreAccess } from "./access.ts";
import { WatchBodies } from "./watch-bodies.ts";
import { WatchFrames } from "./watch-frames.ts";
import { WatchSession, type WatchSessionOptions } from "./watch-session.ts";

export interface WatchServiceOptions extends WatchSessionOptions {
  readonly maxResponseBytes: number;
}

export function watchService(access: StoreAccess, options: WatchServiceOptions): WatchServer {
  const bodies = new WatchBodies(access.header, options.maxResponseBytes);
  const shared = { bodies, frames: new WatchFrames() };
  return {
    watch: directStream<WatchRequest, WatchResponse>((requests, answers, context) => {
      const session = new WatchSession(access, shared, answers, options);
      access.endWithoutLeader(context, session);
      serve(access, session, requests, context).catch((thrown: unknown) => answers.fail(thrown));
    }),
  };
}

async function serve(
  access: StoreAccess,
  session: WatchSession,
  requests: AsyncIterable<WatchRequest>,
  context: CallContext,
): Promise<void> {
  await access.admit(context);
  // A bad token is told in the answer to each watch, as by etcd. A client that has asked for all it
  // wants may close its side and go on listening.
  await session.run(requests, () => access.identify(context));
}
