/**
 * Calls over several servers: one wire each, the current one used until it fails, then the next.
 */
import { randomInt, randomUUID } from "node:crypto";
import type { MethodDefinition } from "@grpc/grpc-js";
import type { ClientTls } from "../../ha/rpc/address.ts";
import { CallFailure } from "../../ha/rpc/call-failure.ts";
import { cancelledError } from "../../ha/rpc/status-details.ts";
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
import { isRepeatable } from "./retryable.ts";
import type { CallOptions, ListOptions, WriteOptions } from "./types.ts";
import type { MakeWire, StreamingCall, Wire } from "./wire.ts";

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
  /** The longest pause that a server's request to wait is honoured for. */
  pushbackMillisMax: 60_000,
  messageBytesMax: 64 * 1024 * 1024,
  serversMax: 64,
  /** Of a stream, that are handed over at once. */
  batchAnswersMax: 128,
  /** Of a stream that no server had begun. */
  streamAttemptsMax: 3,
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
  /**
   * Watches without managedFields are asked for as JSON: their events cost the server, which has
   * the text, next to nothing, and a reader less than messages do.
   */
  readonly watchesJson?: boolean;
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
  /** The same, with the answers together that have come together; absent: they come one by one. */
  batches?<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options?: StreamOptions,
  ): AsyncIterable<readonly Response[]>;
  duplex<Request, Response>(
    method: MethodDefinition<Request, Response>,
    options?: CallOptions,
  ): Promise<Duplex<Request, Response>>;
  /** Absent: there is no connection to renew. */
  renewTls?(tls: ClientTls): void;
  close(): void;
}

export class Transport implements ClientTransport {
  readonly watchesJson = true;
  #wires: readonly Wire[];
  readonly #options: ConnectOptions;
  readonly #makeWire: MakeWire;
  readonly #servers: readonly string[];
  readonly #log: Log;
  #current: number;
  #closed = false;

  constructor(options: ConnectOptions, makeWire: MakeWire) {
    const { servers } = options;
    if (servers.length === 0 || servers.length > transportLimits.serversMax) {
      throw new StatusError(
        Code.invalidArgument,
        `servers: ${servers.length} given, must be 1 to ${transportLimits.serversMax}`,
      );
    }
    this.#servers = servers;
    this.#options = options;
    this.#makeWire = makeWire;
    const { identity, log } = options;
    this.#log = identity === undefined ? log : log.child({ client: identity });
    this.#current = randomInt(servers.length);
    this.#wires = this.#connect(options.tls);
  }

