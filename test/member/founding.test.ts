/** A cluster is founded once: a member that comes back without its data takes no part in it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MemberStore, openMember } from "../../ha/member/mod.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { put, textAt } from "./requests.ts";
import { SimulatedCluster, type SimulatedSeat, simulatedPeer } from "./simulated-cluster.ts";

async function founded(seed: string, size = 3): Promise<SimulatedCluster> {
  const cluster = new SimulatedCluster(seed, size);
  await cluster.startAll();
  return cluster;
}

function wipe(cluster: SimulatedCluster, seat: SimulatedSeat): void {
  cluster.world.disk(seat.peer.id).erase();
}

interface Start {
  /** Undefined: it waits. */
  outcome: unknown;
}

/** Begins to start it, and tells what becomes of that. */
function begin(cluster: SimulatedCluster, seat: SimulatedSeat): Start {
  const { id, name } = seat.peer;
  const { world } = cluster;
  const runtime = seat.runtime ? world.restart(id) : world.createRuntime(id, name);
  seat.runtime = runtime;
  seat.member = undefined;
  const start: Start = { outcome: undefined };
  openMember(runtime, seat.options).then(
    (member) => {
      if (seat.runtime !== runtime) return;
      seat.member = member;
      seat.store = new MemberStore(member);
      start.outcome = "started";
    },
    (error: unknown) => {
      if (seat.runtime === runtime) start.outcome = error;
    },
  );
  return start;
}

function assertBootstrapped(error: unknown): void {
  assert.ok(error instanceof StatusError, String(error));
  assert.equal(error.code, Code.failedPrecondition);
  assert.match(error.message, /^etcdserver: member \d+ has already been bootstrapped/);
  assert.match(error.message, /member remove.*delete its peer key.*add it again/);
}

test("an acknowledged write outlives a member that comes back with an empty disk", async () => {
  const cluster = await founded("lost write");
  await cluster.run(cluster.leader!.store!.txn(put("k", "before")));
  await cluster.converged();
  const old = cluster.leader!;
  cluster.crash(old);
  const [wiped, other] = cluster.seats.filter((seat) => seat !== old);
  await cluster.until(() => cluster.leader !== undefined, "another leader");
  await cluster.run(cluster.leader!.store!.txn(put("k", "acknowledged")));
  cluster.crash(wiped!, true);
  cluster.crash(other!, true);
  wipe(cluster, wiped!);
  const starts = begin(cluster, wiped!);
  await cluster.start(old);
  await cluster.until(() => starts.outcome !== undefined, "the verdict");
  assertBootstrapped(starts.outcome);
  cluster.crash(wiped!);
  await cluster.world.runFor(10_000);
  assert.equal(cluster.leader, undefined, "one of three elects nobody");
  await cluster.start(other!);
  await cluster.until(() => cluster.leader !== undefined, "a leader of those with data");
  assert.equal(cluster.leader, other, "who has the write");
  for (const { store } of [old, other!]) {
    assert.equal(await cluster.run(textAt(store!, "k")), "acknowledged");
  }
});

test("a wiped member that reaches no peer, or not all founders, waits and takes no part", async () => {
  const cluster = await founded("alone");
  const [first, second, third] = cluster.seats;
  for (const seat of cluster.seats) cluster.crash(seat);
  wipe(cluster, first!);
  const alone = begin(cluster, first!);
  await cluster.world.runFor(20_000);
  assert.equal(alone.outcome, undefined);
  const log = cluster.world.logs(first!.peer.id).join("\n");
  assert.match(log, /has no data and waits for all founders.*notReached=\["m2","m3"\]/);
  // Two that are empty, of three: the third may have data.
  wipe(cluster, second!);
  const both = begin(cluster, second!);
  await cluster.world.runFor(20_000);
  assert.deepEqual([alone.outcome, both.outcome], [undefined, undefined]);
  await cluster.start(third!);
  await cluster.until(() => alone.outcome !== undefined && both.outcome !== undefined, "verdicts");
  assertBootstrapped(alone.outcome);
  assertBootstrapped(both.outcome);
  await cluster.world.runFor(10_000);
  assert.equal(cluster.leader, undefined);
});

test("founders that have all lost everything found the cluster anew", async () => {
  const cluster = await founded("all lost");
  const before = (await cluster.run(cluster.stores[0]!.status())).clusterId;
  for (const seat of cluster.seats) cluster.crash(seat);
  for (const seat of cluster.seats) wipe(cluster, seat);
  await cluster.startAll();
  const after = (await cluster.run(cluster.stores[0]!.status())).clusterId;
  assert.notEqual(before, after, "it is another cluster");
});

test("a single member founds alone, and goes on from its disk", async () => {
  const cluster = await founded("single", 1);
  const [seat] = cluster.seats;
  await cluster.run(seat!.store!.txn(put("k", "v")));
  cluster.crash(seat!, true);
  await cluster.start(seat!);
  assert.equal(await cluster.run(textAt(seat!.store!, "k")), "v");
});

test("founders with another token, or other founders, do not found together", async () => {
  const cluster = new SimulatedCluster("tokens", 2);
  const [first, second] = cluster.seats;
  Object.assign(second!.options, { clusterToken: "another" });
  const starts = [begin(cluster, first!), begin(cluster, second!)];
  await cluster.world.runFor(12_000);
  assert.deepEqual(
    starts.map(({ outcome }) => outcome),
    [undefined, undefined],
  );
  assert.match(cluster.world.logs(first!.peer.id).join("\n"), /startedWithOtherFounders=\["m2"\]/);
});

const urlOf = ({ addresses, identity }: SimulatedSeat["peer"]) =>
  `http://${addresses[0]}?p2p=${identity}`;

