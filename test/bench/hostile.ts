/**
 * What one master holds in memory under clients that mean no good: ten thousand watches that see
 * nothing, over ten connections, and then a thousand lists of five thousand pods at once. Beside
 * them another user reads one object, again and again, and its slowest reads are told. What flow
 * control refuses (429) is asked for again in about a second, as clients do, and counted.
 *
 *   npm run bench -- hostile [--watches 10000] [--connections 10] [--lists 1000] [--pods 5000]
 */
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { createAuthority } from "../../services/apiserver/pki/mod.ts";
import { TestCluster } from "../e2e/cluster.ts";
import { type ApiFace, restFace } from "./api/faces.ts";
import { RestClient } from "./api/rest-client.ts";
import { residentMegabytes } from "./store/processes.ts";
import { shown, table } from "./store/table.ts";

const namespace = "default";
const app = "hostile";
const fillers = 16;
const settleMillis = 5_000;

interface Load {
  readonly watches: number;
  readonly connections: number;
  readonly lists: number;
  readonly pods: number;
}

export async function run(args: readonly string[]): Promise<void> {
  const load = parse(args);
  const cluster = new TestCluster();
  try {
    await cluster.up(["--masters", "1", "--nodes", "1"]);
    const [master] = cluster.endpoints.masters;
    if (master?.pid === undefined) throw new Error("the cluster tells of no master");
    const { ca, clientCert, clientKey } = cluster.endpoints;
    const pem = (file: string) => readFileSync(file, "utf8");
    const credentials = { ca: pem(ca), cert: pem(clientCert), key: pem(clientKey) };
    const connect = () => RestClient.connect(master.https, credentials);
    const authority = await createAuthority(dirname(ca));
    const other = {
      commonName: "reader",
      organizations: ["system:masters"],
      use: "client",
    } as const;
    const own = { ca: credentials.ca, ...(await authority.issue(other)) };
    const reader = restFace("reader", [await RestClient.connect(master.https, own)], namespace);
    await reader.createConfigMap("read", app);
    await fill(reader, load.pods);
    const gauge = new Gauge(master.pid, reader);
    try {
      await attack(load, connect, gauge);
    } finally {
      gauge.tell();
      reader.close();
    }
  } finally {
    await cluster.close();
  }
}

async function attack(load: Load, connect: () => Promise<RestClient>, gauge: Gauge): Promise<void> {
  await gauge.during("before", () => pause(settleMillis));
  const opening = Array.from({ length: load.connections }, connect);
  const clients = await Promise.all(opening);
  const paths = `/api/v1/namespaces/${namespace}`;
  const watch = `${paths}/secrets?watch=true&labelSelector=app%3Dabsent`;
  const watching = new Insistence();
  await gauge.during(`${load.watches} watches`, async () => {
    for (let index = 0; index < load.watches; index++) {
      void watching.get(clients[index % clients.length], watch);
    }
    await watching.quiet();
    await pause(settleMillis);
  });
  watching.tell("watches");
  for (const client of clients) client.close();
  await gauge.during("their end", () => pause(settleMillis));
  const listers = await Promise.all(Array.from({ length: load.connections }, connect));
  const listing = new Insistence();
  const list = `${paths}/pods?labelSelector=app%3D${app}`;
  await gauge.during(`${load.lists} lists of ${load.pods} pods`, async () => {
    const all = Array.from({ length: load.lists }, (_, index) =>
      listing.get(listers[index % listers.length], list),
    );
    await Promise.all(all);
  });
  listing.tell("lists");
  for (const client of listers) client.close();
  await gauge.during("after", () => pause(settleMillis));
}

/** Asks until it is answered; what is refused for good is told. */
class Insistence {
  readonly #failures = new Map<string, number>();
  #again = 0;
  #waiting = 0;

  async get(client: RestClient | undefined, path: string): Promise<void> {
    for (;;) {
      try {
        return await client?.get(path);
      } catch (thrown) {
        const text = String(thrown);
        if (!text.includes("HTTP status 429")) {
          this.#failures.set(text, (this.#failures.get(text) ?? 0) + 1);
          return;
        }
        this.#again += 1;
        this.#waiting += 1;
        await pause(1_000 + Math.random() * 1_000);
        this.#waiting -= 1;
      }
    }
  }

  /** Resolves when no request is about to be repeated. */
  async quiet(): Promise<void> {
    do await pause(settleMillis);
    while (this.#waiting > 0);
  }

  tell(what: string): void {
    console.log(`${what}: ${this.#again} times told to come back later`);
    for (const [text, count] of this.#failures) console.log(`${what}: ${count} × ${text}`);
  }
}

/** The master's memory and the reader's times, phase by phase. */
class Gauge {
  readonly #pid: number;
  readonly #reader: ApiFace;
  readonly #rows: string[][] = [];

  constructor(pid: number, reader: ApiFace) {
    this.#pid = pid;
    this.#reader = reader;
  }

  async during(phase: string, work: () => Promise<void>): Promise<void> {
    const began = performance.now();
    let [over, most] = [false, 0];
    const millis: number[] = [];
    const read = async () => {
      while (!over) {
        const asked = performance.now();
        await this.#reader.getConfigMap("read");
        millis.push(performance.now() - asked);
        most = Math.max(most, residentMegabytes(this.#pid));
        await pause(2);
      }
    };
    const reading = read();
    await work().finally(() => {
      over = true;
    });
    const seconds = (performance.now() - began) / 1_000;
    await reading;
    millis.sort((one, other) => one - other);
    const at = (share: number) => millis[Math.floor((millis.length - 1) * share)] ?? Number.NaN;
    const held = String(Math.round(residentMegabytes(this.#pid)));
    this.#rows.push([
      phase,
      shown(seconds),
      String(Math.round(most)),
      held,
      shown(at(0.5)),
      shown(at(0.99)),
    ]);
  }

  tell(): void {
    const head = ["phase", "seconds", "most MB", "MB at its end", "get p50 ms", "get p99 ms"];
    console.log(table(head, this.#rows));
  }
}

async function fill(face: ApiFace, pods: number): Promise<void> {
  const numbers = Array.from({ length: pods }, (_, index) => index).values();
  const loop = async () => {
    for (const index of numbers) await face.createPod(`hostile-${index}`, app);
  };
  await Promise.all(Array.from({ length: fillers }, loop));
}

function pause(millis: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, millis));
}

function parse(args: readonly string[]): Load {
  const { values } = parseArgs({
    args: [...args],
    options: {
      watches: { type: "string", default: "10000" },
      connections: { type: "string", default: "10" },
      lists: { type: "string", default: "1000" },
      pods: { type: "string", default: "5000" },
    },
  });
  const number = (name: keyof Load, most: number): number => {
    const given = Number(values[name]);
    if (Number.isInteger(given) && given >= 1 && given <= most) return given;
    throw new Error(`--${name} ${values[name]}: must be a whole number in 1..${most}`);
  };
  return {
    watches: number("watches", 100_000),
    connections: number("connections", 100),
    lists: number("lists", 10_000),
    pods: number("pods", 50_000),
  };
}
