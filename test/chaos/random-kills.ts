/**
 * Kills random processes of a whole cluster under rollouts and requests, and judges what is left.
 *
 *   npm run chaos -- [--kills 44] [--minutes 6.5] [--seed TEXT] [--keep]
 *
 * A pod is doubled when two processes of one of its containers live at the same time. Masters,
 * balancers, schedulers, controller managers, kubelets (with their containers, as a lost machine)
 * and kube-proxies die by SIGKILL. Prints a verdict as text and JSON; ends with code 1 on a fault.
 */
import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";
import { SeededRandom } from "../../ha/runtime/simulated/mod.ts";
import { TestCluster } from "../e2e/cluster.ts";
import { ContainerWatch } from "./containers.ts";
import { pause, Rollouts, startApplication } from "./rollouts.ts";
import { Traffic } from "./traffic.ts";
import { type Faults, faultsAfterSettling, isExcused } from "./verdict.ts";
import { type Kill, Victims } from "./victims.ts";

const nodeReturnSeconds = 15;
const retryMillis = 500;

interface Options {
  readonly kills: number;
  readonly minutes: number;
  readonly seed: string;
  readonly keep: boolean;
}

async function run(options: Options): Promise<boolean> {
  const random = new SeededRandom(options.seed);
  say(`seed ${options.seed}: ${options.kills} kills in ${options.minutes} minutes`);
  const cluster = new TestCluster();
  const name = randomUUID();
  const containers = new ContainerWatch(name);
  const client = await startCluster(cluster);
  let traffic: Traffic | undefined;
  try {
    const url = await startApplication(client, name);
    say(`the application is ready at ${url}`);
    traffic = new Traffic(url);
    const rollouts = new Rollouts(client, random.stream("rollouts"));
    const victims = new Victims(() => cluster.endpoints, client, random.stream("victims"));
    const kills = await killAll(victims, random.stream("pauses"), options);
    await rollouts.stop();
    say("the kills are over; the cluster settles");
    const faults = await faultsAfterSettling(client, containers);
    const { sent, failed } = await traffic.stop();
    const failedRequests = failed.filter((each) => !isExcused(each, kills));
    const excused = failed.length - failedRequests.length;
    const counts = { requests: sent, excused, rollouts: rollouts.count, scans: containers.scans };
    const { errors } = rollouts;
    return tell(
      options,
      kills,
      { ...counts, rolloutErrors: errors },
      { ...faults, failedRequests },
    );
  } finally {
    traffic?.kill();
    containers.close();
    client.close();
    if (options.keep) say(`kept, and running: ${cluster.directory}`);
    else await cluster.close();
  }
}

async function startCluster(cluster: TestCluster) {
  try {
    await cluster.up(["--node-return-seconds", String(nodeReturnSeconds)]);
    return cluster.client();
  } catch (error) {
    await cluster.close();
    throw error;
  }
}

/** Kills at random moments, so many on the average that the time suffices. */
async function killAll(
  victims: Victims,
  random: SeededRandom,
  { kills: count, minutes }: Options,
): Promise<readonly Kill[]> {
  const kills: Kill[] = [];
  const began = Date.now();
  const meanMillis = (minutes * 60_000) / count;
  while (kills.length < count) {
    // Between half and one and a half of what is left on the average.
    const left = began + minutes * 60_000 - Date.now();
    const mean = Math.max(meanMillis / 4, left / (count - kills.length));
    await pause(mean * (0.5 + random.below(1_000) / 1_000));
    const victim = await spared(victims);
    const kill = await victims.kill(victim);
    kills.push(kill);
    say(`kill ${kills.length}: ${kill.name} (${kill.kind}, ${kill.pid})`);
  }
  return kills;
}

async function spared(victims: Victims) {
  for (;;) {
    const victim = await victims.next();
    if (victim !== undefined) return victim;
    await pause(retryMillis);
  }
}

function tell(
  { seed, minutes }: Options,
  kills: readonly Kill[],
  counts: Readonly<Record<string, unknown>>,
  faults: Faults,
): boolean {
  const passed = Object.values(faults).every((found) => found.length === 0);
  const byKind: Record<string, number> = {};
  for (const { kind } of kills) byKind[kind] = (byKind[kind] ?? 0) + 1;
  console.log(JSON.stringify({ seed, minutes, passed, kills: byKind, ...counts, faults }, null, 2));
  console.log(
    `${kills.length} kills; ${counts["requests"]} requests, ${counts["excused"]} excused`,
  );
  console.log(`${faults.doubledPods.length} doubled pods`);
  console.log(`${faults.surplusProcesses.length} deployments with other than their processes`);
  console.log(`${faults.endpoints.length} endpoints that are not the ready pods`);
  console.log(`${faults.unfinishedRollouts.length} rollouts that did not end`);
  console.log(`${faults.failedRequests.length} failed requests`);
  console.log(passed ? "PASSED" : `FAILED: repeat with --seed ${seed}`);
  return passed;
}

function say(text: string): void {
  console.log(`${new Date().toISOString()} ${text}`);
}

function parse(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      kills: { type: "string", default: "44" },
      minutes: { type: "string", default: "6.5" },
      seed: { type: "string", default: randomUUID().slice(0, 8) },
      keep: { type: "boolean", default: false },
    },
  });
  const kills = Number(values.kills);
  if (!Number.isInteger(kills) || kills < 1 || kills > 10_000) {
    throw new Error(`--kills ${values.kills}: must be a whole number in 1..10000`);
  }
  const minutes = Number(values.minutes);
  if (!(minutes > 0 && minutes <= 1_440)) {
    throw new Error(`--minutes ${values.minutes}: must be a number above 0, at most 1440`);
  }
  return { kills, minutes, seed: values.seed, keep: values.keep };
}

process.exitCode = (await run(parse(process.argv.slice(2)))) ? 0 : 1;
