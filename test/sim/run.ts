/** One seeded run: faults for safety, then health and the demand for progress. */
import { SeededRandom } from "../../ha/runtime/simulated/mod.ts";
import { Cluster, observe, Violation } from "./cluster.ts";
import { torment } from "./faults.ts";
import { checkRegister } from "./linearizability.ts";
import { assertSameEvents, type SeenEvent, SimulatedWatcher } from "./watcher.ts";
import { Client, type RecordedOperation } from "./workload.ts";

export interface RunOptions {
  readonly seed: number | string;
  /** World time under faults. */
  readonly millis?: number;
  readonly members?: number;
}

export interface RunResult {
  readonly digest: string;
  readonly operations: number;
  readonly answered: number;
  readonly elections: number;
  readonly events: number;
  readonly faults: readonly string[];
}

/** Throws a Violation, or whatever broke a member. */
export async function runSeed(options: RunOptions): Promise<RunResult> {
  const cluster = new Cluster(options.seed, options.members ?? 3);
  observe(cluster);
  try {
    return await run(cluster, options);
  } catch (error) {
    if (error instanceof Error) error.message += `\n${cluster.world.report()}`;
    throw error;
  } finally {
    observe(undefined);
  }
}

async function run(cluster: Cluster, options: RunOptions): Promise<RunResult> {
  const { world } = cluster;
  const chance = (name: string) => new SeededRandom(String(options.seed)).stream(name);
  const history: RecordedOperation[] = [];
  const faults: string[] = [];
  cluster.startAll();
  const clients = Array.from(
    { length: 5 },
    (_, i) => new Client(`c${i}`, cluster, chance(`client ${i}`), history),
  );
  const watchers = [0, 1].map((i) => new SimulatedWatcher(cluster, chance(`watcher ${i}`)));
  const broken = (error: unknown) => {
    cluster.failure ??= error;
  };
  for (const client of clients) client.run().catch(broken);
  for (const watcher of watchers) watcher.run().catch(broken);
  let stop = false;
  let healed = false;
  torment(cluster, chance("faults"), () => stop, faults)
    .catch(broken)
    .finally(() => {
      healed = true;
    });
  const end = world.now + (options.millis ?? 15_000);
  await until(cluster, () => world.now >= end, end, "the faults to run");
  stop = true;
  await until(cluster, () => healed, 10_000, "the last fault to end");
  heal(cluster);
  for (const client of clients) client.stopped = true;
  await until(cluster, () => clients.every((client) => client.idle), 30_000, "the clients to end");
  await progress(cluster);
  const reference = await wholeHistory(cluster);
  const last = reference.at(-1)?.revision ?? 1;
  const complete = () => watchers.every((watcher) => watcher.next > last);
  await until(cluster, complete, 10_000, "the watchers to catch up");
  cluster.assertEqualStates();
  for (const [i, watcher] of watchers.entries()) {
    assertSameEvents(`watcher ${i}`, watcher.seen.filter((e) => e.revision <= last), reference);
    watcher.stopped = true;
  }
  assertLinearizable(history);
  assertOnce(history, reference);
  return {
    digest: world.digest,
    operations: history.length,
    answered: history.filter((op) => op.returned !== Number.POSITIVE_INFINITY).length,
    elections: cluster.elections,
    events: world.delivered,
    faults,
  };
}

function heal(cluster: Cluster): void {
  cluster.world.network.heal();
  for (const seat of cluster.seats) if (!cluster.world.isAlive(seat.peer.id)) cluster.start(seat);
}

async function until(
  cluster: Cluster,
  condition: () => boolean,
  withinMillis: number,
  what: string,
): Promise<void> {
  const done = await cluster.world.runUntil(
    () => cluster.failure !== undefined || condition(),
    withinMillis,
  );
  cluster.check();
  if (!done) throw new Violation(`progress: waited ${withinMillis} ms for ${what}`);
}

/** A healthy cluster elects a leader, answers, and becomes equal everywhere. */
async function progress(cluster: Cluster): Promise<void> {
  let written = false;
  const write = async () => {
    while (!written) {
      const store = cluster.leader?.store;
      if (store) {
        const put = { op: "put", key: Uint8Array.of(0x2f, 0x7a), value: Uint8Array.of(1) } as const;
        // Whoever has just lost its leadership answers with an error; the next one is asked.
        await store.txn({ compares: [], success: [put], failure: [] }).then(
          () => {
            written = true;
          },
          () => {},
        );
      }
      await new Promise<void>((resolve) => cluster.world.clock.after(50, resolve));
    }
  };
  write().catch((error: unknown) => {
    cluster.failure ??= error;
  });
  await until(cluster, () => written, 20_000, "a write after everything was healed");
  await until(cluster, () => cluster.converged, 20_000, "all members to apply the same index");
}

/** Everything the store remembers, from its first revision on. */
async function wholeHistory(cluster: Cluster): Promise<SeenEvent[]> {
  const reader = new SimulatedWatcher(cluster, { below: () => 0 });
  reader.run().catch((error: unknown) => {
    cluster.failure ??= error;
  });
  const revision = cluster.seats[0]?.member?.machine.revision ?? 1;
  await until(cluster, () => reader.next > revision, 10_000, "the reference watcher");
  reader.stopped = true;
  return reader.seen;
}

function assertLinearizable(history: readonly RecordedOperation[]): void {
  const byKey = Map.groupBy(history, (op) => op.key);
  for (const [key, operations] of byKey) {
    const result = checkRegister(operations, undefined);
    if (!result) continue;
    const shown = operations
      .sort((a, b) => a.called - b.called)
      .map((op) => `${op.called.toFixed(1)}–${op.returned.toFixed(1)} ${op.client} ${JSON.stringify(op.action)}`);
    throw new Violation(
      `linearizable: ${key}: ${result.explained.length} of ${operations.length} operations can be ` +
        `explained:\n${shown.join("\n")}`,
    );
  }
}

/** Every value is written by one operation: it must appear at most once, and if acknowledged, once. */
function assertOnce(history: readonly RecordedOperation[], reference: readonly SeenEvent[]): void {
  const times = new Map<string, number>();
  for (const { type, value } of reference) {
    if (type === "put") times.set(value, (times.get(value) ?? 0) + 1);
  }
  for (const { action, returned, revision } of history) {
    if (action.kind === "read" || action.value === undefined) continue;
    const count = times.get(action.value) ?? 0;
    if (count > 1) throw new Violation(`exactly once: ${action.value} was written ${count} times`);
    const acknowledged = returned !== Number.POSITIVE_INFINITY && revision !== undefined;
    if (acknowledged && count === 0) throw new Violation(`lost write: ${action.value} was acknowledged`);
  }
}
