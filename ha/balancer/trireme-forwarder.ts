import type { Forwarder } from "./forwarder.ts";
import { TriremeFrontDoor } from "./trireme-front.ts";
import { TriremeUpstream } from "./trireme-upstream.ts";

/** The lean engine of ha/http2. */
export const triremeForwarder: Forwarder = {
  createFrontDoor: (options) => new TriremeFrontDoor(options),
  createUpstream: (options) => new TriremeUpstream(options),
};
