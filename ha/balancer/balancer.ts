import { type ClientTls, parseAddress } from "../rpc/address.ts";
import { DeadlineWheel } from "../rpc/engine/deadline-wheel.ts";
import { HealthRegistry, ServingStatus } from "../rpc/health.ts";
import type { ServerTls } from "../rpc/types.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Tracer } from "../runtime/trace.ts";
import type { Log } from "../runtime/types.ts";
import { nothingYet, type RequestSoFar } from "./balanced-call.ts";
import { ActiveCalls, type CallContext, type Counters, newCounters } from "./call-context.ts";
import { CallQueue } from "./call-queue.ts";
import type { IncomingCall } from "./calls.ts";
import { ClientListener } from "./client-listener.ts";
import { Fleet } from "./fleet.ts";
import { GrpcConnection } from "./grpc-connection.ts";
import { HealthCall, isHealthPath, ownService } from "./health-call.ts";
import { type BalancerLimits, makeLimits } from "./limits.ts";
import { isHealthy, isSilent, type MasterAddress } from "./master.ts";
import type { Faces } from "./membership.ts";
import { moveWithin } from "./moves.ts";
import { RestConnection } from "./rest-connection.ts";
import { RestHttp1 } from "./rest-http1.ts";
import { Tunnel } from "./rest-tunnel.ts";
import { StreamSpread } from "./spread.ts";
import { StreamCall } from "./stream-call.ts";
import { UnaryCall } from "./unary-call.ts";

export interface BalancerOptions {
  readonly listen: {
    readonly host: string;
    /** 0: any free one. */
    readonly port: number;
    /** Absent: plaintext, for loopback only. */
    readonly tls?: ServerTls | undefined;
  };
  /** Serves REST too, for the same masters, which then have a `rest` address. */
  readonly rest?: BalancerOptions["listen"] | undefined;
  /** At least one; names are unique. */
  readonly masters: readonly MasterAddress[];
  /** What the masters are followed for that join and leave the cluster; absent: they are not. */
  readonly faces?: Faces | undefined;
  /** How masters are reached: their CA, and the balancer's own front-proxy certificate. */
  readonly upstreamTls?: ClientTls | undefined;
  /** Makes spans of the calls; absent: they carry on what they came with. */
  readonly tracer?: Tracer | undefined;
  readonly log: Log;
  readonly limits?: Partial<BalancerLimits> | undefined;
}

export interface MasterReport {
  readonly name: string;
  readonly address: string;
  /** The master reports that it is ready, and is connected. */
  readonly healthy: boolean;
  /** The master does not answer the probe: its process may be stopped. */
  readonly silent: boolean;
  /** The master is connected for REST; undefined: that is not served. */
  readonly restConnected: boolean | undefined;
  /** The master is silent while another one is not; it gets no new calls. */
  readonly suspected: boolean;
  /** The master is healthy but fails calls; it gets no new ones for a while. */
  readonly ejected: boolean;
  /** How often the master has been ejected. */
  readonly ejections: number;
  /** Percent of its fair share of unary calls: less than 100 while the master warms up. */
  readonly sharePercent: number;
  readonly leader: boolean;
  readonly term: number | undefined;
  /** Calls under way. */
  readonly unary: number;
  readonly streams: number;
  readonly attempts: number;
  /** Attempts that came to no reply, … */
  readonly failures: number;
  /** … and those that count against it: replies that tell of its own fault are among them. */
  readonly faults: number;
}

interface BalancerStatus extends Readonly<Counters> {
  readonly draining: boolean;
  readonly connections: number;
  /** Calls under way, those that wait for a master included. */
  readonly active: number;
  readonly waiting: number;
  readonly masters: readonly MasterReport[];
}

export interface Balancer {
  readonly port: number;
  /** The port for REST; undefined: it is not served. */
  readonly restPort: number | undefined;
  status(): BalancerStatus;
  /** Takes no new connections and calls; those under way get `graceMillis` to end; then closes. */
  drain(graceMillis: number): Promise<void>;
  /** Closes at once. */
  close(): Promise<void>;
}

/** Resolves when it listens; masters may come later. Rejects with a StatusError. */
export async function startBalancer(options: BalancerOptions): Promise<Balancer> {
  const names = options.masters.map(({ name }) => name);
  if (names.length === 0 || new Set(names).size < names.length) {
    const text = `masters: one or more with different names are wanted, not "${names.join(", ")}"`;
    throw new StatusError(Code.invalidArgument, text);
  }
  for (const { name, address, rest } of options.masters) {
    parseAddress(address);
    if (rest !== undefined) parseAddress(rest);
    else if (options.rest !== undefined) {
      throw new StatusError(Code.invalidArgument, `masters: ${name} has no address for REST`);
    }
  }
  const balancer = new RunningBalancer(options);
  try {
    await balancer.listen();
  } catch (error) {
    await balancer.close();
    throw error;
  }
  return balancer;
}

class RunningBalancer implements Balancer {
  readonly #options: BalancerOptions;
  readonly #fleet: Fleet;
  readonly #clients: ClientListener;
  readonly #restClients: ClientListener | undefined;
  readonly #context: CallContext;
  readonly #health = new HealthRegistry();
  readonly #spread: StreamSpread;
  #port = 0;
  restPort: number | undefined;
  #draining = false;
  #closed = false;

