/** A wire on @grpc/grpc-js: for programs that make some calls and end, and for other callers. */
import {
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  connectivityState,
  Metadata,
  type MethodDefinition,
  type ServiceError,
} from "@grpc/grpc-js";
import { CallFailure, pushbackMillis } from "../../ha/rpc/call-failure.ts";
import { connect } from "../../ha/rpc/client.ts";
import { drained } from "../../ha/rpc/duplex-client.ts";
import { fromServiceError } from "../../ha/rpc/errors.ts";
import { rpcLimits } from "../../ha/rpc/limits.ts";
import { cancelledError, pushbackKey } from "../../ha/rpc/status-details.ts";
import { Code } from "../../ha/runtime/status-error.ts";
import { createClient, type TriremeClient } from "./client.ts";
import { type ConnectOptions, Transport } from "./transport.ts";
import type { StreamingCall, Wire, WireCall, WireOptions } from "./wire.ts";

/** Connects lazily: the first call finds out whether a server is there. */
export function connectGrpcJs(options: ConnectOptions): TriremeClient {
  return createClient(new Transport(options, (wire) => new GrpcJsWire(wire)));
}

export class GrpcJsWire implements Wire {
  readonly #options: WireOptions;
  readonly #client: Client;
  /** How to cancel the calls under way. */
  readonly #calls = new Set<() => void>();
  #closed = false;

  constructor(options: WireOptions) {
    const { address, tls, maxMessageBytes, userAgent } = options;
    this.#options = options;
    this.#client = connect(Client, {
      ...{ addresses: [address], tls, maxMessageBytes, userAgent },
      reconnectMinMillis: rpcLimits.reconnectMinMillis,
      reconnectMaxMillis: rpcLimits.reconnectMaxMillis,
    });
  }

  async unary<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    call: WireCall,
  ): Promise<Response> {
    const { deadline } = call;
    await this.#ready(call);
    return new Promise((resolve, reject) => {
      const pending = this.#client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        metadataOf(call),
        deadline === undefined ? {} : { deadline },
        (error, response) => {
          forget();
          if (error) reject(failureOf(error));
          else resolve(response as Response);
        },
      );
      const forget = this.#remember(() => pending.cancel(), call.signal);
    });
  }

  async stream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    call: WireCall,
  ): Promise<StreamingCall<Request, Response>> {
    await this.#ready(call);
    const stream = this.#client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      metadataOf(call),
      call.deadline === undefined ? {} : { deadline: call.deadline },
    );
    return { ...this.#answersOf(stream, call.signal), ...noRequests };
  }

  async duplex<Request, Response>(
    method: MethodDefinition<Request, Response>,
    call: WireCall,
  ): Promise<StreamingCall<Request, Response>> {
    await this.#ready(call);
    const stream = this.#client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      metadataOf(call),
      call.deadline === undefined ? {} : { deadline: call.deadline },
    );
    return {
      ...this.#answersOf(stream, call.signal),
      send: (request) => stream.write(request),
      ready: () => drained(stream),
      endRequests: () => void stream.end(),
    };
  }

  /** A client of grpc-js that is closed lets the calls go on that it carries. */
  drain(): void {
    this.#closed = true;
    this.#client.close();
  }

  close(): void {
    this.drain();
    for (const cancel of [...this.#calls]) cancel();
  }

  /** The signal and the wire's end cancel the call, until it is over. */
  #remember(cancel: () => void, signal: AbortSignal | undefined): () => void {
    this.#calls.add(cancel);
    signal?.addEventListener("abort", cancel, { once: true });
    return () => {
      this.#calls.delete(cancel);
      signal?.removeEventListener("abort", cancel);
    };
  }

  #answersOf<Request, Response>(
    stream: ClientReadableStream<Response> | ClientDuplexStream<Request, Response>,
    signal: AbortSignal | undefined,
  ): Pick<StreamingCall<Request, Response>, "take" | "takeNow" | "cancel"> {
    const cancel = () => stream.cancel();
    const forget = this.#remember(cancel, signal);
    // After the caller has left, no other listener remains for the cancellation.
    stream.on("error", forget);
    stream.on("end", forget);
    const answers = stream[Symbol.asyncIterator]() as AsyncIterator<Response, undefined>;
    return {
      cancel,
      takeNow: () => undefined,
      async take() {
        try {
          return await answers.next();
        } catch (thrown) {
          throw failureOf(thrown as ServiceError);
        }
      },
    };
  }

  /** Waits until the connection stands. */
  async #ready({ deadline, signal }: WireCall): Promise<void> {
    if (this.#closed) throw new CallFailure(Code.cancelled, "the client is closed");
    const { address, connectMillis } = this.#options;
    const channel = this.#client.getChannel();
    const until = Math.min(deadline ?? Infinity, Date.now() + connectMillis);
    for (;;) {
      const state = channel.getConnectivityState(true);
      if (state === connectivityState.READY) return;
      const hopeless =
        state === connectivityState.TRANSIENT_FAILURE || state === connectivityState.SHUTDOWN;
      if (hopeless || Date.now() >= until) {
        const text = `no connection to ${address}`;
        throw new CallFailure(Code.unavailable, text, { unanswered: true });
      }
      await new Promise<void>((resolve) => {
        channel.watchConnectivityState(state, until, () => resolve());
      });
      if (signal?.aborted) throw cancelledError();
    }
  }
}

const noRequests = {
  send: () => true,
  ready: () => Promise.resolve(),
  endRequests: () => {},
};

function metadataOf({ fields }: WireCall): Metadata {
  const metadata = new Metadata();
  for (let at = 0; at < fields.length; at += 2) {
    metadata.set(fields[at] as string, fields[at + 1] as string);
  }
  return metadata;
}

/** With what its trailers say. */
export function failureOf(error: ServiceError): CallFailure {
  const { code, message, detail } = fromServiceError(error);
  const { metadata } = error;
  return new CallFailure(code, message, {
    detail,
    cause: error,
    notBegun: metadata?.get("trireme-retry")[0] === "safe",
    // grpc-js made this error itself, for no trailers came.
    unanswered: code === Code.unavailable && Object.keys(metadata?.getMap() ?? {}).length === 0,
    pushbackMillis: pushbackMillis(metadata?.get(pushbackKey)[0]?.toString()),
  });
}
