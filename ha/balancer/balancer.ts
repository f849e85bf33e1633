import { type ClientTls, parseAddress } from "../rpc/client.ts";
import { DeadlineWheel } from "../rpc/engine/deadline-wheel.ts";
import { HealthRegistry, ServingStatus } from "../rpc/health.ts";
import type { ServerTls } from "../rpc/types.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Log } from "../runtime/types.ts";
import { nothingYet, type RequestSoFar } from "./balanced-call.ts";
import { ActiveCalls, type CallContext, type Counters, newCounters } from "./call-context.ts";
import { CallQueue } from "./call-queue.ts";
import type { IncomingCall } from "./calls.ts";
import { ClientListener } from "./client-listener.ts";
import { Fleet, isHealthy, type MasterAddress } from "./fleet.ts";
import { HealthCall, isHealthPath, ownService } from "./health-call.ts";
import { type BalancerLimits, makeLimits } from "./limits.ts";
import { errorTrailers } from "./replies.ts";
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
  /** At least one; names are unique. */
  readonly masters: readonly MasterAddress[];
  /** How masters are reached: their CA, and the balancer's own front-proxy certificate. */
  readonly upstreamTls?: ClientTls | undefined;
  readonly log: Log;
  readonly limits?: Partial<BalancerLimits> | undefined;
}

interface MasterReport {
  readonly name: string;
  readonly address: string;
  /** The master reports that it is ready, and is connected. */
  readonly healthy: boolean;
  /** The master does not answer the probe: its process may be stopped. */
  readonly silent: boolean;
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
  for (const { address } of options.masters) parseAddress(address);
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
  readonly #context: CallContext;
  readonly #health = new HealthRegistry();
  readonly #spread: StreamSpread;
  #port = 0;
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
      deadlines: new DeadlineWheel(),
    };
    this.#spread = new StreamSpread(this.#context);
    this.#clients = new ClientListener({
      tls: options.listen.tls,
      log,
      limits,
      deadlines: this.#context.deadlines,
      call: (call) => this.#take(call),
    });
  }

  get port(): number {
    return this.#port;
  }

  async listen(): Promise<void> {
    const { host, port } = this.#options.listen;
    this.#port = (await this.#clients.listen({ host, port })).port;
    this.#options.log.info("balancer listens", { host, port: this.#port });
  }

  status(): BalancerStatus {
    const leader = this.#fleet.leader;
    return {
      ...this.#context.counters,
      draining: this.#draining,
      connections: this.#clients.connections,
      active: this.#context.active.size,
      waiting: this.#context.queue.size,
      masters: this.#fleet.masters.map((master) => ({
        name: master.name,
        address: master.address,
        healthy: isHealthy(master),
        silent: master.upstream.silent,
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
    this.#clients.stop();
    const empty = new Promise<void>((resolve) => this.#clients.whenEmpty(resolve));
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
    this.#clients.destroy();
    await new Promise<void>((resolve) => this.#clients.whenEmpty(resolve));
    this.#fleet.close();
  }

  #take(call: IncomingCall): void {
    this.#context.counters.calls++;
    const { refusal } = call;
    if (refusal !== undefined) {
      this.#context.counters.refusals++;
      call.finish(errorTrailers(Code.unauthenticated, refusal));
    } else if (isHealthPath(call.head.route.path)) {
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
