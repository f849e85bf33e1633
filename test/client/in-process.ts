/**
 * The apiserver's own gRPC handlers, called within the process: every request and answer passes
 * through the generated codecs, authentication, authorization and the verbs; only the sockets are
 * missing. The same handlers serve the real server.
 */
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  type MethodDefinition,
  type ServiceDefinition,
  type ServiceError,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { fromServiceError } from "../../ha/rpc/errors.ts";
import { PiecewiseMessage, type RpcServer } from "../../ha/rpc/mod.ts";
import { cancelledError } from "../../ha/rpc/status-details.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Log } from "../../ha/runtime/types.ts";
import { certificateAuthenticator } from "../../services/apiserver/auth/certificate.ts";
import { addClusterService, Readiness } from "../../services/apiserver/faces/grpc/cluster.ts";
import { addDynamicService } from "../../services/apiserver/faces/grpc/dynamic.ts";
import type { Face } from "../../services/apiserver/faces/grpc/face.ts";
import { addTypedServices } from "../../services/apiserver/faces/grpc/typed.ts";
import { Liveness, type LivenessOptions } from "../../services/apiserver/nodes/liveness.ts";
import type { Backend } from "../../services/apiserver/verbs/mod.ts";

/** The subject of the certificate that a caller would present. */
export interface Subject {
  readonly CN: string;
  readonly O?: readonly string[];
}

export const admin: Subject = { CN: "admin", O: ["system:masters"] };

/** Messages of one stream that may wait for their reader; then the handler waits. */
const streamMessagesMax = 64;

interface Method {
  readonly definition: MethodDefinition<unknown, unknown>;
  readonly handler: unknown;
}

/** One apiserver's methods by path, and the ways to call them. */
export class InProcessServer {
  readonly #methods = new Map<string, Method>();
  readonly #liveness: Liveness;
  readonly #stopping = new AbortController();
  readonly backend: Backend;

  constructor(backend: Backend, log: Log, heartbeats: LivenessOptions = {}) {
    this.backend = backend;
    this.#liveness = new Liveness(backend, heartbeats);
    const face: Face = {
      backend,
      authenticators: [certificateAuthenticator(new Set())],
      kubeletTls: undefined,
      heartbeats: this.#liveness,
      snapshot: undefined,
      stopping: this.#stopping.signal,
    };
    const server = this.#server(log);
    addTypedServices(server, face);
    addDynamicService(server, face);
    addClusterService(server, face, new Readiness());
  }

  /** The answer, or the error as the wire would carry it, trailers included. */
  unary<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    call: InProcessCall,
  ): Promise<Response> {
    const { definition, handler } = this.#method(method.path);
    const run = handler as handleUnaryCall<unknown, unknown>;
    return new Promise((resolve, reject) => {
      call.request = definition.requestDeserialize(method.requestSerialize(request));
      call.onCancel(() => reject(cancelledServiceError()));
      run(call as never, (error, response) => {
        if (error) reject(error);
        else resolve(method.responseDeserialize(encoded(response, definition)));
      });
    });
  }

  async *stream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    call: InProcessStream,
  ): AsyncGenerator<Response, void, undefined> {
    const { definition, handler } = this.#method(method.path);
    call.request = definition.requestDeserialize(method.requestSerialize(request));
    (handler as handleServerStreamingCall<unknown, unknown>)(call as never);
    try {
      for (;;) {
        const message = await call.next();
        if (message === undefined) return;
        yield method.responseDeserialize(definition.responseSerialize(message.value));
      }
    } finally {
      call.cancel();
    }
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    await this.backend.cache.close();
    await this.#liveness.close();
  }

  #method(path: string): Method {
    const method = this.#methods.get(path);
    if (method === undefined) throw new StatusError(Code.unimplemented, `no method ${path}`);
    return method;
  }

  /** Collects what the services add; it never listens. */
  #server(log: Log): RpcServer {
    const add = (service: ServiceDefinition, implementation: UntypedServiceImplementation) => {
      for (const [name, definition] of Object.entries(service)) {
        const made = implementation[name] as { withLog?: (log: Log) => unknown } | undefined;
        const handler = made?.withLog?.(log) ?? made;
        this.#methods.set(definition.path, { definition, handler });
      }
    };
    const noSocket = () =>
      Promise.reject(new StatusError(Code.unimplemented, "an in-process server has no socket"));
    const renewTls = () => {
      throw new StatusError(Code.unimplemented, "an in-process server has no certificate");
    };
    const sockets = { listen: noSocket, drain: noSocket, close: noSocket, renewTls };
    return { addService: add, services: [], ...sockets };
  }
}

