/**
 * The API of three masters under load, as `trireme up` starts them: what a call costs them in CPU,
 * over all three, and how many a second they answer. Calls go to the masters in turn. What the
 * cluster costs them when nothing is asked is taken off.
 *
 *   npm run bench -- api [--seconds 5] [--watchers 1000] [--pods 5000]
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { ConfigMapsService, PodsService } from "../../proto/gen/core.ts";
import { TestCluster } from "../e2e/cluster.ts";
import { LeanClient } from "./api/lean-client.ts";
import { cpuMicros } from "./store/processes.ts";
import { shown, table } from "./store/table.ts";

const namespace = "default";
const idleMillis = 3_000;
const warmMillis = 2_000;
const fanOutWriters = 8;

interface Measured {
  readonly name: string;
  readonly perSecond: number;
  readonly cpuMicrosEach: number;
}

interface Bench {
  readonly clients: readonly LeanClient[];
  readonly pids: readonly number[];
  /** CPU µs the masters use in a second when nothing is asked. */
  idle: number;
  readonly results: Measured[];
}

type Request = (client: LeanClient, sequence: number) => Promise<void>;

let names = 0;
const uniqueName = () => `bench-${names++}`;

export async function run(args: readonly string[]): Promise<void> {
  const { seconds, watchers, pods } = parse(args);
  const cluster = new TestCluster(20_000 + (process.pid % 300) * 100);
  try {
    await cluster.up(["--nodes", "1"]);
    const { masters, ca, clientCert, clientKey } = cluster.endpoints;
    const pem = (file: string) => readFileSync(file, "utf8");
    const credentials = { ca: pem(ca), cert: pem(clientCert), key: pem(clientKey) };
    const connecting = masters.map(({ grpc }) => LeanClient.connect(grpc, credentials));
    const clients = await Promise.all(connecting);
    const pids = masters.map(({ pid }) => pid).filter((pid) => pid !== undefined);
    const bench: Bench = { clients, pids, idle: 0, results: [] };
    try {
      await measureAll(bench, seconds, pods, watchers);
    } finally {
      for (const client of clients) client.close();
    }
    tell(bench.results);
  } finally {
    await cluster.close();
  }
}

async function measureAll(bench: Bench, seconds: number, pods: number, watchers: number) {
  const millis = seconds * 1_000;
  await createConfigMap(first(bench), 0, "read");
  const kinds: readonly (readonly [string, Request])[] = [
    ["create ConfigMap 256 B", (client) => createConfigMap(client)],
    ["create Pod 2 KB", (client) => createPod(client)],
    ["get linearizable", getConfigMap],
  ];
  for (const [, request] of kinds) await load(bench, request, 64, warmMillis);
  const before = cpuMicros(bench.pids);
  await new Promise((resolve) => setTimeout(resolve, idleMillis));
  bench.idle = ((cpuMicros(bench.pids) - before) * 1_000) / idleMillis;
  for (const [name, request] of kinds) {
    for (const atOnce of [64, 1]) {
      const measured = await load(bench, request, atOnce, millis);
      bench.results.push({ name: `${name}, ${atOnce} at once`, ...measured });
    }
  }
  let next = 0;
  const listed = "listed";
  const fill = async () => {
    while (next < pods) {
      next++;
      await createPod(first(bench), listed);
    }
  };
  await Promise.all(Array.from({ length: 32 }, fill));
  const { path, requestSerialize } = PodsService.list;
  const request = requestSerialize({ namespace, labelSelector: `app=${listed}` });
  const list: Request = (client) => client.call(path, request);
  bench.results.push({ name: `list of ${pods} pods`, ...(await load(bench, list, 1, millis)) });
  bench.results.push(await fanOut(bench, watchers, millis));
}

/** So many calls at once for so long; CPU and count of all that were begun in that time. */
async function load(bench: Bench, request: Request, atOnce: number, millis: number) {
  const { clients, pids } = bench;
  const before = cpuMicros(pids);
  const began = performance.now();
  let count = 0;
  const loop = async (_: unknown, index: number) => {
    for (let n = index; performance.now() - began < millis; n++) {
      await request(clients[n % clients.length] ?? first(bench), n);
      count++;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, loop));
  const elapsed = (performance.now() - began) / 1_000;
  const micros = cpuMicros(pids) - before - bench.idle * elapsed;
  return { perSecond: count / elapsed, cpuMicrosEach: micros / count };
}

