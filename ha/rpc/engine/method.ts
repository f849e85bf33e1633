import type { ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import { Code, StatusError } from "../../runtime/status-error.ts";
import type { DirectHandler } from "../direct-call.ts";
import type { DuplexCall } from "./duplex-call.ts";
import type { UnaryCall } from "./unary-call.ts";

/** What a unary or client-streaming handler answers with; grpc-js's `sendUnaryData`. */
type Reply = (error: unknown, value?: unknown, trailers?: unknown) => void;

/** One method of a service definition with its handler. */
export interface Method {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  deserialize(bytes: Buffer): unknown;
  serialize(value: unknown): Uint8Array;
  /** Exactly as grpc-js would call it; `reply` is of no use where the response is a stream. */
  readonly handle: (call: UnaryCall | DuplexCall, reply: Reply) => void;
  /** In place of `handle`, where the handler can do without a Node stream. */
  readonly direct: DirectHandler["direct"];
}

export class MethodTable {
  readonly #methods = new Map<string, Method>();

  /** Throws a StatusError for a path that is there already. */
  add(definition: ServiceDefinition, implementation: UntypedServiceImplementation): void {
    for (const [name, method] of Object.entries(definition)) {
      if (this.#methods.has(method.path)) {
        throw new StatusError(Code.alreadyExists, `${method.path} has a handler already`);
      }
      const handler = implementation[name] as unknown as Method["handle"] & DirectHandler;
      this.#methods.set(method.path, {
        path: method.path,
        requestStream: method.requestStream,
        responseStream: method.responseStream,
        deserialize: method.requestDeserialize,
        serialize: method.responseSerialize,
        handle: handler,
        direct: handler.direct,
      });
    }
  }

  get(path: string): Method | undefined {
    return this.#methods.get(path);
  }
}