/** The server's side of a call: what `HandlerContext` (ha/rpc/context.ts) needs of one. */
export class InProcessCall {
  request: unknown;
  readonly metadata: Metadata;
  cancelled = false;
  readonly #subject: Subject;
  readonly #path: string;
  readonly #listeners: (() => void)[] = [];

  constructor(path: string, subject: Subject, metadata: Metadata) {
    this.#path = path;
    this.#subject = subject;
    this.metadata = metadata;
  }

  getPath(): string {
    return this.#path;
  }

  getPeer(): string {
    return "in-process";
  }

  getDeadline(): number {
    return Number.POSITIVE_INFINITY;
  }

  getAuthContext() {
    return { sslPeerCertificate: { subject: this.#subject } };
  }

  on(_event: "cancelled", listener: () => void): void {
    this.onCancel(listener);
  }

  /** Headers say nothing that a caller in the same process does not know. */
  sendMetadata(_metadata: Metadata): void {}

  onCancel(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** The caller has left. */
  cancel(): void {
    if (this.cancelled) return;
    this.cancelled = true;
    for (const listener of this.#listeners.splice(0)) listener();
  }
}

/** A server stream: a bounded queue between the handler and the reader. */
export class InProcessStream extends InProcessCall {
  readonly #messages: unknown[] = [];
  readonly #drained: (() => void)[] = [];
  #wake = () => {};
  #error: unknown;
  #ended = false;

  get writableNeedDrain(): boolean {
    return this.#messages.length >= streamMessagesMax;
  }

  get destroyed(): boolean {
    return this.cancelled;
  }

  write(message: unknown): boolean {
    this.#messages.push(message);
    this.#wake();
    return !this.writableNeedDrain;
  }

  once(_event: "drain", listener: () => void): void {
    this.#drained.push(listener);
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  emit(_event: "error", error: unknown): boolean {
    this.break(error);
    return true;
  }

  /** Ends the stream with an error after the messages that were written before. */
  break(error: unknown): void {
    this.#error ??= error;
    this.#wake();
  }

  /** The next message; undefined: the server has ended the stream. Rejects when it broke. */
  async next(): Promise<{ readonly value: unknown } | undefined> {
    while (this.#messages.length === 0) {
      if (this.cancelled) throw cancelledServiceError();
      if (this.#error !== undefined) throw this.#error;
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const value = this.#messages.shift();
    if (!this.writableNeedDrain) for (const listener of this.#drained.splice(0)) listener();
    return { value };
  }

  override cancel(): void {
    super.cancel();
    this.#wake();
  }
}

/** The metadata of a call, as the client's transport sends it. */
export function metadataOf(
  options: {
    readonly fence?: { readonly lease: string; readonly token: string } | undefined;
    readonly omit?: string | undefined;
  },
  requestId: string | undefined,
  attempt: number,
): Metadata {
  const metadata = new Metadata();
  if (requestId !== undefined) metadata.set("trireme-request-id", requestId);
  if (attempt > 1) metadata.set("trireme-attempt", String(attempt));
  const { fence, omit } = options;
  if (omit !== undefined) metadata.set("trireme-omit", omit);
  if (fence) metadata.set("trireme-fence", `${fence.lease}=${fence.token}`);
  return metadata;
}

function cancelledServiceError(): ServiceError {
  const { code, message } = cancelledError();
  return Object.assign(new Error(message), { code, details: message, metadata: new Metadata() });
}

/** What a client sees of any failure. */
export function clientError(thrown: unknown): StatusError {
  return thrown instanceof StatusError ? thrown : fromServiceError(thrown as ServiceError);
}

/** A long answer is made in pieces. */
function encoded(response: unknown, { responseSerialize }: MethodDefinition<unknown, unknown>) {
  return response instanceof PiecewiseMessage ? response.whole() : responseSerialize(response);
}
