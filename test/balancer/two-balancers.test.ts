/** Two balancers in front of the same masters: clients that know both survive the end of either. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type Client, credentials, Metadata } from "@grpc/grpc-js";
import type { Balancer } from "../../ha/balancer/mod.ts";
import { call, connect, serverStreamIterable } from "../../ha/rpc/mod.ts";
import { serviceConfig } from "../../ha/rpc/service-config.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { LeasesClient } from "../../proto/gen/coordination.ts";
import { eventually } from "../patience.ts";
import { type Cluster, startCluster } from "./fakes.ts";

let cluster: Cluster;
let pair: [Balancer, Balancer];
let ports: [number, number];
const clients: Client[] = [];
/** Request ids of the writes that masters have done. */
const done = new Set<string>();

before(async () => {
  cluster = await startCluster();
  pair = [cluster.balancer, await cluster.open()];
  ports = [pair[0].port, pair[1].port];
  for (const master of cluster.masters) {
    master.handle = async (method, _, context) => {
      await new Promise((resolve) => setImmediate(resolve));
      if (method === "create") done.add(String(context.metadata.get("trireme-request-id")[0]));
      return { metadata: { name: master.name } };
    };
    master.watch = async function* ({ signal }) {
      let n = 0;
      while (!signal.aborted) {
        yield { type: "MODIFIED", object: { metadata: { name: `${++n}` } } };
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
  }
});
after(async () => {
  for (const client of clients) client.close();
  await cluster.stop();
});

/** Everything, for all these writes carry request ids. */
const repeated = [{}];
const target = () => `ipv4:${ports.map((port) => `127.0.0.1:${port}`).join(",")}`;
const plain = (policy: "pick_first" | "round_robin") =>
  new LeasesClient(target(), credentials.createInsecure(), {
    "grpc.service_config": serviceConfig({ policy, repeated }),
    "grpc.use_local_subchannel_pool": 1,
    // gRPC's own seconds are longer than the retries of a call last.
    "grpc.initial_reconnect_backoff_ms": 50,
    "grpc.max_reconnect_backoff_ms": 200,
  });
const ours = (spread: boolean) =>
  connect(LeasesClient, {
    addresses: ports.map((port) => `127.0.0.1:${port}`),
    spread,
    repeated,
  });

class Worker {
  reads = 0;
  writes = 0;
  events = 0;
  readonly errors: unknown[] = [];
  readonly #client: LeasesClient;
  readonly #name: string;
  readonly #stop = new AbortController();
  readonly #ended: Promise<unknown>;

  constructor(client: LeasesClient, name: string) {
    this.#client = client;
    this.#name = name;
    clients.push(client);
    const loops = [() => this.#read(), () => this.#write()];
    this.#ended = Promise.all([...loops.map((loop) => this.#repeat(loop)), this.#watch()]);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  async #repeat(loop: () => Promise<void>): Promise<void> {
    while (!this.#stop.signal.aborted) await loop().catch((error) => this.errors.push(error));
  }

  async #read(): Promise<void> {
    await call(this.#client, "get", {});
    this.reads++;
  }

  async #write(): Promise<void> {
    const metadata = new Metadata();
    metadata.set("trireme-request-id", `${this.#name}-${this.writes}`);
    await call(this.#client, "create", {}, { metadata });
    this.writes++;
  }

  /** As an informer does: whenever it ends as unavailable, once more. */
  async #watch(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        for await (const _ of serverStreamIterable(this.#client, "watch", {}, { signal })) {
          this.events++;
        }
      } catch (thrown) {
        const { code } = StatusError.from(thrown);
        if (code !== Code.unavailable && !signal.aborted) this.errors.push(thrown);
      }
    }
  }
}

interface Kind {
  readonly make: () => LeasesClient;
  /** It holds a connection to each. */
  readonly both: boolean;
}

const kinds: Readonly<Record<string, Kind>> = {
  "connect() to the first that answers": { make: () => ours(false), both: false },
  "connect() to all": { make: () => ours(true), both: true },
  "plain grpc-js, pick_first": { make: () => plain("pick_first"), both: false },
  "plain grpc-js, round_robin": { make: () => plain("round_robin"), both: true },
};

describe("two balancers", () => {
  for (const [kind, { make, both }] of Object.entries(kinds)) {
    test(`either may die: ${kind}`, async () => {
      done.clear();
      const workers = [0, 1, 2].map((n) => new Worker(make(), `${kind}-${n}`));
      for (const victim of [0, 1, 0] as const) {
        await progress(workers);
        await pair[victim].close();
        await progress(workers);
        const opened = await cluster.open(ports[victim]);
        pair[victim] = opened;
        if (!both) continue;
        // Until then the end of the other one would be the end of all that a client has.
        await eventually("all are back", () => opened.status().connections === workers.length);
      }
      await progress(workers);
      await Promise.all(workers.map((worker) => worker.stop()));
      for (const client of clients.splice(0)) client.close();
      assert.deepEqual(
        workers.flatMap(({ errors }) => errors),
        [],
      );
      const writes = workers.reduce((sum, worker) => sum + worker.writes, 0);
      assert.equal(done.size, writes, "every write is done, none under two ids");
    });
  }

  test("one that drains is left without an error, also by a client that repeats nothing", async () => {
    const addresses = ports.map((port) => `127.0.0.1:${port}`);
    const workers = [0, 1].map((n) => new Worker(connect(LeasesClient, { addresses }), `${n}`));
    await progress(workers);
    // Long enough for every call under way, on a machine of any load.
    await pair[0].drain(20_000);
    await progress(workers);
    pair[0] = await cluster.open(ports[0]);
    await Promise.all(workers.map((worker) => worker.stop()));
    assert.deepEqual(
      workers.flatMap(({ errors }) => errors),
      [],
    );
  });

  test("without a retry policy a call under way fails with its balancer", async () => {
    const client = connect(LeasesClient, { addresses: [`127.0.0.1:${ports[0]}`] });
    clients.push(client);
    let arrived = false;
    const { handle } = cluster.masters[0];
    cluster.masters[0].handle = () => {
      arrived = true;
      return new Promise<never>(() => {});
    };
    const pending = call(client, "create", {});
    await eventually("it has arrived", () => arrived);
    await Promise.all([assert.rejects(pending, { code: Code.unavailable }), pair[0].close()]);
    cluster.masters[0].handle = handle;
    pair[0] = await cluster.open(ports[0]);
  });
});

async function progress(workers: readonly Worker[]): Promise<void> {
  const before = workers.map(({ reads, writes, events }) => ({ reads, writes, events }));
  await eventually("everybody gets on", () =>
    workers.every(({ reads, writes, events }, at) => {
      const old = before[at]!;
      return reads > old.reads + 20 && writes > old.writes + 20 && events > old.events + 2;
    }),
  );
}
