/** Members come and go while the cluster runs; who takes part is part of the replicated state. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { MemberId } from "../../ha/runtime/types.ts";
import { put, textAt } from "./requests.ts";
import { SimulatedCluster, type SimulatedSeat } from "./simulated-cluster.ts";

const urlOf = ({ peer }: SimulatedSeat) => `http://${peer.addresses[0]}?p2p=${peer.identity}`;

async function founded(seed: string, size = 3): Promise<SimulatedCluster> {
  const cluster = new SimulatedCluster(seed, size);
  await cluster.startAll();
  await cluster.run(cluster.follower.store!.txn(put("before", "1")));
  return cluster;
}

async function refused(cluster: SimulatedCluster, promise: Promise<unknown>, text: RegExp) {
  const settled = await cluster.run(
    promise.then(
      () => undefined,
      (error: unknown) => error,
    ),
  );
  assert.ok(settled instanceof StatusError, String(settled));
  assert.match(settled.message, text);
  return settled;
}

/** Adds a learner, lets it catch up, and makes it a voter. */
async function join(cluster: SimulatedCluster, seat: SimulatedSeat): Promise<void> {
  const { admin } = cluster.follower.store!;
  await cluster.run(admin.memberAdd({ peerUrls: [urlOf(seat)], learner: true }), "the addition");
  await cluster.start(seat);
  await cluster.until(
    () => (seat.member?.appliedIndex ?? 0) >= (cluster.leader?.member?.appliedIndex ?? 1),
    "the learner to catch up",
  );
  // The leader may not have heard of it yet.
  for (let promoted = false; !promoted; ) {
    const attempt = admin.memberPromote(seat.peer.id).then(
      () => true,
      (error: Error) => {
        assert.match(error.message, /in sync with leader$/);
        return false;
      },
    );
    promoted = await cluster.run(attempt, "the promotion");
  }
}

test("a learner joins with an empty log, catches up, is promoted and counts", async () => {
  const cluster = await founded("join");
  const seat = cluster.addSeat(4);
  await join(cluster, seat);
  const members = await cluster.run(seat.store!.admin.members());
  assert.deepEqual(
    members.map(({ id, name, learner }) => [id, name, learner]),
    [
      [1, "m1", false],
      [2, "m2", false],
      [3, "m3", false],
      [4, "m4", false],
    ],
  );
  assert.equal(members[3]?.peerUrls[0], "http://m4:2380?p2p=simulated-4");
  assert.equal(await cluster.run(textAt(seat.store!, "before")), "1");
  const status = await cluster.run(seat.store!.status());
  assert.equal(status.clusterId, (await cluster.run(cluster.stores[0]!.status())).clusterId);
  // Of four voters two may not decide any more.
  const others = cluster.seats.filter((each) => each !== seat && each !== cluster.leader);
  cluster.crash(others[0]!);
  await cluster.run(seat.store!.txn(put("during", "2")));
  await cluster.start(others[0]!);
  await cluster.converged();
});

test("a member that restarts knows everybody from its disk", async () => {
  const cluster = await founded("restart");
  const seat = cluster.addSeat(4);
  await join(cluster, seat);
  await cluster.converged();
  for (const each of cluster.seats) cluster.crash(each, true);
  // Only the founders are named, and they are not asked.
  for (const each of cluster.seats) await cluster.start(each);
  await cluster.untilLed();
  for (const store of cluster.stores) assert.equal((await store.admin.members()).length, 4);
  await cluster.run(seat.store!.txn(put("after", "3")));
  await cluster.converged();
});

test("a removed member stops serving and says so, also after a restart", async () => {
  const cluster = await founded("remove");
  const seat = cluster.follower;
  const admin = cluster.leader!.store!.admin;
  await cluster.run(admin.memberRemove(seat.peer.id));
  await cluster.until(() => seat.member?.failure !== undefined, "the member to learn of it");
  const error = await refused(cluster, seat.store!.txn(put("k", "v")), /has been removed/);
  assert.equal(error.code, Code.unavailable);
  await cluster.run(cluster.leader!.store!.txn(put("k", "v")));
  await cluster.world.runFor(5_000);
  await refused(cluster, cluster.start(seat), /has been removed/);
  const again = admin.memberAdd({ peerUrls: [urlOf(seat)], learner: true });
  await refused(cluster, again, /was removed; use a new peer key/);
});

test("a leader that is removed hands over, and the others go on", async () => {
  const cluster = await founded("remove leader");
  const seat = cluster.leader!;
  await cluster.run(seat.store!.admin.memberRemove(seat.peer.id));
  await cluster.until(() => cluster.leader !== undefined && cluster.leader !== seat, "a successor");
  await cluster.run(cluster.leader!.store!.txn(put("k", "v")));
  assert.equal((await cluster.leader!.store!.admin.members()).length, 2);
  await refused(cluster, seat.store!.range({ key: Buffer.from("k") }), /has been removed/);
});

