/** The gRPC server on Trireme's own HTTP/2 engine. */
import type { Socket } from "node:net";
import type { ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import { attachSocket, type Http2Limits } from "../../http2/mod.ts";
import { Code, StatusError } from "../../runtime/status-error.ts";
import { rpcLimits } from "../limits.ts";
import type { PeerIdentity } from "../listener.ts";
import type { RpcServerOptions } from "../types.ts";
import { DeadlineWheel } from "./deadline-wheel.ts";
import type { Engine } from "./engine.ts";
import { MethodTable } from "./method.ts";
import { RequestBytes } from "./request-bytes.ts";
import { Session, type SessionOptions } from "./session.ts";

export class TriremeEngine implements Engine {
  readonly #methods = new MethodTable();
  readonly #sessions = new Set<Session>();
  readonly #shared: SessionOptions;

  constructor(options: RpcServerOptions) {
    const { maxMessageBytes = rpcLimits.messageBytes } = options;
    this.#shared = {
      log: options.log,
      methods: this.#methods,
      deadlines: new DeadlineWheel(),
      maxMessageBytes,
      maxRequestBytes: options.maxRequestBytes ?? maxMessageBytes,
      messageMillis: options.messageMillis ?? rpcLimits.messageMillis,
      requestBytes: new RequestBytes(rpcLimits.requestBytes, "this server"),
      limits: http2LimitsOf(options),
    };
  }

  addService(definition: ServiceDefinition, handlers: UntypedServiceImplementation): void {
    this.#methods.add(definition, handlers);
  }

  accept(socket: Socket, peer: PeerIdentity): void {
    const session = new Session(this.#shared, socket, peer);
    this.#sessions.add(session);
    socket.on("close", () => this.#sessions.delete(session));
    attachSocket(session.connection, socket);
  }

  drain(): void {
    for (const { connection } of this.#sessions) connection.shutdown();
  }

  abandonCalls(): void {
    const error = new StatusError(Code.unavailable, "the server is shutting down");
    for (const session of this.#sessions) session.abandonCalls(error);
  }

  close(): void {}
}

function http2LimitsOf(options: RpcServerOptions): Partial<Http2Limits> {
  const { streamResetBurst: burst, streamResetRate: perSecond } = rpcLimits;
  return {
    concurrentStreams: options.maxConcurrentStreams ?? rpcLimits.concurrentStreams,
    headerListBytes: rpcLimits.metadataBytes,
    headerFields: rpcLimits.metadataFields,
    streamWindowBytes: rpcLimits.streamWindowBytes,
    keepaliveMillis: rpcLimits.keepaliveMillis,
    keepaliveTimeoutMillis: rpcLimits.keepaliveTimeoutMillis,
    resets: { burst, perSecond },
  };
}
