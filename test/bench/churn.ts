/**
 * What pods that come and go leave behind in the memory of every process: rounds of 0 → N → 0 pods
 * on hollow nodes, and after each round the heaps, garbage apart.
 *
 *   npm run bench -- churn [--rounds 7] [--pods 40] [--masters 3] [--warm-up 2] [--rest 150,660]
 *
 * Masters keep what has happened for watches that resume: the events of two minutes, the store's
 * history of five to ten. So they are asked again after so many seconds of rest.
 */
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { TriremeClient } from "../../services/client/mod.ts";
import { TestCluster, until } from "../e2e/cluster.ts";
import { Inspector } from "./churn/inspector.ts";

const hollowNodes = 5;
const settleMillisMax = 120_000;

interface Shape {
  readonly rounds: number;
  readonly pods: number;
  readonly masters: number;
  readonly warmUp: number;
  /** Seconds after the last round, rising. */
  readonly rest: readonly number[];
}

export async function run(args: readonly string[]): Promise<void> {
  const shape = parse(args);
  process.env["NODE_OPTIONS"] = "--inspect-port=0";
  const cluster = new TestCluster();
  const inspectors = new Map<string, Inspector>();
  try {
    const nodes = ["--nodes", "0", "--hollow", String(hollowNodes), "--bridge", "false"];
    await cluster.up([...nodes, "--masters", String(shape.masters)]);
    const { masters, schedulers, controllerManagers, balancers, hollow } = cluster.endpoints;
    const loops = [...schedulers, ...controllerManagers];
    const all = [...masters, ...loops, ...balancers, ...(hollow ? [hollow] : [])];
    for (const { name, pid } of all) {
      if (pid === undefined) throw new Error(`${name} does not run`);
      const log = join(cluster.directory, "log", `${name}.log`);
      inspectors.set(name, await Inspector.open(pid, log));
    }
    const leader = masters.find((master) => master.leader)?.name;
    await measure(cluster.client(), shape, inspectors, leader);
  } finally {
    for (const inspector of inspectors.values()) inspector.close();
    await cluster.close();
  }
}

async function measure(
  client: TriremeClient,
  { rounds, pods, warmUp, rest }: Shape,
  inspectors: ReadonlyMap<string, Inspector>,
  leader: string | undefined,
): Promise<void> {
  const names = [...inspectors.keys()];
  const title = names.map((name) => (name === leader ? `${name} (leads)` : name));
  console.log(`heaps in KiB, main thread + workers, of ${title.join(", ")}`);
  const heaps = async (label: string): Promise<number[]> => {
    const sizes = await Promise.all([...inspectors.values()].map((each) => each.heapBytes()));
    const kibibytes = sizes.map((each) => each.map((size) => Math.round(size / 1024)).join("+"));
    console.log(`${label}: ${kibibytes.join("  ")}`);
    return sizes.map((each) => each.reduce((sum, size) => sum + size, 0));
  };
  let first: number[] = [];
  let last: number[] = [];
  for (let round = 1; round <= warmUp + rounds; round++) {
    await comeAndGo(client, pods, round);
    last = await heaps(`round ${round}${round <= warmUp ? " (warm-up)" : ""}`);
    if (round === warmUp) first = last;
  }
  const tell = (when: string, present: readonly number[]) => {
    for (const [index, name] of names.entries()) {
      const grown = ((present[index] ?? 0) - (first[index] ?? 0)) / rounds / 1024;
      console.log(`${when}: ${name.padEnd(24)} ${grown.toFixed(0).padStart(7)} KiB a round`);
    }
  };
  tell("at once", last);
  const ended = Date.now();
  for (const seconds of rest) {
    await pause(Math.max(0, ended + seconds * 1_000 - Date.now()));
    const when = `after ${seconds} s`;
    tell(when, await heaps(when));
  }
}

async function comeAndGo(client: TriremeClient, pods: number, round: number): Promise<void> {
  const name = (index: number) => `churn-${round}-${index}`;
  const indices = Array.from({ length: pods }, (_, index) => index);
  const containers = [{ name: "c", image: "web:1", resources: { requests: { cpu: "10m" } } }];
  const labels = { app: "churn" };
  const spec = { containers };
  const make = (index: number) =>
    client.pods.create({ metadata: { name: name(index), namespace: "default", labels }, spec });
  await Promise.all(indices.map(make));
  const inPhase = async (phase: string) => {
    const { items } = await client.pods.list({ namespace: "default", labelSelector: "app=churn" });
    return phase === "" ? items.length === 0 : items.every(({ status }) => status?.phase === phase);
  };
  await until("all pods run", () => inPhase("Running"), settleMillisMax);
  await Promise.all(indices.map((index) => client.pods.delete(name(index), "default")));
  await until("all pods are gone", () => inPhase(""), settleMillisMax);
}

function parse(args: readonly string[]): Shape {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: "string", default: "7" },
      pods: { type: "string", default: "40" },
      masters: { type: "string", default: "3" },
      "warm-up": { type: "string", default: "2" },
      rest: { type: "string", default: "150,660" },
    },
  });
  const number = (flag: keyof typeof values, most: number, text = values[flag]): number => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= 1 && value <= most) return value;
    throw new Error(`--${flag} ${text}: must be a whole number in 1..${most}`);
  };
  const rest = values.rest === "" ? [] : values.rest.split(",");
  return {
    rounds: number("rounds", 1_000),
    pods: number("pods", 1_000),
    masters: number("masters", 7),
    warmUp: number("warm-up", 100),
    rest: rest.map((each) => number("rest", 3_600, each)),
  };
}
