/**
 * Calls over several servers: one channel each, the current one used until it fails, then the next.
 */
import { randomInt, randomUUID } from "node:crypto";
import {
  Client,
  type ClientDuplexStream,
  connectivityState,
  type CallOptions as GrpcCallOptions,
  Metadata,
  type MethodDefinition,
  type ServiceError,
} from "@grpc/grpc-js";
import { type ClientTls, connect } from "../../ha/rpc/client.ts";
import { drained } from "../../ha/rpc/duplex-client.ts";
import { cancelledError, fromServiceError } from "../../ha/rpc/errors.ts";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { defaultTimers } from "../../ha/runtime/timers.ts";
import {
  ending,
  type Span,
  SpanKind,
  type Tracer,
  traceparentHeader,
} from "../../ha/runtime/trace.ts";
import type { Log } from "../../ha/runtime/types.ts";
import { Backoff, jittered, sleep } from "./clock.ts";
import { certainlyNotBegun, isConnectionFailure } from "./retryable.ts";
import type { CallOptions, ListOptions, WriteOptions } from "./types.ts";

export interface ConnectOptions {
  /** `host:port` of balancers or masters, equal in rank. */
  readonly servers: readonly string[];
  /** Absent: plaintext, for loopback only. */
  readonly tls?: ClientTls | undefined;
  /** A bearer token that goes with every call. */
  readonly token?: string | undefined;
  readonly log: Log;
  /** Name of the component, e.g. `scheduler`, in what the transport logs. */
  readonly identity?: string | undefined;
  /** The program, e.g. `kubelet`: the manager of the fields that it writes. Default: `identity`. */
  readonly program?: string | undefined;
  /** Makes spans of the unary calls; absent: there are none. */
  readonly tracer?: Tracer | undefined;
}

const transportLimits = {
  callMillis: defaultTimers.clientCall,
  connectMillis: 3_000,
  retryFirstMillis: 20,
  retryCeilingMillis: 1_000,
  reconnectMillis: 50,
  messageBytesMax: 64 * 1024 * 1024,
  serversMax: 64,
} as const;

/** `write`: carries a request id, and is repeated only when that cannot do it twice. */
export interface UnaryOptions extends WriteOptions, Pick<ListOptions, "omit"> {
  readonly write?: boolean | undefined;
}

type StreamOptions = CallOptions & Pick<ListOptions, "omit">;

/** Both halves of a bidirectional stream. */
export interface Duplex<Request, Response> {
  /** False: the stream's buffer is full, and the caller had better wait for an answer. */
  send(request: Request): boolean;
  /** Resolves when the stream takes more, or has ended. */
  ready(): Promise<void>;
  /** Can be iterated once; throws StatusError when the stream breaks. */
  readonly responses: AsyncIterable<Response>;
  /** Ends the sending half; the server then ends the stream. */
  end(): void;
  cancel(): void;
}

/** What a client calls its methods through. Calls fail with a `StatusError`. */
export interface ClientTransport {
  unary<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options?: UnaryOptions,
  ): Promise<Response>;
  stream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options?: StreamOptions,
  ): AsyncIterable<Response>;
  duplex<Request, Response>(
    method: MethodDefinition<Request, Response>,
    options?: CallOptions,
  ): Promise<Duplex<Request, Response>>;
  /** Absent: there is no connection to renew. */
  renewTls?(tls: ClientTls): void;
  close(): void;
}

export class Transport implements ClientTransport {
  #clients: readonly Client[];
  readonly #options: ConnectOptions;
  readonly #servers: readonly string[];
  readonly #log: Log;
  #current: number;
  #closed = false;

  constructor(options: ConnectOptions) {
    const { servers } = options;
    if (servers.length === 0 || servers.length > transportLimits.serversMax) {
      throw new StatusError(
        Code.invalidArgument,
        `servers: ${servers.length} given, must be 1 to ${transportLimits.serversMax}`,
      );
    }
    this.#servers = servers;
    this.#options = options;
    const { identity, log } = options;
    this.#log = identity === undefined ? log : log.child({ client: identity });
    this.#current = randomInt(servers.length);
    this.#clients = this.#connect(options.tls);
  }

