/**
 * What pods that come and go leave behind in the memory of every process: the heaps, garbage apart,
 * before and after rounds of 0 → N → 0 pods on hollow nodes.
 *
 *   npm run bench -- churn [--rounds 7] [--pods 40] [--masters 3] [--warm-up 7] [--rest 150]
 *
 * Both times after so many seconds of rest, for masters keep what has happened for watches that
 * resume: the changes of two minutes. Events, which stay for an hour for people to read, are deleted
 * with their pods. What is compiled while it runs is counted too: the warm-up has most of that.
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
  /** Seconds after the warm-up, and after the rounds. */
  readonly rest: number;
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
  const several = async (from: number, count: number, what: string) => {
    for (let round = from; round < from + count; round++) await comeAndGo(client, pods, round);
    await pause(rest * 1_000);
    return heaps(`after ${count} ${what}`);
  };
  const before = await several(0, warmUp, "rounds to warm up");
  const after = await several(warmUp, rounds, "rounds");
  for (const [index, name] of names.entries()) {
    const grown = ((after[index] ?? 0) - (before[index] ?? 0)) / rounds / 1024;
    console.log(`${name.padEnd(24)} ${grown.toFixed(0).padStart(7)} KiB a round`);
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
  const events = { apiVersion: "v1", kind: "Event" };
  await client.dynamic.deleteCollection(events, { namespace: "default" });
}

function parse(args: readonly string[]): Shape {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: "string", default: "7" },
      pods: { type: "string", default: "40" },
      masters: { type: "string", default: "3" },
      "warm-up": { type: "string", default: "7" },
      rest: { type: "string", default: "150" },
    },
  });
  const number = (flag: keyof typeof values, most: number): number => {
    const value = Number(values[flag]);
    if (Number.isInteger(value) && value >= 1 && value <= most) return value;
    throw new Error(`--${flag} ${values[flag]}: must be a whole number in 1..${most}`);
  };
  return {
    rounds: number("rounds", 1_000),
    pods: number("pods", 1_000),
    masters: number("masters", 7),
    warmUp: number("warm-up", 100),
    rest: number("rest", 3_600),
  };
}
