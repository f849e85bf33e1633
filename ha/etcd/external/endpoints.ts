/** The members of an external etcd cluster, and calls that find one of them that answers. */
import { type Client, type ClientOptions, credentials, Metadata } from "@grpc/grpc-js";
import {
  ClusterClient,
  KVClient,
  LeaseClient,
  MaintenanceClient,
  WatchClient,
} from "../../../proto/gen/etcd.ts";
import { type CallSettings, type ClientTls, connect, parseAddress } from "../../rpc/mod.ts";
import { Code, StatusError } from "../../runtime/status-error.ts";
import { type Span, traceparentHeader } from "../../runtime/trace.ts";
import type { Log } from "../../runtime/types.ts";
import { storeErrors } from "../../store/mod.ts";
import { etcdLimits } from "../limits.ts";
import { failureOf, nothingDone, reasonOf } from "./failures.ts";
import { externalLimits } from "./limits.ts";
import { pause } from "./pause.ts";

/** One member's address, with the clients that share its connection. */
export class Endpoint {
  readonly address: string;
  readonly kv: KVClient;
  readonly watch: WatchClient;
  readonly lease: LeaseClient;
  readonly cluster: ClusterClient;
  readonly maintenance: MaintenanceClient;
  /** The endpoint is known to be a member of the cluster; calls move only to such endpoints. */
  verified = false;

  constructor(address: string, tls: ClientTls | undefined) {
    this.address = address;
    this.kv = connect(KVClient, {
      addresses: [address],
      tls,
      maxMessageBytes: etcdLimits.messageBytes,
      keepaliveMillis: externalLimits.keepaliveMillis,
      keepaliveTimeoutMillis: externalLimits.keepaliveTimeoutMillis,
    });
    const shared = sharing(address, this.kv.getChannel());
    this.watch = shared(WatchClient);
    this.lease = shared(LeaseClient);
    this.cluster = shared(ClusterClient);
    this.maintenance = shared(MaintenanceClient);
  }

  close(): void {
    this.kv.close();
  }
}

type SharingConstructor<C extends Client> = new (
  address: string,
  unused: ReturnType<typeof credentials.createInsecure>,
  options: Partial<ClientOptions>,
) => C;

/** Makes clients that use the channel; address and credentials are the channel's then. */
function sharing(address: string, channel: ReturnType<Client["getChannel"]>) {
  // grpc-js types its own channels in two ways.
  const channelOverride = channel as NonNullable<ClientOptions["channelOverride"]>;
  return <C extends Client>(Constructor: SharingConstructor<C>): C =>
    new Constructor(address, credentials.createInsecure(), { channelOverride });
}

export interface CallOptions {
  /** Doing it twice does no harm: it may be repeated after an attempt of unknown outcome. */
  readonly repeatable: boolean;
  /** Served by a member without a leader too. */
  readonly serializable?: boolean | undefined;
  /** Of one attempt; default `callMillis`. */
  readonly attemptMillis?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Of a traced request: the member is told of its trace, and may make spans of its own. */
  readonly span?: Span | undefined;
}

type Body<T> = (endpoint: Endpoint, settings: CallSettings) => Promise<T>;

export class Endpoints {
  readonly all: readonly Endpoint[];
  private readonly log: Log;
  private readonly closing = new AbortController();
  private index = 0;

  constructor(addresses: readonly string[], tls: ClientTls | undefined, log: Log) {
    checkAddresses(addresses);
    this.log = log;
    this.all = addresses.map((address) => new Endpoint(address, tls));
  }

  /** The endpoint that calls go to. */
  get current(): Endpoint {
    const endpoint = this.all[this.index];
    if (endpoint === undefined) throw storeErrors.stopped();
    return endpoint;
  }

  get closed(): boolean {
    return this.closing.signal.aborted;
  }

  get closingSignal(): AbortSignal {
    return this.closing.signal;
  }

  /** Sends later calls to another endpoint, unless an earlier failure has done so already. */
  leave(endpoint: Endpoint, error: StatusError): void {
    if (this.closed || endpoint !== this.current) return;
    const { length } = this.all;
    for (let step = 1; step < length; step++) {
      const index = (this.index + step) % length;
      const next = this.all[index];
      if (next?.verified !== true) continue;
      this.index = index;
      const fields = { from: endpoint.address, to: next.address, reason: reasonOf(error) };
      this.log.info("calls go to another etcd endpoint", fields);
      return;
    }
  }

  /**
   * Calls until an endpoint answers or says no. One that is unavailable is left for the next; a
   * call that is not repeatable goes on only if it has certainly not been carried out.
   */
  async call<T>(options: CallOptions, body: Body<T>): Promise<T> {
    const { signal } = options;
    const until = performance.now() + externalLimits.failoverMillis;
    for (let attempt = 1; ; attempt++) {
      if (this.closed) throw storeErrors.stopped();
      const endpoint = this.current;
      try {
        return await body(endpoint, {
          metadata: metadataFor(options),
          deadlineMillis: options.attemptMillis ?? externalLimits.callMillis,
          signal,
        });
      } catch (thrown) {
        if (this.closed) throw storeErrors.stopped();
        const error = failureOf(thrown);
        if (error.code !== Code.unavailable) throw error;
        this.leave(endpoint, error);
        const mayRepeat = options.repeatable || nothingDone(error);
        if (!mayRepeat || performance.now() >= until || signal?.aborted === true) throw error;
      }
      if (attempt % this.all.length === 0) {
        await pause(externalLimits.roundMillis, this.closing.signal);
      }
    }
  }

  close(): void {
    if (this.closed) return;
    this.closing.abort();
    for (const endpoint of this.all) endpoint.close();
  }
}

function metadataFor({ serializable, span }: CallOptions): Metadata {
  const metadata = serializable === true ? new Metadata() : needsLeader();
  if (span !== undefined) metadata.set(traceparentHeader, span.traceparent);
  return metadata;
}

/** A member without a leader refuses at once, instead of letting the call wait for its timeout. */
export function needsLeader(): Metadata {
  const metadata = new Metadata();
  metadata.set("hasleader", "true");
  return metadata;
}

function checkAddresses(addresses: readonly string[]): void {
  const { endpoints: most } = externalLimits;
  if (addresses.length === 0 || addresses.length > most) {
    const text = `endpoints: ${addresses.length} are named, 1 to ${most} are possible`;
    throw new StatusError(Code.invalidArgument, text);
  }
  for (const address of addresses) parseAddress(address);
}
