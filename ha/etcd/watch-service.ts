/** etcdserverpb.Watch */
import type { WatchRequest, WatchResponse, WatchServer } from "../../proto/gen/etcd.ts";
import { type CallContext, directStream } from "../rpc/mod.ts";
import type { Front } from "./front.ts";
import { WatchBodies } from "./watch-bodies.ts";
import { WatchFrames } from "./watch-frames.ts";
import { WatchSession, type WatchSessionOptions } from "./watch-session.ts";

export interface WatchServiceOptions extends WatchSessionOptions {
  readonly maxResponseBytes: number;
}

export function watchService(front: Front, options: WatchServiceOptions): WatchServer {
  const bodies = new WatchBodies(front.header, options.maxResponseBytes);
  const shared = { bodies, frames: new WatchFrames() };
  return {
    watch: directStream<WatchRequest, WatchResponse>((requests, answers, context) => {
      const session = new WatchSession(front, shared, answers, options);
      front.endWithoutLeader(context, session);
      serve(front, session, requests, context).catch((thrown: unknown) => answers.fail(thrown));
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
