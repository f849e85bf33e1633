/**
 * The gRPC server: services, a port and a graceful end, around the engine that is chosen.
 * Connections are accepted by our own listener and handed to the engine, so that limits, TLS and
 * peer identity do not depend on it.
 */
import type { ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import { prepare, serviceName } from "./definitions.ts";
import type { Engine } from "./engine/engine.ts";
import { GrpcJsEngine } from "./engine/grpc-js-server.ts";
import { TriremeEngine } from "./engine/trireme-server.ts";
import { Http1 } from "./http1.ts";
import { rpcLimits } from "./limits.ts";
import { Listener } from "./listener.ts";
import type { RpcServer, RpcServerOptions, ServerTls } from "./types.ts";

/** Begins nothing until `listen`. */
export function createRpcServer(options: RpcServerOptions): RpcServer {
  const engine =
    options.engine === "grpc-js" ? new GrpcJsEngine(options) : new TriremeEngine(options);
  return new EngineServer(options, engine);
}

class EngineServer implements RpcServer {
  readonly #options: RpcServerOptions;
  readonly #engine: Engine;
  readonly #listener: Listener;
  readonly #http1: Http1 | undefined;
  readonly #services: string[] = [];
  #closed = false;

  constructor(options: RpcServerOptions, engine: Engine) {
    this.#options = options;
    this.#engine = engine;
    const http1 = options.http1 && new Http1(options.http1);
    this.#http1 = http1;
    const { log, tls } = options;
    const accepted = { log, tls, http1: http1?.accept.bind(http1) };
    this.#listener = new Listener(accepted, (socket, peer) => {
      if (peer.refusal !== undefined) {
        const from = `${socket.remoteAddress}:${socket.remotePort}`;
        options.log.warn("client certificate refused", { peer: from, reason: peer.refusal });
      }
      engine.accept(socket, peer);
    });
  }

  get services(): readonly string[] {
    return this.#services;
  }

  addService(definition: ServiceDefinition, implementation: UntypedServiceImplementation): void {
    this.#engine.addService(definition, prepare(definition, implementation, this.#options.log));
    this.#services.push(serviceName(definition));
  }

  listen(address: { readonly host: string; readonly port: number }): Promise<{ port: number }> {
    return this.#listener.listen(address);
  }

  renewTls(tls: ServerTls): void {
    this.#listener.renewTls(tls);
  }

  async drain(graceMillis: number): Promise<void> {
    if (this.#closed) return;
    this.#listener.stop();
    this.#engine.drain(graceMillis);
    this.#http1?.drain();
    await new Promise<void>((resolve) => {
      let timer = setTimeout(() => {
        this.#engine.abandonCalls();
        // A peer that does not read its answers is not waited for.
        timer = setTimeout(() => this.#listener.destroyConnections(), rpcLimits.lingerMillis);
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
    this.#engine.close();
  }
}
