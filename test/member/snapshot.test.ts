/** A follower that is far behind gets a snapshot, whatever happens on the way. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeFrame, newOutgoing } from "../../ha/member/frames.ts";
import { type Message, MessageType, Raft } from "../../ha/raft/mod.ts";
import { put, remove, textAt } from "./requests.ts";
import { SimulatedCluster, type SimulatedSeat } from "./simulated-cluster.ts";

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

const marksOf = (cluster: SimulatedCluster, seat: SimulatedSeat) => {
  const { entries } = cluster.world.disk(seat.peer.id);
  const keys = Array.from({ length: entries.size }, (_, i) => entries.keyAt(i) ?? "");
  return keys.filter((key) => key.startsWith("I"));
};

test("a received snapshot that is old news by then leaves no mark, and no restart goes back to it", async (context) => {
  // One keeps a long log: it needs no snapshot to bring the laggard up to date.
  const cluster = new SimulatedCluster("old news", 3, {}, { limits });
  const [sender, laggard, successor] = cluster.seats as [
    SimulatedSeat,
    SimulatedSeat,
    SimulatedSeat,
  ];
  const long = { ...successor.options, limits: { ...limits, logEntriesKept: 1_000 } };
  Object.assign(successor, { options: long });
  await cluster.startAll();
  await cluster.run(cluster.leader!.store!.admin.moveLeader(sender.peer.id));
  cluster.crash(laggard);
  for (let i = 0; i < 60; i++) await cluster.run(sender.store!.txn(put(`k${i % 9}`, `${i}`)));
  const { network } = cluster.world;
  network.setLink(sender.peer.id, laggard.peer.id, { latency: [300_000, 300_000] });
  const received = context.mock.method(Raft.prototype, "step").mock;
  await cluster.start(laggard);
  const sends = () => linesOf(cluster, "sending a snapshot").length > 0;
  await cluster.until(sends, "a snapshot to be sent");
  await cluster.run(sender.store!.admin.moveLeader(successor.peer.id));
  await cluster.run(successor.store!.txn(put("k0", "newer")));
  await cluster.converged();
  const applied = laggard.member!.appliedIndex;
  const snapshots = () =>
    received.calls.filter(({ arguments: [message] }) => message.type === MessageType.snapshot);
  assert.equal(snapshots().length, 0, "it is still under way");
  await cluster.until(() => snapshots().length > 0, "all of the snapshot");
  await cluster.world.runFor(100);
  assert.deepEqual(linesOf(cluster, "installing a snapshot"), []);
  assert.deepEqual(marksOf(cluster, laggard), []);
  cluster.crash(laggard);
  await cluster.start(laggard);
  assert.ok(laggard.member!.appliedIndex >= applied);
  await cluster.converged();
});

test("the first chunk of the next snapshot does not sweep away the one about to be put in place", async (context) => {
  const { cluster, laggard } = await withLaggard("sweep");
  const sender = cluster.leader!;
  const { step } = Raft.prototype;
  let interrupted = 0;
  context.mock.method(Raft.prototype, "step", function early(this: Raft, message: Message) {
    if (message.type === MessageType.snapshot && message.to === laggard.peer.id) {
      interrupted++;
      const meta = { ...message.snapshot, index: (message.snapshot?.index ?? 0) + 1 };
      const chunk = { term: message.term, meta, sequence: 0, data: Buffer.alloc(8) };
      const frame = encodeFrame(sender.member!.clusterId, {
        ...newOutgoing(),
        chunks: [chunk as never],
      });
      laggard.runtime!.network.receive(sender.peer.identity, frame);
    }
    step.call(this, message);
  });
  await cluster.start(laggard);
  await cluster.converged();
  assert.ok(interrupted > 0);
  assert.equal(linesOf(cluster, "installing a snapshot").length, 1);
  assert.equal(linesOf(cluster, "a snapshot was refused").length, 0);
});