test("changes that etcd refuses are refused with its words", async () => {
  const cluster = await founded("refusals");
  const { admin } = cluster.follower.store!;
  const nobody = 99 as MemberId;
  const add = (peerUrls: string[], learner = true) => admin.memberAdd({ peerUrls, learner });
  await refused(cluster, add(["http://m4:2380"]), /has no identity.*http:\/\/host:port\?p2p=/);
  await refused(cluster, add(["m4:2380"]), /peer URL "m4:2380" is not http/);
  await refused(cluster, add(["http://m1:2380?p2p=simulated-1"]), /member ID already exist$/);
  await refused(cluster, admin.memberRemove(nobody), /member not found$/);
  await refused(cluster, admin.memberUpdate(nobody, ["http://x:1"]), /member not found$/);
  const founder = cluster.seats[0]!.peer.id;
  await refused(cluster, admin.memberPromote(founder), /can only promote a learner member$/);
  const fourth = "http://m4:2380?p2p=simulated-4";
  const [path] = await cluster.run(
    Promise.all([add(["http://m4:2380/p2p/simulated-4"]), Promise.resolve()]),
  );
  assert.deepEqual(path.peerUrls, [fourth]);
  const silent = /learner member which is in sync with leader$/;
  await refused(cluster, admin.memberPromote(4 as MemberId), silent);
  await refused(cluster, add(["http://m5:2380?p2p=simulated-5"]), /too many learner members/);
  await cluster.run(admin.memberRemove(4 as MemberId));
  // With one of three down, another voter would leave no quorum to spare.
  const down = cluster.follower;
  cluster.crash(down);
  const noticed = () => cluster.seats.every(({ member }) => !member?.isLinked(down.peer.id));
  await cluster.until(noticed, "the others to notice");
  const strict = /not enough started members$/;
  const left = cluster.leader!.store!.admin;
  const voter = left.memberAdd({ peerUrls: ["http://m6:2380?p2p=simulated-6"], learner: false });
  await refused(cluster, voter, strict);
  await refused(cluster, left.memberRemove(cluster.follower.peer.id), strict);
});

test("addresses change, and everybody hears of them", async () => {
  const cluster = await founded("update");
  const { id } = cluster.seats[0]!.peer;
  const { admin } = cluster.follower.store!;
  await cluster.run(admin.memberUpdate(id, ["http://elsewhere:2380", "https://other:2381"]));
  await cluster.converged();
  for (const store of cluster.stores) {
    const [member] = await store.admin.members();
    assert.deepEqual(member?.peerUrls, [
      "http://elsewhere:2380?p2p=simulated-1",
      "http://other:2381?p2p=simulated-1",
    ]);
  }
  const other = admin.memberUpdate(id, ["http://m1:2380?p2p=simulated-9"]);
  await refused(cluster, other, /another identity/);
});

test("leadership moves where it is told to, from the leader only", async () => {
  const cluster = await founded("move");
  const to = cluster.follower;
  await refused(cluster, to.store!.admin.moveLeader(to.peer.id), /not leader$/);
  const { admin } = cluster.leader!.store!;
  await refused(cluster, admin.moveLeader(77 as MemberId), /bad leader transferee$/);
  await cluster.run(admin.moveLeader(to.peer.id));
  assert.equal(cluster.leader, to);
});

test("a change of membership survives the leader that was asked for it", async () => {
  for (const seed of ["a", "b", "c", "d"]) {
    const cluster = await founded(`leader lost ${seed}`);
    const leader = cluster.leader!;
    const { admin } = cluster.follower.store!;
    const added = admin.memberAdd({ peerUrls: ["http://m4:2380?p2p=simulated-4"], learner: true });
    for (let event = 0; event < 30; event++) await cluster.world.step();
    cluster.crash(leader);
    const { id } = await cluster.run(added);
    assert.equal(id, 4);
    await cluster.start(leader);
    await cluster.converged();
    assert.equal((await leader.store!.admin.members()).length, 4);
  }
});

test("a joiner that was told of one member only hears of the others from it", async () => {
  const cluster = await founded("stale list");
  const follower = cluster.follower;
  const seat = cluster.addSeat(4, { cluster: [follower.peer] });
  await join(cluster, seat);
  assert.notEqual(cluster.leader, follower, "who leads was not in its list");
  await cluster.run(seat.store!.txn(put("k", "v")));
  await cluster.converged();
});

test("a second voter beside a single one counts once it has caught up", async () => {
  const cluster = new SimulatedCluster("one and one", 1);
  await cluster.startAll();
  const seat = cluster.addSeat(2);
  const { admin } = cluster.leader!.store!;
  const added = await cluster.run(admin.memberAdd({ peerUrls: [urlOf(seat)], learner: false }));
  assert.equal(added.learner, false);
  const listed = await cluster.run(admin.members());
  assert.deepEqual(
    listed.map(({ id, learner }) => [id, learner]),
    [
      [1, false],
      [2, false],
    ],
  );
  // It has not started: the single voter goes on alone.
  await cluster.run(cluster.leader!.store!.txn(put("before", "1")));
  await cluster.start(seat);
  const { voters } = cluster.seats[0]!.member!.raftStatus.membership;
  assert.deepEqual(voters, [1]);
  const both = () => cluster.seats[0]!.member!.raftStatus.membership.voters.length === 2;
  await cluster.until(both, "the second to become a voter");
  await cluster.run(seat.store!.txn(put("after", "2")));
  await cluster.converged();
  assert.equal(cluster.seats[0]!.member!.roster.peers[1]?.catchingUp, undefined);
});
