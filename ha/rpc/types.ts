/**
 * The seam between Trireme's services and whatever speaks gRPC for them.
 *
 * A handler is what `@grpc/grpc-js` takes: `(call, callback)` or `(call)`, keyed by the method
 * names of a generated service definition. `handlers.ts` makes them from plain async functions.
 */
import type { RequestListener } from "node:http";
import type { Metadata, ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import type { Log } from "../runtime/types.ts";

/** PEM texts. */
export interface ServerTls {
  readonly cert: string;
  readonly key: string;
  /** Client certificates must chain to this CA; a client may also present none. */
  readonly clientCa: string;
  /** Clients without a certificate, or of another organization (subject O), are refused. */
  readonly clientsRequired?: { readonly organization?: string | undefined } | undefined;
}

/** `trireme`: on ha/http2; `grpc-js`: the reference. One contract suite holds both to the same. */
export type RpcEngine = "grpc-js" | "trireme";

export interface RpcServerOptions {
  readonly log: Log;
  /** Absent: plaintext, for loopback only. */
  readonly tls?: ServerTls | undefined;
  /** Default: trireme. */
  readonly engine?: RpcEngine | undefined;
  /** Bytes of one message, either way. */
  readonly maxMessageBytes?: number | undefined;
  /** Bytes of one message of a request, decompressed; default: `maxMessageBytes`. */
  readonly maxRequestBytes?: number | undefined;
  readonly maxConcurrentStreams?: number | undefined;
  /** Serves GET over HTTP/1.1 on the same port; absent: HTTP/1.1 is not spoken. */
  readonly http1?: RequestListener | undefined;
  /**
   * A message of a request that has begun must come in full within this; default:
   * `rpcLimits.messageMillis`. (grpc-js waits for ever.)
   */
  readonly messageMillis?: number | undefined;
}

export interface RpcServer {
  /** Before `listen`. Throws when a method of the definition has no handler. */
  addService(definition: ServiceDefinition, implementation: UntypedServiceImplementation): void;
  /** Services added so far, by full name. */
  readonly services: readonly string[];
  /** Port 0: any free one. Rejects with a StatusError that names the address in use. */
  listen(address: {
    readonly host: string;
    readonly port: number;
  }): Promise<{ readonly port: number }>;
  /** New connections are shown this certificate. Throws for one that cannot be used. */
  renewTls(tls: ServerTls): void;
  /** GOAWAY: no new calls; calls under way get `graceMillis` to end. Resolves when all are gone. */
  drain(graceMillis: number): Promise<void>;
  close(): Promise<void>;
}

/** The caller, as the transport knows it. */
export interface PeerCertificate {
  /** Subject CN: the user name. */
  readonly commonName: string;
  /** Subject O, one or more: the groups. */
  readonly organizations: readonly string[];
}

/** What a handler made by `handlers.ts` is told about its call. */
export interface CallContext {
  /** e.g. `/trireme.core.v1.Pods/Get`. */
  readonly path: string;
  readonly metadata: Metadata;
  /** The first value of a text field of the metadata; costs less than that. */
  header(name: string): string | undefined;
  /** Names of fields of the metadata that begin so; costs less than that. */
  namesWith(prefix: string): readonly string[];
  /**
   * The handlers' own: what follows from the headers alone. Calls of one connection that come with
   * the very same headers share it, where the engine sees that they do.
   */
  note: unknown;
  /** Aborts when the caller cancels, goes away, or its deadline passes. */
  readonly signal: AbortSignal;
  /** Milliseconds left, or undefined without a deadline. */
  remainingMillis(): number | undefined;
  readonly peer: { readonly address: string; readonly certificate: PeerCertificate | undefined };
  /**
   * Sends the response headers now instead of with the first message: the stream has begun. From
   * then on an error ends the call with trailers after headers. Only the first call has an effect.
   */
  sendHeaders(): void;
  /** Sent with the answer's trailers. */
  setTrailer(key: string, value: string | Buffer): void;
}