test("a joiner that loses its data is a stranger too, until removed and added again", async () => {
  const cluster = await founded("joiner");
  const joiner = cluster.addSeat(4);
  const { admin } = cluster.leader!.store!;
  await cluster.run(admin.memberAdd({ peerUrls: [urlOf(joiner.peer)], learner: true }));
  await cluster.start(joiner);
  await cluster.converged();
  cluster.crash(joiner);
  wipe(cluster, joiner);
  const again = begin(cluster, joiner);
  await cluster.until(() => again.outcome !== undefined, "the verdict");
  assertBootstrapped(again.outcome);
  cluster.crash(joiner);
  await cluster.run(admin.memberRemove(joiner.peer.id));
  const fresh = cluster.addSeat(5);
  await cluster.run(
    admin.memberAdd({ peerUrls: [urlOf(simulatedPeer(5))], learner: true }),
    "the addition",
  );
  await cluster.start(fresh);
  await cluster.converged();
});

test("a joiner that has heard nothing yet of the membership judges no other joiner", async () => {
  const cluster = await founded("two joiners");
  const founders = [...cluster.seats];
  const everybody = [1, 2, 3, 4, 5].map(simulatedPeer);
  const first = cluster.addSeat(4, { cluster: everybody });
  const other = cluster.addSeat(5, { cluster: everybody });
  const { admin } = cluster.leader!.store!;
  await cluster.run(admin.memberAdd({ peerUrls: [urlOf(first.peer)], learner: true }));
  const admitted = begin(cluster, first);
  await cluster.until(() => admitted.outcome !== undefined, "the admission");
  assert.equal(admitted.outcome, "started");
  for (const seat of founders) cluster.crash(seat);
  assert.equal(first.member?.appliedIndex, 0);
  const asking = begin(cluster, other);
  await cluster.world.runFor(5_000);
  assert.equal(asking.outcome, undefined);
  await Promise.all(founders.map((seat) => cluster.start(seat)));
  await cluster.untilLed();
  const leader = cluster.leader!.store!.admin;
  await cluster.world.runFor(1_000);
  await cluster.run(leader.memberPromote(first.peer.id));
  await cluster.run(leader.memberAdd({ peerUrls: [urlOf(other.peer)], learner: true }));
  await cluster.until(() => asking.outcome !== undefined, "the other's admission");
  assert.equal(asking.outcome, "started");
});

test("a founder that is started as a joiner after it lost its data is told the same", async () => {
  const cluster = await founded("as a joiner");
  const seat = cluster.follower;
  cluster.crash(seat);
  wipe(cluster, seat);
  Object.assign(seat.options, { initialClusterState: "existing" });
  const again = begin(cluster, seat);
  await cluster.until(() => again.outcome !== undefined, "the verdict");
  assertBootstrapped(again.outcome);
});

test("a wiped founder that was removed is told so", async () => {
  const cluster = await founded("removed and wiped");
  const seat = cluster.follower;
  cluster.crash(seat);
  wipe(cluster, seat);
  const again = begin(cluster, seat);
  // The others still talk to it for a moment after its removal.
  await cluster.run(cluster.leader!.store!.admin.memberRemove(seat.peer.id));
  await cluster.until(() => again.outcome !== undefined, "the verdict");
  assert.match(String(again.outcome), /bootstrapped|has been removed from the cluster/);
});

/**
 * The founders crash, and a minority of them loses its disk, in the very moments in which they
 * found. Once everything is healed, those that are left are one cluster, which answers.
 */
async function shaken(seed: number, size: number): Promise<void> {
  const cluster = new SimulatedCluster(`shaken ${seed}`, size);
  const { world, seats } = cluster;
  const { random } = world;
  const starts = new Map<SimulatedSeat, Start>();
  const wiped = new Set<SimulatedSeat>();
  const start = (seat: SimulatedSeat) => starts.set(seat, begin(cluster, seat));
  const isStranger = (seat: SimulatedSeat) => starts.get(seat)?.outcome instanceof Error;
  for (const seat of seats) start(seat);
  for (let faults = 2 + random.below(8); faults > 0; faults--) {
    for (let events = random.below(60); events > 0; events--) await world.step();
    const seat = seats[random.below(size)]!;
    if (isStranger(seat)) continue;
    world.crash(seat.peer.id, { powerLoss: random.below(2) === 0 });
    const mayWipe = wiped.has(seat) || wiped.size < Math.ceil(size / 2) - 1;
    if (mayWipe && random.below(2) === 0) {
      wipe(cluster, seat);
      wiped.add(seat);
    }
    if (random.below(4) === 0) await world.runFor(random.below(400));
    start(seat);
  }
  const decided = () => seats.every((seat) => starts.get(seat)?.outcome !== undefined);
  await cluster.until(decided, "all to take part or not");
  for (const seat of seats.filter(isStranger)) {
    assertBootstrapped(starts.get(seat)?.outcome);
    assert.ok(wiped.has(seat), `${seat.peer.name} is a stranger with the disk it had`);
  }
  const able = () => seats.filter((seat) => !isStranger(seat));
  const ids = new Set(able().map(({ member }) => member!.clusterId));
  assert.equal(ids.size, 1, "one cluster");
  await cluster.untilLed();
  // Over links that have broken without a word, a write may be lost: its client tries again.
  const write = () => able()[0]!.store!.txn(put("k", "v"));
  await cluster.run(write().catch(write), "a write", 30_000);
}

test("founders that crash and lose disks while they found become one cluster", async () => {
  for (let seed = 1; seed <= 60; seed++) await shaken(seed, seed % 3 === 0 ? 5 : 3);
});
