/** A wire on Trireme's own engine: for programs that run for long and call often. */
import { Channel } from "../../ha/rpc/channel/channel.ts";
import { createClient, type TriremeClient } from "./client.ts";
import { type ConnectOptions, Transport } from "./transport.ts";

/** Connects lazily: the first call finds out whether a server is there. */
export function connectClient(options: ConnectOptions): TriremeClient {
  return createClient(new Transport(options, (wire) => new Channel(wire)));
}