/** Every watcher sees every ConfigMap that is made meanwhile. */
async function fanOut(bench: Bench, watchers: number, millis: number): Promise<Measured> {
  const { clients, pids } = bench;
  const { path, requestSerialize } = ConfigMapsService.watch;
  const request = requestSerialize({ namespace, labelSelector: "app=watched" });
  let events = 0;
  let broken: Error | undefined;
  for (let n = 0; n < watchers; n++) {
    const client = clients[n % clients.length] ?? first(bench);
    const count = () => {
      events++;
    };
    client.call(path, request, count).catch((error: Error) => {
      broken ??= error;
    });
  }
  const all = async (expected: number) => {
    const deadline = performance.now() + 60_000;
    while (events < expected) {
      if (broken !== undefined) throw broken;
      if (performance.now() > deadline) throw new Error(`${events} of ${expected} events came`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  await createConfigMap(first(bench), 0, uniqueName(), "watched");
  await all(watchers);
  const before = cpuMicros(pids);
  const began = performance.now();
  let made = 1;
  const write = async () => {
    while (performance.now() - began < millis) {
      await createConfigMap(first(bench), 0, uniqueName(), "watched");
      made++;
    }
  };
  await Promise.all(Array.from({ length: fanOutWriters }, write));
  await all(made * watchers);
  const elapsed = (performance.now() - began) / 1_000;
  const delivered = (made - 1) * watchers;
  const micros = cpuMicros(pids) - before - bench.idle * elapsed;
  const name = `watch events to ${watchers} watchers`;
  return { name, perSecond: delivered / elapsed, cpuMicrosEach: micros / delivered };
}

function createConfigMap(client: LeanClient, _ = 0, name = uniqueName(), app = "bench") {
  const { path, requestSerialize } = ConfigMapsService.create;
  const metadata = { name, namespace, labels: { app } };
  const object = { metadata, data: { value: "v".repeat(256) } };
  return client.call(path, requestSerialize({ object } as never));
}

/** For a scheduler that does not exist, so that it stays as it is. */
function createPod(client: LeanClient, app = "bench") {
  const { path, requestSerialize } = PodsService.create;
  const env = Array.from({ length: 20 }, (_, n) => {
    return { name: `VARIABLE_${n}`, value: "v".repeat(70) };
  });
  const resources = { requests: { cpu: "10m", memory: "16Mi" }, limits: { memory: "64Mi" } };
  const container = { name: "app", image: "node", command: ["node", "-e", "0"], env, resources };
  const metadata = { name: uniqueName(), namespace, labels: { app } };
  const spec = { schedulerName: "none", containers: [container] };
  return client.call(path, requestSerialize({ object: { metadata, spec } } as never));
}

const getRequest = ConfigMapsService.get.requestSerialize({ name: "read", namespace });
const getConfigMap: Request = (client) => client.call(ConfigMapsService.get.path, getRequest);

function first({ clients }: Bench): LeanClient {
  const [client] = clients;
  if (client === undefined) throw new Error("there are no masters");
  return client;
}

function tell(results: readonly Measured[]): void {
  const rows = results.map(({ name, perSecond, cpuMicrosEach }) => {
    return [name, shown(perSecond), shown(cpuMicrosEach)];
  });
  console.log(table(["three masters, TLS", "per second", "CPU µs each"], rows));
  console.log(JSON.stringify(results));
}

function parse(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: "string", default: "5" },
      watchers: { type: "string", default: "1000" },
      pods: { type: "string", default: "5000" },
    },
  });
  const number = (name: keyof typeof values, most: number): number => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= 1 && value <= most) return value;
    throw new Error(`--${name} ${values[name]}: must be a whole number in 1..${most}`);
  };
  return {
    seconds: number("seconds", 60),
    watchers: number("watchers", 10_000),
    pods: number("pods", 100_000),
  };
}
