import type { Forwarder } from "./forwarder.ts";
import { Http2FrontDoor } from "./http2-front.ts";
import { Http2Upstream } from "./http2-upstream.ts";

/** The engine that Node brings along. */
export const http2Forwarder: Forwarder = {
  createFrontDoor: (options) => new Http2FrontDoor(options),
  createUpstream: (options) => new Http2Upstream(options),
};
