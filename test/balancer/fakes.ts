/** Masters for the balancer's tests: real gRPC servers with a memory instead of a store. */
import { connect as connectTcp, createServer, type Socket } from "node:net";
import { afterEach } from "node:test";
import type { Client, Metadata } from "@grpc/grpc-js";
import {
  type Balancer,
  type BalancerOptions,
  type MasterAddress,
  startBalancer,
} from "../../ha/balancer/mod.ts";
import {
  addReflection,
  bidiStream,
  type ClientConstructor,
  type ClientTls,
  clientStream,
  connect,
  createRpcServer,
  type RpcServer,
  type ServerTls,
  serverStream,
  unary,
} from "../../ha/rpc/mod.ts";
import type { CallContext } from "../../ha/rpc/types.ts";
import { ClusterService, type MemberStatus } from "../../proto/gen/cluster.ts";
import { type Lease, type LeaseEvent, LeasesService } from "../../proto/gen/coordination.ts";
import { KVService, LeaseService } from "../../proto/gen/etcd.ts";
import { eventually } from "../patience.ts";
import { EchoService } from "../rpc/echo.ts";
import { type LogLine, memoryLog } from "../rpc/helpers.ts";

/** A wire to a master that can go dead without a word. */
export async function startWire(master: { readonly port: number }) {
  const sockets = new Set<Socket>();
  let dead = false;
  const server = createServer((near) => {
    sockets.add(near);
    near.on("error", () => {});
    if (dead) return;
    const far = connectTcp(master.port, "127.0.0.1");
    sockets.add(far);
    far.on("error", () => {});
    near.on("data", (chunk) => dead || far.write(chunk)).on("close", () => far.destroy());
    far.on("data", (chunk) => dead || near.write(chunk)).on("close", () => near.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    port: address !== null && typeof address === "object" ? address.port : 0,
    kill() {
      dead = true;
    },
    /** As when the master's process is stopped: connections stay, and nothing comes. */
    freeze() {
      for (const socket of sockets) socket.pause();
    },
    thaw() {
      for (const socket of sockets) socket.resume();
    },
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

export interface Seen {
  readonly method: string;
  readonly metadata: Metadata;
  readonly peer: CallContext["peer"];
}

export function header(seen: Seen | undefined, name: string): string | undefined {
  const value = seen?.metadata.get(name)[0];
  return value === undefined ? undefined : String(value);
}

type Handle = (request: never, context: CallContext) => Promise<Lease>;

export class FakeMaster {
  readonly name: string;
  readonly seen: Seen[] = [];
  readonly lines: LogLine[] = [];
  /** What unary lease calls do; by default they answer with the master's name. */
  handle: (method: string, request: unknown, context: CallContext) => Promise<Lease>;
  /** What a lease watch does. */
  watch: (context: CallContext) => AsyncIterable<LeaseEvent>;
  /** What a call of etcd waits for before its empty answer. */
  etcd: (method: string) => Promise<void>;
  chat: (requests: AsyncIterable<Buffer>, context: CallContext) => AsyncIterable<Buffer>;
  say: (request: Buffer, context: CallContext) => Promise<Buffer>;
  status: MemberStatus;
  maxConcurrentStreams: number | undefined;
  port = 0;
  #tls: ServerTls | undefined;
  #server: RpcServer | undefined;
  #wake = new Set<() => void>();
  #watchCut = new Set<() => void>();

  constructor(name: string, leaderName: string | undefined) {
    this.name = name;
    const role = name === leaderName ? "leader" : "follower";
    this.status = { name, role, term: 1, ready: true };
    if (leaderName !== undefined) this.status.leaderName = leaderName;
    this.handle = async () => ({ metadata: { name: this.name } });
    this.watch = async function* () {};
    this.etcd = async () => {};
    this.chat = async function* (requests) {
      for await (const request of requests) yield request;
    };
    this.say = async (request) => request;
  }

  async start(tls?: ServerTls): Promise<void> {
    this.#tls = tls ?? this.#tls;
    const server = createRpcServer({
      log: memoryLog(this.lines),
      tls: this.#tls,
      maxConcurrentStreams: this.maxConcurrentStreams,
    });
    this.#server = server;
    const see = (method: string, context: CallContext) => {
      this.seen.push({ method, metadata: context.metadata, peer: context.peer });
    };
    const lease = (method: string) =>
      unary<never, Lease>((request, context) => {
        see(method, context);
        return this.handle(method, request, context);
      }) as unknown as Handle;
    server.addService(LeasesService, {
      ...Object.fromEntries(Object.keys(LeasesService).map((name) => [name, lease(name) as never])),
      watch: serverStream<unknown, LeaseEvent>((_, context) => {
        see("watch", context);
        return this.watch(context);
      }),
    });
    this.#addEtcd(server, see);
    addReflection(server);
    server.addService(ClusterService, {
      status: unary<unknown, MemberStatus>(async () => this.status),
      pods: unary(async () => ({})),
      snapshot: serverStream(async function* () {}),
      watchStatus: serverStream<unknown, MemberStatus>((_, context) => this.#statuses(context)),
    });
    server.addService(EchoService, {
      say: unary<Buffer, Buffer>((request, context) => {
        see("say", context);
        return this.say(request, context);
      }),
      collect: clientStream<Buffer, Buffer>(async () => Buffer.alloc(0)),
      repeat: serverStream<Buffer, Buffer>(async function* () {}),
      chat: bidiStream<Buffer, Buffer>((requests, context) => {
        see("chat", context);
        return this.chat(requests, context);
      }),
    });
    this.port = (await server.listen({ host: "127.0.0.1", port: this.port })).port;
  }

  #addEtcd(server: RpcServer, see: (method: string, context: CallContext) => void): void {
    const etcd = (method: string) =>
      unary<never, never>(async (_, context) => {
        see(method, context);
        await this.etcd(method);
        return {} as never;
      }) as never;
    const all = (service: object) =>
      Object.fromEntries(Object.keys(service).map((name) => [name, etcd(name)]));
    const none = serverStream<never, never>(async function* () {}) as never;
    server.addService(KVService, all(KVService));
    server.addService(LeaseService, { ...all(LeaseService), leaseKeepAlive: none });
  }

  set(status: Partial<MemberStatus>): void {
    this.status = { ...this.status, ...status };
    for (const wake of this.#wake) wake();
  }

  /** Every connection breaks at once, as when the process is killed. */
  async kill(): Promise<void> {
    await this.#server?.close();
  }

  drain(graceMillis: number): Promise<void> {
    return this.#server?.drain(graceMillis) ?? Promise.resolve();
  }

  /** Ends the status streams, and nothing else. */
  cutStatus(): void {
    for (const cut of this.#watchCut) cut();
  }

  async *#statuses(context: CallContext): AsyncGenerator<MemberStatus> {
    let over = false;
    let wake = () => {};
    const woken = () => wake();
    const cut = () => {
      over = true;
      wake();
    };
    this.#wake.add(woken);
    this.#watchCut.add(cut);
    context.signal.addEventListener("abort", cut);
    try {
      let sent: MemberStatus | undefined;
      while (!over) {
        if (sent !== this.status) {
          sent = this.status;
          yield sent;
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      this.#wake.delete(woken);
      this.#watchCut.delete(cut);
    }
  }
}

/** Three masters, the first one leading, a balancer, and everything's end. */
export async function startCluster(
  options: {
    readonly tls?: ServerTls;
    readonly masterTls?: ServerTls;
    readonly upstreamTls?: ClientTls;
    readonly limits?: BalancerOptions["limits"];
    readonly maxConcurrentStreams?: number;
    readonly tracer?: BalancerOptions["tracer"];
    /** Where the balancer finds a master, when not at its own port. */
    readonly portOf?: (master: FakeMaster) => Promise<number>;
    /** Where a master serves REST; with it, the balancer does too. */
    readonly restPortOf?: (master: FakeMaster) => Promise<number>;
  } = {},
) {
  const masters = ["master-0", "master-1", "master-2"].map(
    (name) => new FakeMaster(name, "master-0"),
  );
  const addresses: MasterAddress[] = [];
  for (const master of masters) {
    master.maxConcurrentStreams = options.maxConcurrentStreams;
    await master.start(options.masterTls);
    const port = (await options.portOf?.(master)) ?? master.port;
    const restPort = await options.restPortOf?.(master);
    const rest = restPort === undefined ? undefined : `127.0.0.1:${restPort}`;
    addresses.push({ name: master.name, address: `127.0.0.1:${port}`, rest });
  }
  const lines: LogLine[] = [];
  const balancers: Balancer[] = [];
  /** One in front of these masters, at any port or at this one, that sees them all. */
  const open = async (port = 0): Promise<Balancer> => {
    const opened = await startBalancer({
      listen: { host: "127.0.0.1", port, tls: options.tls },
      rest: options.restPortOf && { host: "127.0.0.1", port: 0, tls: options.tls },
      masters: addresses,
      upstreamTls: options.upstreamTls,
      log: memoryLog(lines),
      tracer: options.tracer,
      // Slow start has tests of its own.
      limits: { slowStartMillis: 1, ...options.limits },
    });
    balancers.push(opened);
    await eventually("all are healthy", () =>
      opened.status().masters.every((each) => each.healthy),
    );
    return opened;
  };
  const balancer = await open();
  const healthy = () => balancer.status().masters.filter((master) => master.healthy).length;
  const clients: Client[] = [];
  return {
    masters: masters as [FakeMaster, FakeMaster, FakeMaster],
    balancer,
    open,
    healthy,
    lines,
    address: `127.0.0.1:${balancer.port}`,
    client<C extends Client>(Client: ClientConstructor<C>, tls?: ClientTls): C {
      const client = connect(Client, { addresses: [`127.0.0.1:${balancer.port}`], tls });
      clients.push(client);
      return client;
    },
    async stop() {
      for (const client of clients) client.close();
      for (const each of balancers) await each.close();
      for (const master of masters) await master.kill();
    },
  };
}

export type Cluster = Awaited<ReturnType<typeof startCluster>>;

/** A function that starts a cluster, which ends with the test. */
export function useCluster(): typeof startCluster {
  let cluster: Cluster | undefined;
  afterEach(async () => {
    await cluster?.stop();
    cluster = undefined;
  });
  return async (options) => {
    cluster = await startCluster(options);
    return cluster;
  };
}
