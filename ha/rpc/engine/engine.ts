import type { Socket } from "node:net";
import type { ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import type { PeerIdentity } from "../listener.ts";

/** What speaks gRPC on the connections that a server hands to it. */
export interface Engine {
  /** Every method has its handler. */
  addService(definition: ServiceDefinition, handlers: UntypedServiceImplementation): void;
  /** A connection that is ready for the HTTP/2 preface; it belongs to the engine from here on. */
  accept(socket: Socket, peer: PeerIdentity): void;
  /** GOAWAY on every connection; each ends with its last call. */
  drain(graceMillis: number): void;
  /** The grace is over: ends the calls that are left. */
  abandonCalls(): void;
  /** No connection is left. */
  close(): void;
}
