/** A follower that is far behind gets a snapshot, whatever happens on the way. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { put, remove, textAt } from "./requests.ts";
import { SimulatedCluster } from "./simulated-cluster.ts";

const limits = {
  logEntriesKept: 20,
  logEntriesKeptMin: 10,
  logEntriesSlack: 10,
  snapshotChunkBytes: 4_096,
  snapshotChunksInflight: 2,
  snapshotStallMillis: 1_000,
};

async function withLaggard(seed: string, keys = 60) {
  const cluster = new SimulatedCluster(seed, 3, {}, { limits });
  await cluster.startAll();
  const laggard = cluster.follower;
  await cluster.run(laggard.store!.txn(put("old", "1")));
  cluster.crash(laggard);
  await cluster.untilLed();
  const { store } = cluster.leader!;
  const value = new Uint8Array(1_000).fill(120);
  for (let key = 0; key < keys; key++) await cluster.run(store!.txn(put(`k${key}`, value)));
  await cluster.run(store!.txn(remove("old")));
  return { cluster, laggard };
}

const linesOf = (cluster: SimulatedCluster, text: string) =>
  cluster.seats.flatMap(({ peer }) => cluster.world.logs(peer.id).filter((l) => l.includes(text)));

test("a member that was away for long takes over a snapshot", async () => {
  const { cluster, laggard } = await withLaggard("away");
  await cluster.start(laggard);
  await cluster.converged();
  assert.ok(linesOf(cluster, "installing a snapshot").length > 0);
  assert.equal(await cluster.run(textAt(laggard.store!, "old")), undefined);
  // It serves watches from the history that came along.
  const watch = laggard.store!.watch({ key: Buffer.from("k1"), startRevision: 2 as never });
  const { value } = await cluster.run(watch[Symbol.asyncIterator]().next());
  assert.equal(value?.events.length, 1);
  watch.close();
});

test("a snapshot is taken over under continuous load", async () => {
  const { cluster, laggard } = await withLaggard("load");
  let stop = false;
  let written = 0;
  const load = (async () => {
    while (!stop) {
      await cluster.leader?.store?.txn(put(`w${written % 50}`, `${written}`));
      written++;
    }
  })();
  const before = written;
  await cluster.start(laggard);
  await cluster.until(
    () => written > before + 300 && (laggard.member?.appliedIndex ?? 0) > 300,
    "the laggard to keep up",
  );
  stop = true;
  await cluster.run(load);
  await cluster.converged();
});

test("a link that breaks during a snapshot only delays it", async () => {
  const { cluster, laggard } = await withLaggard("link", 200);
  await cluster.start(laggard);
  for (let cut = 0; cut < 3; cut++) {
    const before = linesOf(cluster, "receiving a snapshot").length;
    await cluster.until(
      () => linesOf(cluster, "receiving a snapshot").length > before || !laggardIsBehind(),
      "a snapshot to begin",
    );
    await cluster.world.runFor(3);
    for (const { peer } of cluster.seats) {
      if (peer !== laggard.peer) cluster.world.network.cut(peer.id, laggard.peer.id);
    }
  }
  function laggardIsBehind(): boolean {
    return (laggard.member?.appliedIndex ?? 0) < 150;
  }
  await cluster.converged();
});

test("a crash at any moment of an installation loses neither the old state nor the new", async () => {
  let installing = 0;
  for (let step = 0; step < 14; step++) {
    const { cluster, laggard } = await withLaggard("crash", 30);
    await cluster.start(laggard);
    const begun = () => linesOf(cluster, "installing a snapshot").length > 0;
    while (!begun()) await cluster.world.step();
    const disk = cluster.world.disk(laggard.peer.id);
    const written = disk.written;
    const installed = () => laggard.member!.appliedIndex >= 30;
    while (disk.written < written + step && !installed()) await cluster.world.step();
    if (!installed()) installing++;
    cluster.crash(laggard, true);
    await cluster.start(laggard);
    await cluster.converged();
  }
  assert.ok(installing > 1, "some of the crashes came in the middle");
});
