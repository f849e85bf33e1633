/** How calls reach one server: what a transport needs of a gRPC library. */
import type { MethodDefinition } from "@grpc/grpc-js";
import type { ClientTls } from "../../ha/rpc/address.ts";

export interface WireOptions {
  /** `host:port`. */
  readonly address: string;
  /** Absent: plaintext. */
  readonly tls?: ClientTls | undefined;
  readonly userAgent?: string | undefined;
  readonly maxMessageBytes: number;
  readonly connectMillis: number;
}

export interface WireCall {
  /** Metadata, name and value alternately; printable ASCII. */
  readonly fields: readonly string[];
  /** As `Date.now()` counts; absent: none. */
  readonly deadline?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A call of many answers, and perhaps of many requests. */
export interface StreamingCall<Request, Response> {
  /**
   * The next answer. Asked for one at a time; rejects with a CallFailure when the call has failed,
   * after the answers that came before.
   */
  take(): Promise<IteratorResult<Response, undefined>>;
  /** One that has come already, without a promise; undefined: ask `take`. */
  takeNow(): Response | undefined;
  /** False: it waits in the stream's buffer. */
  send(request: Request): boolean;
  /** Resolves when the call takes more, or is over. */
  ready(): Promise<void>;
  /** No request follows. */
  endRequests(): void;
  /** Harmless when the call is over. */
  cancel(): void;
}

/**
 * One server's connection, dialled when it is wanted. Calls reject with a CallFailure; one that no
 * connection carries fails as UNAVAILABLE, at the latest after `connectMillis`.
 */
export interface Wire {
  unary<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    call: WireCall,
  ): Promise<Response>;
  stream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    call: WireCall,
  ): Promise<StreamingCall<Request, Response>>;
  duplex<Request, Response>(
    method: MethodDefinition<Request, Response>,
    call: WireCall,
  ): Promise<StreamingCall<Request, Response>>;
  /** Takes no more calls; those under way go on. */
  drain(): void;
  /** Calls under way fail. */
  close(): void;
}

export type MakeWire = (options: WireOptions) => Wire;