  #connect(tls: ClientTls | undefined): Client[] {
    const program = this.#options.program ?? this.#options.identity;
    return this.#servers.map((server) =>
      connect(Client, {
        addresses: [server],
        tls,
        maxMessageBytes: transportLimits.messageBytesMax,
        userAgent: program === undefined ? undefined : `${program}/trireme`,
        reconnectMinMillis: transportLimits.reconnectMillis,
        reconnectMaxMillis: transportLimits.retryCeilingMillis,
      }),
    );
  }

  /**
   * One answer. Repeats, on the next server and within the deadline, what failed as UNAVAILABLE:
   * reads always, writes only when no master had begun them; always under the same request id.
   */
  unary<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: UnaryOptions = {},
  ): Promise<Response> {
    const span = this.#options.tracer?.request(`call ${method.path}`, undefined, SpanKind.client);
    if (span === undefined) return this.#repeated(method, request, options, undefined);
    return ending(span, this.#repeated(method, request, options, span));
  }

  async #repeated<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: UnaryOptions,
    span: Span | undefined,
  ): Promise<Response> {
    const deadline = Date.now() + (options.timeoutMillis ?? transportLimits.callMillis);
    const backoff = new Backoff(
      transportLimits.retryFirstMillis,
      transportLimits.retryCeilingMillis,
    );
    const id = options.write ? randomUUID() : undefined;
    for (let attempt = 1; ; attempt++) {
      const index = this.#current;
      try {
        const client = await this.#ready(index, deadline, options.signal);
        const metadata = this.#metadata(options, id, attempt);
        const traceparent = span?.traceparent ?? this.#options.tracer?.untraced;
        if (traceparent !== undefined) metadata.set(traceparentHeader, traceparent);
        return await once(client, method, request, metadata, deadline, options.signal);
      } catch (thrown) {
        if (options.signal?.aborted || this.#closed) throw cancelledError();
        const error = brokenOff(thrown as ServiceError);
        if (error.code !== Code.unavailable) throw fromServiceError(error);
        span?.event("attempt failed", { server: this.#servers[index] ?? "", error: error.details });
        const repeat = !options.write || certainlyNotBegun(error);
        const wait = jittered(backoff.next());
        if (!repeat || Date.now() + wait >= deadline) {
          throw fromServiceError(error);
        }
        this.#leave(index, error);
        await sleep(productionClock, wait, options.signal);
        if (options.signal?.aborted) throw cancelledError();
      }
    }
  }

  /** A server stream. Not repeated: the caller resumes where it was. No deadline by default. */
  async *stream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: StreamOptions = {},
  ): AsyncGenerator<Response, void, undefined> {
    const limit = options.timeoutMillis;
    const deadline = limit === undefined ? undefined : Date.now() + limit;
    const index = this.#current;
    const { signal } = options;
    try {
      const client = await this.#ready(index, deadline, signal);
      const call = client.makeServerStreamRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        this.#metadata(options, undefined, 1),
        deadline === undefined ? {} : { deadline },
      );
      const cancel = () => call.cancel();
      signal?.addEventListener("abort", cancel, { once: true });
      // An error after the loop has been left would otherwise be an uncaught one.
      call.on("error", () => {});
      try {
        yield* call as AsyncIterable<Response>;
      } finally {
        signal?.removeEventListener("abort", cancel);
        call.cancel();
      }
    } catch (thrown) {
      if (signal?.aborted || this.#closed) throw cancelledError();
      const error = brokenOff(thrown as ServiceError);
      if (error.code === Code.unavailable) this.#leave(index, error);
      throw fromServiceError(error);
    }
  }

  async duplex<Request, Response>(
    method: MethodDefinition<Request, Response>,
    options: CallOptions = {},
  ): Promise<Duplex<Request, Response>> {
    const index = this.#current;
    const { signal } = options;
    let client: Client;
    try {
      client = await this.#ready(index, undefined, signal);
    } catch (thrown) {
      this.#leave(index, thrown as ServiceError);
      throw fromServiceError(thrown);
    }
    const call = client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      this.#metadata({}, undefined, 1),
      {},
    );
    const cancel = () => call.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    call.on("error", (thrown: ServiceError) => {
      signal?.removeEventListener("abort", cancel);
      const error = brokenOff(thrown);
      if (!signal?.aborted && error.code === Code.unavailable) this.#leave(index, error);
    });
    call.on("end", () => signal?.removeEventListener("abort", cancel));
    return {
      send: (request) => call.write(request),
      ready: () => drained(call),
      responses: responsesOf(call),
      end: () => call.end(),
      cancel,
    };
  }

  /** Calls from now on show this certificate; streams that are open go on as they are. */
  renewTls(tls: ClientTls): void {
    if (this.#closed) return;
    const before = this.#clients;
    this.#clients = this.#connect(tls);
    for (const client of before) client.close();
  }

  /** The server in use, for messages to people. */
  get server(): string {
    return this.#servers[this.#current] ?? "";
  }

  close(): void {
    this.#closed = true;
    for (const client of this.#clients) client.close();
  }

  #metadata(options: UnaryOptions, id: string | undefined, attempt: number): Metadata {
    const metadata = metadataOf(options, id, attempt);
    const { token } = this.#options;
    if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
    return metadata;
  }

  #leave(index: number, error: ServiceError): void {
    // Another call may have moved on already; moving twice would skip a healthy server.
    if (index !== this.#current || this.#servers.length === 1 || this.#closed) return;
    this.#current = (index + 1) % this.#servers.length;
    this.#log.debug("moving to the next server", {
      from: this.#servers[index],
      to: this.#servers[this.#current],
      connectionFailed: isConnectionFailure(error),
      error: error.details,
    });
  }

  /** A client whose connection stands, or the error that nothing was sent. */
  async #ready(index: number, deadline: number | undefined, signal?: AbortSignal): Promise<Client> {
    if (this.#closed) throw new StatusError(Code.cancelled, "the client is closed");
    if (signal?.aborted) throw cancelledError();
    const client = this.#clients[index];
    if (!client) throw new StatusError(Code.internal, `no server ${index}`);
    const channel = client.getChannel();
    const until = Math.min(deadline ?? Infinity, Date.now() + transportLimits.connectMillis);
    for (;;) {
      const state = channel.getConnectivityState(true);
      if (state === connectivityState.READY) return client;
      const hopeless =
        state === connectivityState.TRANSIENT_FAILURE || state === connectivityState.SHUTDOWN;
      if (hopeless || Date.now() >= until) throw notConnected(this.#servers[index] ?? "");
      await new Promise<void>((resolve) => {
        channel.watchConnectivityState(state, until, () => resolve());
      });
      if (signal?.aborted) throw cancelledError();
    }
  }
}

