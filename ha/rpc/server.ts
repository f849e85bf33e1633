/**
 * The gRPC server: chooses the engine, and holds the reference one, grpc-js. Connections are
 * accepted by our own listener and handed to the engine, so that limits, TLS and peer identity do
 * not depend on it.
 */
import {
  type ConnectionInjector,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { assert } from "../runtime/assert.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Log } from "../runtime/types.ts";
import { prepare, serviceName } from "./definitions.ts";
import { TriremeServer } from "./engine/trireme-server.ts";
import { toServiceError } from "./errors.ts";
import { rpcLimits } from "./limits.ts";
import { Listener } from "./listener.ts";
import type { RpcServer, RpcServerOptions } from "./types.ts";

/** Begins nothing until `listen`. */
export function createRpcServer(options: RpcServerOptions): RpcServer {
  return options.engine === "grpc-js" ? new GrpcJsServer(options) : new TriremeServer(options);
}

class GrpcJsServer implements RpcServer {
  readonly #log: Log;
  readonly #server: Server;
  readonly #injector: ConnectionInjector;
  readonly #listener: Listener;
  readonly #services: string[] = [];
  /** By `address:port` of open connections: why their calls are refused. */
  readonly #refusals = new Map<string, string>();
  #closed = false;

  constructor(options: RpcServerOptions) {
    this.#log = options.log;
    const messageBytes = options.maxMessageBytes ?? rpcLimits.messageBytes;
    this.#server = new Server({
      "grpc.enable_channelz": 0,
      "grpc.max_receive_message_length": messageBytes,
      "grpc.max_send_message_length": messageBytes,
      "grpc.keepalive_time_ms": rpcLimits.keepaliveMillis,
      "grpc.keepalive_timeout_ms": rpcLimits.keepaliveTimeoutMillis,
      ...(options.tls && { interceptors: [refusing(this.#refusals)] }),
    });
    setHttp2Options(this.#server, options.maxConcurrentStreams ?? rpcLimits.concurrentStreams);
    this.#injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
    this.#listener = new Listener(options, (socket, peer) => {
      if (peer.refusal !== undefined) {
        const key = `${socket.remoteAddress}:${socket.remotePort}`;
        this.#refusals.set(key, peer.refusal);
        socket.on("close", () => this.#refusals.delete(key));
        this.#log.warn("client certificate refused", { peer: key, reason: peer.refusal });
      }
      this.#injector.injectConnection(socket);
    });
  }

  get services(): readonly string[] {
    return this.#services;
  }

  addService(definition: ServiceDefinition, implementation: UntypedServiceImplementation): void {
    this.#server.addService(definition, prepare(definition, implementation, this.#log));
    this.#services.push(serviceName(definition));
  }

  listen(address: { readonly host: string; readonly port: number }): Promise<{ port: number }> {
    return this.#listener.listen(address);
  }

  async drain(graceMillis: number): Promise<void> {
    if (this.#closed) return;
    this.#listener.stop();
    this.#injector.drain(graceMillis);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => this.#listener.destroyConnections(), graceMillis);
      this.#listener.whenEmpty(() => {
        clearTimeout(timer);
        resolve();
      });
    });
    await this.close();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#listener.stop();
    this.#listener.destroyConnections();
    await new Promise<void>((resolve) => this.#listener.whenEmpty(resolve));
    this.#server.forceShutdown();
  }
}

/**
 * grpc-js passes two of Node's HTTP/2 options on and hides the rest, of which a server that faces a
 * network needs several. They are set where grpc-js keeps its own.
 */
function setHttp2Options(server: Server, maxConcurrentStreams: number): void {
  const { commonServerOptions } = server as unknown as { commonServerOptions?: object };
  assert(commonServerOptions !== undefined, "grpc-js keeps its HTTP/2 options elsewhere now");
  Object.assign(commonServerOptions, {
    settings: {
      maxConcurrentStreams,
      maxHeaderListSize: rpcLimits.metadataBytes,
      initialWindowSize: rpcLimits.streamWindowBytes,
    },
    maxHeaderListPairs: rpcLimits.metadataFields,
    maxSessionInvalidFrames: rpcLimits.invalidFrames,
    maxSessionRejectedStreams: rpcLimits.rejectedStreams,
    streamResetBurst: rpcLimits.streamResetBurst,
    streamResetRate: rpcLimits.streamResetRate,
  });
}

/** Answers the calls of connections that came with a foreign certificate. */
function refusing(refusals: ReadonlyMap<string, string>): ServerInterceptor {
  return (_, call) => {
    const refusal = refusals.size > 0 ? refusals.get(call.getPeer()) : undefined;
    if (refusal === undefined) return call as ServerInterceptingCall;
    return new ServerInterceptingCall(call, {
      start() {
        const error = toServiceError(new StatusError(Code.unauthenticated, refusal));
        call.sendStatus({ code: error.code, details: error.details, metadata: error.metadata });
      },
    });
  };
}
