/** The reference engine, grpc-js, on connections that our own listener has accepted. */
import type { Socket } from "node:net";
import {
  type ConnectionInjector,
  Metadata,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { assert } from "../../runtime/assert.ts";
import { Code, StatusError } from "../../runtime/status-error.ts";
import { EncodedMessage } from "../duplex-direct.ts";
import { toServiceError } from "../errors.ts";
import { rpcLimits } from "../limits.ts";
import type { PeerIdentity } from "../listener.ts";
import { percentEncode } from "../percent-encoding.ts";
import { PiecewiseMessage } from "../piecewise.ts";
import { cutEncoded, fitTrailers, headerListBytes } from "../trailers.ts";
import type { RpcServerOptions } from "../types.ts";
import type { Engine } from "./engine.ts";
import { fieldsOf } from "./wire-metadata.ts";

/** The end of a handler's call. */
type PartialStatusObject = Parameters<ServerInterceptingCallInterface["sendStatus"]>[0];

export class GrpcJsEngine implements Engine {
  readonly #server: Server;
  readonly #injector: ConnectionInjector;
  /** By `address:port` of open connections: why their calls are refused. */
  readonly #refusals = new Map<string, string>();

  constructor(options: RpcServerOptions) {
    const messageBytes = options.maxMessageBytes ?? rpcLimits.messageBytes;
    this.#server = new Server({
      "grpc.enable_channelz": 0,
      "grpc.max_receive_message_length": options.maxRequestBytes ?? messageBytes,
      "grpc.max_send_message_length": messageBytes,
      "grpc.keepalive_time_ms": rpcLimits.keepaliveMillis,
      "grpc.keepalive_timeout_ms": rpcLimits.keepaliveTimeoutMillis,
      interceptors: [...(options.tls ? [refusing(this.#refusals)] : []), fitting],
    });
    setHttp2Options(this.#server, options.maxConcurrentStreams ?? rpcLimits.concurrentStreams);
    this.#injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
  }

  addService(definition: ServiceDefinition, handlers: UntypedServiceImplementation): void {
    this.#server.addService(takingEncoded(definition), handlers);
  }

  accept(socket: Socket, peer: PeerIdentity): void {
    if (peer.refusal !== undefined) {
      const key = `${socket.remoteAddress}:${socket.remotePort}`;
      this.#refusals.set(key, peer.refusal);
      socket.on("close", () => this.#refusals.delete(key));
    }
    this.#injector.injectConnection(socket);
  }

  drain(graceMillis: number): void {
    this.#injector.drain(graceMillis);
  }

  /** grpc-js has ended them itself. */
  abandonCalls(): void {}

  close(): void {
    this.#server.forceShutdown();
  }
}

/** The same service, whose handlers may also answer with messages that are encoded already. */
function takingEncoded(definition: ServiceDefinition): ServiceDefinition {
  const methods = Object.entries(definition).map(([name, method]) => {
    const responseSerialize = (value: unknown) => {
      if (value instanceof EncodedMessage) return value.bytes;
      return value instanceof PiecewiseMessage ? value.whole() : method.responseSerialize(value);
    };
    return [name, { ...method, responseSerialize }];
  });
  return Object.fromEntries(methods);
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

/**
 * Keeps the trailers of every answer within their budget; what the caller takes is not known here.
 */
const fitting: ServerInterceptor = (_, call) =>
  new ServerInterceptingCall(call, {
    sendStatus(status, next) {
      next(fitStatus(status));
    },
  });

function fitStatus(status: PartialStatusObject): PartialStatusObject {
  const { code, details, metadata } = status;
  const message = cutEncoded(percentEncode(details ?? ""), rpcLimits.errorMessageBytes);
  const given = ["grpc-status", String(code), "grpc-message", message];
  if (metadata) given.push(...fieldsOf(metadata));
  const kept = fitTrailers(given, rpcLimits.trailerBytes - answerHeadBytes);
  if (kept === given && message.length >= (details ?? "").length) return status;
  const left = new Metadata();
  let text = "";
  for (let at = 0; at < kept.length; at += 2) {
    const name = kept[at] as string;
    const value = kept[at + 1] as string;
    if (name === "grpc-message") text = decodeURIComponent(value);
    else if (name.endsWith("-bin")) left.add(name, Buffer.from(value, "base64"));
    else if (name !== "grpc-status") left.add(name, value);
  }
  return { ...status, details: text, metadata: left };
}

/** Of an answer that is trailers alone. */
const answerHeadBytes = headerListBytes([":status", "200", "content-type", "application/grpc"]);

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