  constructor(options: BalancerOptions) {
    this.#options = options;
    const { log, masters, upstreamTls: tls } = options;
    const limits = makeLimits(options.limits);
    const queue = new CallQueue(limits.waitingCalls, limits.waitMillis);
    this.#health.set(ownService, ServingStatus.SERVING);
    this.#health.set("", ServingStatus.NOT_SERVING);
    this.#fleet = new Fleet({
      masters,
      faces: options.faces,
      tls,
      log,
      limits,
      changed: () => this.#changed(),
      suspected: (master) => {
        for (const call of this.#context.active.all()) call.suspected(master);
      },
    });
    this.#context = {
      fleet: this.#fleet,
      queue,
      limits,
      log,
      counters: newCounters(),
      active: new ActiveCalls(),
      tracer: options.tracer,
      deadlines: new DeadlineWheel(),
    };
    this.#spread = new StreamSpread(this.#context);
    const call = (incoming: IncomingCall) => this.#take(incoming);
    const { deadlines } = this.#context;
    this.#clients = new ClientListener({
      ...{ log, limits, tls: options.listen.tls },
      connect: (peer) => new GrpcConnection({ log, limits, deadlines, call }, peer),
    });
    if (options.rest === undefined) return;
    this.#restClients = new ClientListener({
      ...{ log, limits, tls: options.rest.tls },
      connect: (peer) => new RestConnection({ log, limits, call }, peer),
      http1: new RestHttp1({
        limits,
        call,
        upgrade: (upgrade) => {
          this.#context.counters.calls++;
          new Tunnel(upgrade, this.#context, tls);
        },
      }),
    });
  }

  get port(): number {
    return this.#port;
  }

  async listen(): Promise<void> {
    const { host, port } = this.#options.listen;
    this.#port = (await this.#clients.listen({ host, port })).port;
    this.#options.log.info("balancer listens", { host, port: this.#port });
    const { rest } = this.#options;
    if (rest === undefined || this.#restClients === undefined) return;
    this.restPort = (await this.#restClients.listen(rest)).port;
    this.#options.log.info("balancer listens for REST", { host: rest.host, port: this.restPort });
  }

  get #listeners(): readonly ClientListener[] {
    return this.#restClients === undefined ? [this.#clients] : [this.#clients, this.#restClients];
  }

  /** Resolves when no connection of a client is left. */
  async #empty(): Promise<void> {
    const each = (listener: ClientListener) =>
      new Promise<void>((resolve) => listener.whenEmpty(resolve));
    await Promise.all(this.#listeners.map(each));
  }

  status(): BalancerStatus {
    const leader = this.#fleet.leader;
    return {
      ...this.#context.counters,
      draining: this.#draining,
      connections: this.#listeners.reduce((sum, { connections }) => sum + connections, 0),
      active: this.#context.active.size,
      waiting: this.#context.queue.size,
      masters: this.#fleet.masters.map((master) => ({
        name: master.name,
        address: master.address,
        healthy: isHealthy(master),
        restConnected: master.rest?.connected,
        silent: isSilent(master),
        suspected: master.suspected,
        ejected: master.ejected,
        ejections: master.ejections,
        sharePercent: this.#fleet.sharePercent(master),
        leader: master === leader,
        term: master.status?.term,
        unary: master.unary,
        streams: master.streams,
        attempts: master.attempts,
        failures: master.failures,
        faults: master.faults,
      })),
    };
  }

  async drain(graceMillis: number): Promise<void> {
    if (this.#draining) return;
    this.#draining = true;
    this.#spread.stop();
    this.#options.log.info("balancer drains", { graceMillis, active: this.#context.active.size });
    this.#health.shutDown();
    for (const listener of this.#listeners) listener.stop();
    const streams = this.#context.active.all().filter((call) => call instanceof StreamCall);
    moveWithin(Math.min(graceMillis, this.#context.limits.leaveMillis), streams);
    const empty = this.#empty();
    await within(empty, graceMillis);
    for (const call of this.#context.active.all()) call.shutDown("the balancer is shutting down");
    await within(empty, this.#context.limits.farewellMillis);
    await this.close();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#draining = true;
    this.#spread.stop();
    for (const listener of this.#listeners) listener.destroy();
    await this.#empty();
    this.#fleet.close();
  }

  #take(call: IncomingCall): void {
    this.#context.counters.calls++;
    const { refusal } = call;
    if (refusal !== undefined) {
      this.#context.counters.refusals++;
      call.fail(Code.unauthenticated, refusal);
    } else if (call.head.route.link === "grpc" && isHealthPath(call.head.route.path)) {
      new HealthCall(call, this.#context, this.#health, (request) => this.#forward(call, request));
    } else {
      this.#forward(call, nothingYet);
    }
  }

  #forward(call: IncomingCall, request: RequestSoFar): void {
    if (call.head.route.method.shape === "unary") new UnaryCall(call, this.#context, request);
    else new StreamCall(call, this.#context, request);
  }

  #changed(): void {
    if (this.#draining) return;
    const serving = this.#fleet.healthy.length > 0;
    this.#health.set("", serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING);
    this.#context.queue.wake();
  }
}

/** Resolves with the promise, or after so long. */
function within(promise: Promise<void>, millis: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, millis);
    void promise.then(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
