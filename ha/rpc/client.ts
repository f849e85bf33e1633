/**
 * What every gRPC client of Trireme is made with: channels, unary calls as promises, streams as
 * iterables.
 */

import { isIP, isIPv4, isIPv6 } from "node:net";
import { checkServerIdentity } from "node:tls";
import {
  type CallOptions,
  type ChannelCredentials,
  type Client,
  type ClientOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  credentials,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import { type ClientTls, type HostPort, invalidAddress, parseAddress } from "./address.ts";
import { fromServiceError } from "./errors.ts";
import { rpcLimits } from "./limits.ts";
import { type MethodName, serviceConfig } from "./service-config.ts";
import { cancelledError } from "./status-details.ts";

const longestTimerMillis = 2 ** 31 - 1;

export interface ConnectOptions {
  /**
   * `host:port`; several must be IP addresses of one family, and are tried in order. The
   * certificate of each must be for one of them.
   */
  readonly addresses: readonly string[];
  /** Calls are dealt out to all addresses, instead of going to the first that answers. */
  readonly spread?: boolean | undefined;
  /**
   * Methods that are repeated, also on another address, when they fail as UNAVAILABLE: reads, and
   * writes that carry a request id. Default: none, for the caller repeats what it can itself.
   */
  readonly repeated?: readonly MethodName[] | undefined;
  readonly tls?: ClientTls | undefined;
  readonly maxMessageBytes?: number | undefined;
  /** What the program calls itself, e.g. `kubelet/1`; before the library's own name. */
  readonly userAgent?: string | undefined;
  /** Delay before a broken connection is dialled again, first and at most. */
  readonly reconnectMinMillis?: number | undefined;
  readonly reconnectMaxMillis?: number | undefined;
  /** How often an idle connection is asked for a sign of life, and how long it has for one. */
  readonly keepaliveMillis?: number | undefined;
  readonly keepaliveTimeoutMillis?: number | undefined;
}

export type ClientConstructor<C extends Client> = new (
  address: string,
  credentials: ChannelCredentials,
  options?: Partial<ClientOptions>,
) => C;

/** A client that dials when first used. Throws a StatusError that names a bad address. */
export function connect<C extends Client>(
  Client: ClientConstructor<C>,
  options: ConnectOptions,
): C {
  const hosts = options.addresses.map(parseAddress);
  const host = hosts[0]?.host;
  if (host === undefined) throw invalidAddress("addresses", "at least one is needed");
  const names = hosts.map((each) => each.host);
  return new Client(targetOf(hosts), channelCredentials(names, options.tls), {
    ...clientOptions(options),
    // Node warns about an IP address as TLS server name; the check below is against the address.
    ...(options.tls && isIP(host) !== 0 && { "grpc.ssl_target_name_override": "localhost" }),
    "grpc.default_authority": options.addresses[0] ?? host,
  });
}

/**
 * A client of a program of this machine that serves on a socket of the file system, without TLS.
 * Keepalive pings stay away: gRPC's server in Go ends connections that ask within five minutes.
 */
export function connectSocket<C extends Client>(
  Client: ClientConstructor<C>,
  path: string,
  options: Pick<ConnectOptions, "maxMessageBytes" | "reconnectMaxMillis" | "userAgent"> = {},
): C {
  return new Client(`unix:${path}`, credentials.createInsecure(), {
    ...clientOptions({ ...options, keepaliveMillis: longestTimerMillis }),
    "grpc.default_authority": "localhost",
  });
}

/** The channel options that all clients share. */
function clientOptions(options: Partial<ConnectOptions> = {}): Partial<ClientOptions> {
  const messageBytes = options.maxMessageBytes ?? rpcLimits.messageBytes;
  const { keepaliveTimeoutMillis = rpcLimits.keepaliveTimeoutMillis } = options;
  return {
    "grpc.enable_channelz": 0,
    "grpc.service_config_disable_resolution": 1,
    "grpc.enable_retries": options.repeated === undefined ? 0 : 1,
    "grpc.service_config": serviceConfig({
      policy: options.spread === true ? "round_robin" : "pick_first",
      repeated: options.repeated,
    }),
    "grpc.use_local_subchannel_pool": 1,
    "grpc.keepalive_time_ms": options.keepaliveMillis ?? rpcLimits.keepaliveMillis,
    "grpc.keepalive_timeout_ms": keepaliveTimeoutMillis,
    "grpc.initial_reconnect_backoff_ms": options.reconnectMinMillis ?? rpcLimits.reconnectMinMillis,
    "grpc.min_reconnect_backoff_ms": options.reconnectMinMillis ?? rpcLimits.reconnectMinMillis,
    "grpc.max_reconnect_backoff_ms": options.reconnectMaxMillis ?? rpcLimits.reconnectMaxMillis,
    "grpc.max_receive_message_length": messageBytes,
    "grpc.max_send_message_length": messageBytes,
    ...(options.userAgent !== undefined && { "grpc.primary_user_agent": options.userAgent }),
  };
}

function channelCredentials(
  hosts: readonly string[],
  tls: ClientTls | undefined,
): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure();
  const bytes = (text: string | undefined) => (text === undefined ? null : Buffer.from(text));
  return credentials.createSsl(bytes(tls.ca), bytes(tls.key), bytes(tls.cert), {
    checkServerIdentity: (_, certificate) => {
      const errors = hosts.map((host) => checkServerIdentity(host, certificate));
      return errors.includes(undefined) ? undefined : errors[0];
    },
  });
}