  #connect(tls: ClientTls | undefined): Wire[] {
    const program = this.#options.program ?? this.#options.identity;
    const { messageBytesMax: maxMessageBytes, connectMillis } = transportLimits;
    const userAgent = program === undefined ? undefined : `${program}/trireme`;
    return this.#servers.map((address) =>
      this.#makeWire({ address, tls, userAgent, maxMessageBytes, connectMillis }),
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
    const { signal } = options;
    const deadline = Date.now() + (options.timeoutMillis ?? transportLimits.callMillis);
    const backoff = new Backoff(
      transportLimits.retryFirstMillis,
      transportLimits.retryCeilingMillis,
    );
    const id = options.write ? randomUUID() : undefined;
    for (let attempt = 1; ; attempt++) {
      const index = this.#current;
      try {
        const fields = this.#fields(options, id, attempt);
        const traceparent = span?.traceparent ?? this.#options.tracer?.untraced;
        if (traceparent !== undefined) fields.push(traceparentHeader, traceparent);
        return await this.#wire(index, signal).unary(method, request, { fields, deadline, signal });
      } catch (thrown) {
        if (signal?.aborted || this.#closed) throw cancelledError();
        const failure = brokenOff(thrown);
        if (failure.code !== Code.unavailable) throw failure;
        const { message: error } = failure;
        span?.event("attempt failed", { server: this.#servers[index] ?? "", error });
        const wait = pauseMillis(failure, jittered(backoff.next()));
        const repeat = !options.write || isRepeatable(failure);
        if (!repeat || wait === undefined || Date.now() + wait >= deadline) throw failure;
        this.#leave(index, failure);
        await sleep(productionClock, wait, signal);
        if (signal?.aborted) throw cancelledError();
      }
    }
  }

  /**
   * A server stream. One that has begun is not repeated: the caller resumes where it was. No
   * deadline by default.
   */
  async *stream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: StreamOptions = {},
  ): AsyncGenerator<Response, void, undefined> {
    for await (const batch of this.batches(method, request, options)) yield* batch;
  }

  async *batches<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: StreamOptions = {},
  ): AsyncGenerator<readonly Response[], void, undefined> {
    const { signal, timeoutMillis } = options;
    const deadline = timeoutMillis === undefined ? undefined : Date.now() + timeoutMillis;
    for (let attempt = 1; ; attempt++) {
      const index = this.#current;
      let call: StreamingCall<Request, Response> | undefined;
      let begun = false;
      try {
        const fields = this.#fields(options, undefined, 1);
        call = await this.#wire(index, signal).stream(method, request, {
          fields,
          deadline,
          signal,
        });
        for (let answer = await call.take(); answer.done !== true; answer = await call.take()) {
          begun = true;
          const batch = [answer.value];
          while (batch.length < transportLimits.batchAnswersMax) {
            const more = call.takeNow();
            if (more === undefined) break;
            batch.push(more);
          }
          yield batch;
        }
        return;
      } catch (thrown) {
        if (signal?.aborted || this.#closed) throw cancelledError();
        const failure = brokenOff(thrown);
        if (failure.code === Code.unavailable) this.#leave(index, failure);
        const { streamAttemptsMax } = transportLimits;
        if (begun || !failure.notBegun || attempt === streamAttemptsMax) throw failure;
      } finally {
        call?.cancel();
      }
    }
  }

  async duplex<Request, Response>(
    method: MethodDefinition<Request, Response>,
    options: CallOptions = {},
  ): Promise<Duplex<Request, Response>> {
    const index = this.#current;
    const { signal } = options;
    const failed = (thrown: unknown): StatusError => {
      if (thrown instanceof CallFailure && !signal?.aborted) {
        const failure = brokenOff(thrown);
        if (failure.code === Code.unavailable) this.#leave(index, failure);
      }
      return StatusError.from(thrown);
    };
    try {
      const fields = this.#fields({}, undefined, 1);
      const call = await this.#wire(index, signal).duplex(method, { fields, signal });
      return {
        send: (request) => call.send(request),
        ready: () => call.ready(),
        responses: responsesOf(call, failed),
        end: () => call.endRequests(),
        cancel: () => call.cancel(),
      };
    } catch (thrown) {
      throw failed(thrown);
    }
  }

  /** Calls from now on show this certificate; streams that are open go on as they are. */
  renewTls(tls: ClientTls): void {
    if (this.#closed) return;
    const before = this.#wires;
    this.#wires = this.#connect(tls);
    for (const wire of before) wire.drain();
  }

  /** The server in use, for messages to people. */
  get server(): string {
    return this.#servers[this.#current] ?? "";
  }

  close(): void {
    this.#closed = true;
    for (const wire of this.#wires) wire.close();
  }

  #fields(options: UnaryOptions, id: string | undefined, attempt: number): string[] {
    const { omit, fence } = options;
    const fields: string[] = [];
    if (omit !== undefined) fields.push("trireme-omit", omit);
    if (id !== undefined) fields.push("trireme-request-id", id);
    if (attempt > 1) fields.push("trireme-attempt", String(attempt));
    if (fence) fields.push("trireme-fence", `${fence.lease}=${fence.token}`);
    const { token } = this.#options;
    if (token !== undefined) fields.push("authorization", `Bearer ${token}`);
    return fields;
  }

  #leave(index: number, failure: CallFailure): void {
    // Another call may have moved on already; moving twice would skip a healthy server.
    if (index !== this.#current || this.#servers.length === 1 || this.#closed) return;
    this.#current = (index + 1) % this.#servers.length;
    this.#log.debug("moving to the next server", {
      from: this.#servers[index],
      to: this.#servers[this.#current],
      connectionFailed: failure.unanswered,
      error: failure.message,
    });
  }

  #wire(index: number, signal: AbortSignal | undefined): Wire {
    if (this.#closed) throw new StatusError(Code.cancelled, "the client is closed");
    if (signal?.aborted) throw cancelledError();
    const wire = this.#wires[index];
    if (wire === undefined) throw new StatusError(Code.internal, `no server ${index}`);
    return wire;
  }
}

async function* responsesOf<Request, Response>(
  call: StreamingCall<Request, Response>,
  failed: (thrown: unknown) => StatusError,
): AsyncGenerator<Response, void, undefined> {
  try {
    for (let answer = await call.take(); answer.done !== true; answer = await call.take()) {
      yield answer.value;
    }
  } catch (thrown) {
    throw failed(thrown);
  } finally {
    call.cancel();
  }
}

/** How long to wait before the call is repeated; undefined: the server forbids to repeat it. */
function pauseMillis({ pushbackMillis }: CallFailure, backoffMillis: number): number | undefined {
  if (pushbackMillis === undefined) return backoffMillis;
  if (pushbackMillis < 0) return undefined;
  return Math.max(backoffMillis, Math.min(pushbackMillis, transportLimits.pushbackMillisMax));
}

/** A cancellation that is not the caller's comes from a server that is shutting down. */
function brokenOff(thrown: unknown): CallFailure {
  const { code, message, detail } = StatusError.from(thrown);
  if (code === Code.cancelled) {
    const text = "the server broke the call off";
    return new CallFailure(Code.unavailable, text, { unanswered: true, cause: thrown });
  }
  if (thrown instanceof CallFailure) return thrown;
  return new CallFailure(code, message, { detail, cause: thrown });
}