function once<Request, Response>(
  client: Client,
  method: MethodDefinition<Request, Response>,
  request: Request,
  metadata: Metadata,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const options: GrpcCallOptions = { deadline };
    const call = client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      metadata,
      options,
      (error, response) => {
        signal?.removeEventListener("abort", cancel);
        if (error) reject(error);
        else resolve(response as Response);
      },
    );
    const cancel = () => call.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
  });
}

async function* responsesOf<Request, Response>(
  call: ClientDuplexStream<Request, Response>,
): AsyncGenerator<Response, void, undefined> {
  try {
    yield* call as AsyncIterable<Response>;
  } catch (thrown) {
    throw fromServiceError(thrown);
  } finally {
    call.cancel();
  }
}

function metadataOf(options: UnaryOptions, id: string | undefined, attempt: number): Metadata {
  const metadata = new Metadata();
  if (options.omit !== undefined) metadata.set("trireme-omit", options.omit);
  if (id !== undefined) metadata.set("trireme-request-id", id);
  if (attempt > 1) metadata.set("trireme-attempt", String(attempt));
  if (options.fence) metadata.set("trireme-fence", `${options.fence.lease}=${options.fence.token}`);
  return metadata;
}

/** A cancellation that is not the caller's comes from a server that is shutting down. */
function brokenOff(error: ServiceError): ServiceError {
  return error.code === Code.cancelled ? unavailable("the server broke the call off") : error;
}

function notConnected(server: string): ServiceError {
  return unavailable(`no connection to ${server}`);
}

function unavailable(details: string): ServiceError {
  const fields = { code: Code.unavailable, details, metadata: new Metadata() };
  return Object.assign(new Error(details), fields) as ServiceError;
}