function targetOf(hosts: readonly HostPort[]): string {
  if (hosts.every(({ host }) => isIPv4(host))) {
    return `ipv4:${hosts.map(({ host, port }) => `${host}:${port}`).join(",")}`;
  }
  if (hosts.every(({ host }) => isIPv6(host))) {
    return `ipv6:${hosts.map(({ host, port }) => `[${host}]:${port}`).join(",")}`;
  }
  const [first, second] = hosts;
  if (first === undefined || second !== undefined) {
    throw invalidAddress("addresses", "several must all be IPv4 or all be IPv6 addresses");
  }
  return `dns:///${first.host}:${first.port}`;
}

export interface CallSettings {
  readonly metadata?: Metadata | undefined;
  /** Aborting it cancels the call. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds from now. */
  readonly deadlineMillis?: number | undefined;
}

export interface StreamSettings extends CallSettings {
  /** The server has sent response headers: the stream has begun. Not called for an error alone. */
  readonly onHeaders?: (() => void) | undefined;
}

type UnaryMethod<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => ClientUnaryCall;

type StreamMethod<Request, Response> = (
  request: Request,
  metadata?: Metadata,
  options?: Partial<CallOptions>,
) => ClientReadableStream<Response>;

type AnyUnary = UnaryMethod<never, unknown>;
type AnyStream = StreamMethod<never, unknown>;

/**
 * Names of the unary methods of a generated client; a stream also fits the shape of a unary call.
 */
type UnaryNames<C> = {
  [Name in keyof C]: C[Name] extends AnyStream ? never : C[Name] extends AnyUnary ? Name : never;
}[keyof C];
type StreamNames<C> = { [Name in keyof C]: C[Name] extends AnyStream ? Name : never }[keyof C];

type RequestOf<Method> =
  Method extends StreamMethod<infer Request, unknown>
    ? Request
    : Method extends UnaryMethod<infer Request, unknown>
      ? Request
      : never;
type ResponseOf<Method> =
  Method extends StreamMethod<never, infer Response>
    ? Response
    : Method extends UnaryMethod<never, infer Response>
      ? Response
      : never;

/** A unary call: `await call(leases, "get", { name: "x" })`. Rejects with a StatusError. */
export function call<C extends Client, Name extends UnaryNames<C>>(
  client: C,
  method: Name,
  request: RequestOf<C[Name]>,
  settings: CallSettings = {},
): Promise<ResponseOf<C[Name]>> {
  const { signal } = settings;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(cancelledError());
    const invoke = client[method] as UnaryMethod<typeof request, ResponseOf<C[Name]>>;
    const metadata = settings.metadata ?? new Metadata();
    const cancel = () => pending.cancel();
    const done = (error: ServiceError | null, reply: ResponseOf<C[Name]>) => {
      signal?.removeEventListener("abort", cancel);
      if (error) reject(fromServiceError(error));
      else resolve(reply);
    };
    // An error thrown here rejects the promise.
    const pending = open(() => invoke.call(client, request, metadata, callOptions(settings), done));
    signal?.addEventListener("abort", cancel, { once: true });
  });
}

/**
 * A server-streaming call as an iterable; reads no faster than the loop. Leaving the loop, or the
 * signal, cancels the call. Throws StatusErrors.
 */
export async function* serverStreamIterable<C extends Client, Name extends StreamNames<C>>(
  client: C,
  method: Name,
  request: RequestOf<C[Name]>,
  settings: StreamSettings = {},
): AsyncGenerator<ResponseOf<C[Name]>, void> {
  const { signal } = settings;
  if (signal?.aborted) throw cancelledError();
  const invoke = client[method] as StreamMethod<typeof request, ResponseOf<C[Name]>>;
  const metadata = settings.metadata ?? new Metadata();
  const stream = open(() => invoke.call(client, request, metadata, callOptions(settings)));
  if (settings.onHeaders !== undefined) stream.once("metadata", settings.onHeaders);
  const cancel = () => stream.cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  // After the caller has left the loop, no listener remains for the cancellation.
  stream.on("error", () => {});
  try {
    for await (const message of stream) yield message as ResponseOf<C[Name]>;
  } catch (thrown) {
    throw fromServiceError(thrown);
  } finally {
    signal?.removeEventListener("abort", cancel);
    stream.cancel();
  }
}

/** A client that has been closed throws, and so does a request that cannot be encoded. */
function open<Stream>(begin: () => Stream): Stream {
  try {
    return begin();
  } catch (thrown) {
    throw fromServiceError(thrown);
  }
}

function callOptions(settings: CallSettings): Partial<CallOptions> {
  if (settings.deadlineMillis === undefined) return {};
  return { deadline: Date.now() + settings.deadlineMillis };
}
