/** What lives on through restarts and changes of the leader: leases, sessions, watches. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { put, textAt } from "./requests.ts";
import { SimulatedCluster } from "./simulated-cluster.ts";

async function opened(seed: string): Promise<SimulatedCluster> {
  const cluster = new SimulatedCluster(seed, 3);
  await cluster.startAll();
  return cluster;
}

/** The world's milliseconds; members' clocks differ from it by parts of a thousandth. */
const slackMillis = 1_000;

test("a lease outlives its leader, with its full time again, and then ends", async () => {
  const cluster = await opened("lease failover");
  const { store } = cluster.follower;
  const leader = cluster.leader!;
  const client = cluster.seats.find((seat) => seat.store === store)!;
  const { id } = await cluster.run(store!.leaseGrant(0n, 10));
  await cluster.run(store!.txn(put("k", "v", id)));
  await cluster.world.runFor(7_000);
  cluster.crash(leader);
  await cluster.untilLed();
  const failover = cluster.world.now;
  const { remainingSeconds } = await cluster.run(client.store!.leaseTimeToLive(id));
  assert.ok(remainingSeconds >= 8, `extended, not shortened: ${remainingSeconds} s`);
  await cluster.world.runFor(8_000);
  assert.equal(await cluster.run(textAt(client.store!, "k")), "v");
  let gone: string | undefined = "v";
  while (gone !== undefined && cluster.world.now < failover + 10_000 + 5 * slackMillis) {
    gone = await cluster.run(textAt(client.store!, "k"));
    await cluster.world.runFor(100);
  }
  assert.equal(gone, undefined, "the key went with its lease");
  assert.equal((await cluster.run(client.store!.leaseTimeToLive(id))).remainingSeconds, -1);
});

test("a lease that is kept alive through restarts of every member never ends", async () => {
  const cluster = await opened("lease restarts");
  const { id } = await cluster.run(cluster.leader!.store!.leaseGrant(0n, 3));
  await cluster.run(cluster.leader!.store!.txn(put("k", "v", id)));
  for (const seat of [...cluster.seats, ...cluster.seats]) {
    cluster.crash(seat, seat.peer.id % 2 === 0);
    await cluster.world.runFor(300);
    await cluster.start(seat);
    await cluster.untilLed();
    const asked = cluster.follower.store!;
    assert.equal(await cluster.run(asked.leaseKeepAlive(id)), 3, "the whole of its time again");
    await cluster.world.runFor(700);
  }
  assert.equal(await cluster.run(textAt(cluster.leader!.store!, "k")), "v");
});

test("a repeated write is answered from memory by members that restarted meanwhile", async () => {
  const cluster = await opened("session restarts");
  const first = await cluster.run(cluster.leader!.store!.txn(put("k", "1"), { requestId: "r" }));
  for (const seat of cluster.seats) cluster.crash(seat, true);
  for (const seat of cluster.seats) await cluster.start(seat);
  await cluster.untilLed();
  for (const store of cluster.stores) {
    const again = await cluster.run(store.txn(put("k", "2"), { requestId: "r" }));
    assert.equal(again.replayed, true);
    assert.equal(again.revision, first.revision);
    assert.equal((await cluster.run(store.recall("r")))?.revision, first.revision);
  }
  assert.equal(await cluster.run(textAt(cluster.leader!.store!, "k")), "1");
});

test("a write under way when its leader dies is done once, or not at all", async () => {
  for (const seed of ["1", "2", "3", "4", "5"]) {
    const cluster = await opened(`write ${seed}`);
    const leader = cluster.leader!;
    const client = cluster.follower;
    const writing = client.store!.txn(put("k", "v")).then(
      () => "done",
      () => "unknown",
    );
    for (let event = 0; event < 10 * Number(seed); event++) await cluster.world.step();
    cluster.crash(leader);
    const outcome = await cluster.run(writing);
    const { kvs } = await cluster.run(client.store!.range({ key: Buffer.from("k") }));
    assert.ok((kvs[0]?.version ?? 0) <= 1, "not twice");
    if (outcome === "done") assert.equal(kvs[0]?.version, 1);
  }
});

test("a leader that closes hands over first: nobody waits for a timer", async () => {
  const cluster = await opened("hand over");
  const leader = cluster.leader!;
  const since = cluster.world.now;
  const closing = leader.store!.close();
  await cluster.until(() => cluster.leader !== undefined && cluster.leader !== leader, "another");
  assert.ok(cluster.world.now - since < 200, "much sooner than an election timeout");
  await cluster.run(closing);
  await cluster.run(cluster.leader!.store!.txn(put("k", "v")));
});

test("a leader that closes hands over to the peer linked longest, not to one just started", async () => {
  for (const restarted of [0, 1]) {
    const cluster = await opened(`warm successor ${restarted}`);
    const leader = cluster.leader!;
    const followers = cluster.seats.filter((seat) => seat !== leader);
    const fresh = followers[restarted]!;
    cluster.crash(fresh);
    await cluster.start(fresh);
    await cluster.until(() => leader.member!.isLinked(fresh.peer.id), "the link to the fresh one");
    await cluster.converged();
    await cluster.run(leader.store!.close());
    assert.equal((await cluster.untilLed()).peer.name, followers[1 - restarted]!.peer.name);
  }
});
