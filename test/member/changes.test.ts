/** The changes of the membership that the leader refuses from every caller. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ChangeAction, type ClusterView, planChange } from "../../ha/member/changes.ts";
import { limits } from "../../ha/member/limits.ts";
import { Restoration } from "../../ha/member/mod.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { MemberId } from "../../ha/runtime/types.ts";
import type { MembershipRequest, PeerInfo } from "../../proto/gen/raft.ts";
import { put } from "./requests.ts";
import { SimulatedCluster, simulatedPeer } from "./simulated-cluster.ts";

const peers = [simulatedPeer(1), simulatedPeer(2), simulatedPeer(3)];
const voters = peers.map(({ id }) => id);
const view: ClusterView = {
  self: 1 as MemberId,
  membership: { voters, outgoing: [], learners: [], learnersNext: [] },
  roster: { peers, removed: [] },
  lastIndex: 10,
  isActive: () => true,
  matchOf: () => 10,
};

function plan(action: number, peer: PeerInfo) {
  const request: MembershipRequest = { action, peer };
  return planChange(request, false, view);
}

function refusal(text: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof StatusError && error.code === Code.invalidArgument, String(error));
    assert.match(error.message, text);
    return true;
  };
}

const long = "a".repeat(limits.addressBytesMax + 1);
const many = Array.from({ length: limits.addressesMax + 1 }, (_, i) => `host${i}:1`);

test("what a member says of itself is bounded, field by field", () => {
  const announce = (peer: PeerInfo) => () => plan(ChangeAction.announce, { id: 2, ...peer });
  assert.throws(announce({ name: long }), refusal(/name is a{32}… \(301 bytes\), must be at most/));
  assert.throws(announce({ clientAddresses: [long] }), refusal(/clientAddresses is a/));
  assert.throws(announce({ clientAddresses: many }), refusal(/clientAddresses is 17 addresses/));
  assert.throws(announce({ apiAddresses: many }), refusal(/apiAddresses is 17 addresses/));
  const update = () => plan(ChangeAction.update, { id: 2, peerAddresses: many });
  assert.throws(update, refusal(/addresses is 17 addresses, must be at most 16 of them/));
  const told = plan(ChangeAction.announce, { id: 2, name: "m2", clientAddresses: ["http://m2"] });
  assert.deepEqual(told?.roster.peers[1]?.clientAddresses, ["http://m2"]);
  const apiAddresses = ["grpc://m2:7443", "https://m2:6443"];
  const served = plan(ChangeAction.announce, { id: 2, name: "m2", apiAddresses });
  assert.deepEqual(served?.roster.peers[1]?.apiAddresses, apiAddresses);
});

test("a member without an id or an identity is not added", () => {
  const add = (peer: PeerInfo) => () => plan(ChangeAction.addLearner, peer);
  assert.throws(add({ identity: "simulated-4" }), refusal(/id is 0/));
  assert.throws(add({ id: 4 }), refusal(/identity is ""/));
  // Its identity is learnt when it first calls.
  assert.deepEqual(add({ id: 4, peerAddresses: ["m4:2380"] })()?.membership.learners, [4]);
  assert.throws(add({ id: 4, peerAddresses: ["m1:2380"] }), /Peer URLs already exists/);
  const added = add({ id: 4, identity: "simulated-4", peerAddresses: ["m4:2380"] })();
  assert.deepEqual(added?.membership.learners, [4]);
});

test("a member that was removed soon after another hears of it as well", async () => {
  const cluster = new SimulatedCluster("two leave", 5);
  await cluster.startAll();
  await cluster.run(cluster.leader!.store!.txn(put("k", "v")));
  const { leader } = cluster;
  const [first, second] = cluster.seats.filter((seat) => seat !== leader);
  // It cannot be reached when it is removed, and for most of the time for which it is waited.
  const others = cluster.seats.filter((seat) => seat !== second).map(({ peer }) => peer.id);
  await cluster.run(leader!.store!.admin.memberRemove(first!.peer.id));
  await cluster.world.runFor(limits.removedLingerMillis - 300);
  cluster.world.network.partition([second!.peer.id], others);
  await cluster.run(leader!.store!.admin.memberRemove(second!.peer.id));
  await cluster.world.runFor(800);
  cluster.world.network.heal();
  await cluster.until(() => second!.member!.failure !== undefined, "word of the removal");
  assert.match(second!.member!.failure!.message, /has been removed from the cluster/);
});

test("a restored cluster's revisions are above the old ones, and can be counted", () => {
  const cluster = (revisionBump: number) => ({ members: peers, token: "t", revisionBump });
  for (const bump of [0, -1, 0.5, 2 ** 53]) {
    const operations = new Restoration().operations(cluster(bump), peers[0]!);
    assert.throws(
      () => operations.next(),
      refusal(/revisionBump is .*, must be an integer in 1\.\./),
    );
  }
});
