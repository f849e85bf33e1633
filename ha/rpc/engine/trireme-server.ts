/** The gRPC server on Trireme's own HTTP/2 engine. */
import type { ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import { attachSocket, type Http2Limits, http2Limits } from "../../http2/mod.ts";
import { Code, StatusError } from "../../runtime/status-error.ts";
import { prepare, serviceName } from "../definitions.ts";
import { rpcLimits } from "../limits.ts";
import { Listener } from "../listener.ts";
import type { RpcServer, RpcServerOptions } from "../types.ts";
import { DeadlineWheel } from "./deadline-wheel.ts";
import { MethodTable } from "./method.ts";
import { Session } from "./session.ts";

export class TriremeServer implements RpcServer {
  readonly #options: RpcServerOptions;
  readonly #methods = new MethodTable();
  readonly #listener: Listener;
  readonly #sessions = new Set<Session>();
  readonly #services: string[] = [];
  #closed = false;

  constructor(options: RpcServerOptions) {
    this.#options = options;
    const { log } = options;
    const shared = {
      log,
      methods: this.#methods,
      deadlines: new DeadlineWheel(),
      maxMessageBytes: options.maxMessageBytes ?? rpcLimits.messageBytes,
      limits: http2LimitsOf(options),
    };
    this.#listener = new Listener(options, (socket, peer) => {
      const session = new Session(shared, socket, peer);
      if (peer.refusal !== undefined) {
        const { peerAddress: from } = session;
        log.warn("client certificate refused", { peer: from, reason: peer.refusal });
      }
      this.#sessions.add(session);
      socket.on("close", () => this.#sessions.delete(session));
      attachSocket(session.connection, socket);
    });
  }

  get services(): readonly string[] {
    return this.#services;
  }

  addService(definition: ServiceDefinition, implementation: UntypedServiceImplementation): void {
    this.#methods.add(definition, prepare(definition, implementation, this.#options.log));
    this.#services.push(serviceName(definition));
  }

  listen(address: { readonly host: string; readonly port: number }): Promise<{ port: number }> {
    return this.#listener.listen(address);
  }

  async drain(graceMillis: number): Promise<void> {
    if (this.#closed) return;
    this.#listener.stop();
    for (const { connection } of this.#sessions) connection.shutdown();
    await new Promise<void>((resolve) => {
      let timer = setTimeout(() => {
        const error = new StatusError(Code.unavailable, "the server is shutting down");
        for (const session of this.#sessions) session.abandonCalls(error);
        // A peer that does not read its answers is not waited for.
        const { lingerMillis } = http2Limits;
        timer = setTimeout(() => this.#listener.destroyConnections(), lingerMillis);
      }, graceMillis);
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
  }
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
