import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { status } from "@grpc/grpc-js";
import type { DirectStore } from "../../ha/store/mod.ts";
import type { SnapshotResponse } from "../../proto/gen/etcd.ts";
import { b, call, type Face, openFace, put, refused } from "./support.ts";

describe("Cluster and Maintenance", () => {
  let face: Face;
  before(async () => {
    face = await openFace();
  });
  after(() => face.close());

  test("members are listed, added, updated, promoted and removed", async () => {
    const { cluster } = face;
    const listed = await call(cluster, cluster.memberList, { linearizable: true });
    assert.deepEqual(listed.members, [
      {
        ID: 1n,
        name: "local",
        peerURLs: ["http://127.0.0.1:2380"],
        clientURLs: ["http://127.0.0.1:2379"],
      },
    ]);
    const peerURLs = ["http://127.0.0.1:2390"];
    const added = await call(cluster, cluster.memberAdd, { peerURLs, isLearner: true });
    assert.deepEqual(added.member, { ID: 2n, peerURLs, isLearner: true });
    assert.equal(added.members?.length, 2);
    await refused(
      call(cluster, cluster.memberAdd, { peerURLs }),
      status.FAILED_PRECONDITION,
      "etcdserver: Peer URLs already exists",
    );
    for (const bad of [[], ["not a url"], ["http://a:1", "x".repeat(2000)]]) {
      await refused(
        call(cluster, cluster.memberAdd, { peerURLs: bad }),
        status.INVALID_ARGUMENT,
        "etcdserver: given member URLs are invalid",
      );
    }
    const updated = await call(cluster, cluster.memberUpdate, {
      ID: 2n,
      peerURLs: ["http://127.0.0.1:2400"],
    });
    assert.deepEqual(updated.members?.[1]?.peerURLs, ["http://127.0.0.1:2400"]);
    const promoted = await call(cluster, cluster.memberPromote, { ID: 2n });
    assert.ok(!promoted.members?.[1]?.isLearner);
    await refused(
      call(cluster, cluster.memberPromote, { ID: 2n }),
      status.FAILED_PRECONDITION,
      "etcdserver: can only promote a learner member",
    );
    const removed = await call(cluster, cluster.memberRemove, { ID: 2n });
    assert.equal(removed.members?.length, 1);
    for (const ID of [2n, 0n, 2n ** 63n]) {
      await refused(
        call(cluster, cluster.memberRemove, { ID }),
        status.NOT_FOUND,
        "etcdserver: member not found",
      );
    }
  });

  test("status tells version, sizes and where raft stands", async () => {
    const { maintenance } = face;
    const answer = await call(maintenance, maintenance.status, {});
    assert.equal(answer.version, "3.5.21");
    assert.equal(answer.leader, 1n);
    assert.equal(answer.raftTerm, 1n);
    assert.equal(answer.dbSize, 20480n);
    assert.equal(answer.dbSizeInUse, 16384n);
    assert.equal(answer.errors, undefined);
    assert.equal(answer.raftIndex, answer.raftAppliedIndex);
  });

  test("alarms are raised, told of and disarmed", async () => {
    const { maintenance } = face;
    const alarm = (action: 0 | 1 | 2, type: 0 | 1 | 2, memberID = 0n) =>
      call(maintenance, maintenance.alarm, { action, alarm: type, memberID });
    assert.equal((await alarm(0, 0)).alarms, undefined);
    assert.deepEqual((await alarm(1, 1)).alarms, [{ memberID: 1n, alarm: 1 }]);
    await alarm(1, 2, 1n);
    assert.equal((await alarm(0, 0)).alarms?.length, 2);
    assert.deepEqual((await alarm(0, 2)).alarms, [{ memberID: 1n, alarm: 2 }]);
    const { errors } = await call(maintenance, maintenance.status, {});
    assert.deepEqual(errors, ["memberID:1 alarm:NOSPACE ", "memberID:1 alarm:CORRUPT "]);
    assert.deepEqual((await alarm(2, 1)).alarms, [{ memberID: 1n, alarm: 1 }]);
    await alarm(2, 2, 1n);
    assert.equal((await alarm(0, 0)).alarms, undefined);
    // Of members that are there no more, and of no member in particular.
    for (const member of [0, 9]) face.admin.raised.push({ member, kind: "corrupt" } as never);
    assert.equal((await alarm(2, 2)).alarms?.length, 2);
    assert.equal((await alarm(0, 0)).alarms, undefined);
  });

  test("hashes depend on the content, and on the revision asked for", async () => {
    const { maintenance } = face;
    const hashAt = (revision: bigint) => call(maintenance, maintenance.hashKv, { revision });
    const before_ = await put(face, "hashed", "1");
    const first = await hashAt(0n);
    assert.equal(first.hashRevision, before_.header?.revision);
    await put(face, "hashed", "2");
    const second = await hashAt(0n);
    assert.notEqual(second.hash, first.hash);
    assert.equal((await hashAt(first.hashRevision!)).hash, first.hash);
    const whole = await call(maintenance, maintenance.hash, {});
    assert.equal(whole.hash, second.hash);
  });

  test("a snapshot is a multiple of 512 bytes, and its checksum", async () => {
    const blobs: Buffer[] = [];
    for await (const response of face.maintenance.snapshot({})) {
      blobs.push((response as SnapshotResponse).blob ?? Buffer.alloc(0));
    }
    const sum = blobs.pop()!;
    const content = Buffer.concat(blobs);
    assert.equal(content.length % 512, 0);
    assert.deepEqual(sum, createHash("sha256").update(content).digest());
    const expected = Buffer.concat(face.admin.chunks);
    assert.deepEqual(content.subarray(0, expected.length), expected);
    assert.ok(content.subarray(expected.length).every((byte) => byte === 0));
    assert.ok(blobs.every(({ length }) => length <= 32 * 1024));
  });

  test("defragment, leadership and downgrade", async () => {
    const { maintenance } = face;
    await call(maintenance, maintenance.defragment, {});
    await call(maintenance, maintenance.moveLeader, { targetID: 1n });
    assert.deepEqual(face.admin.calls, ["defragment", "moveLeader 1"]);
    for (const targetID of [0n, 9n, 2n ** 60n]) {
      await refused(
        call(maintenance, maintenance.moveLeader, { targetID }),
        status.FAILED_PRECONDITION,
        "etcdserver: bad leader transferee",
      );
    }
    await refused(
      call(maintenance, maintenance.downgrade, { action: 2 }),
      status.FAILED_PRECONDITION,
      "etcdserver: no inflight downgrade job",
    );
    await refused(
      call(maintenance, maintenance.downgrade, { action: 1, version: "3.4" }),
      status.UNIMPLEMENTED,
      "etcdserver: downgrade is not supported: there is no older storage version to go back to",
    );
  });
});

test("a learner answers what it has and what it is, and nothing else", async (t) => {
  const wrap = (store: DirectStore): DirectStore => {
    const wrapped: DirectStore = Object.create(store);
    for (const name of ["range", "txn", "watch", "readRevision"] as const) {
      wrapped[name] = (store[name] as () => never).bind(store);
    }
    wrapped.onStatus = (listener) =>
      store.onStatus((present) => listener({ ...present, role: "learner" }));
    wrapped.status = async () => ({
      ...(await store.status()),
      role: "learner",
      leader: undefined,
    });
    return wrapped;
  };
  const face = await openFace({ wrap });
  t.after(() => face.close());
  const text = "etcdserver: rpc not supported for learner";
  await refused(put(face, "k", "v"), status.UNAVAILABLE, text);
  await assert.rejects(put(face, "k", "v"), ({ metadata }) => {
    assert.deepEqual(metadata.get("trireme-retry"), ["safe"], "another member may be asked");
    return true;
  });
  await refused(call(face.kv, face.kv.range, { key: b("k") }), status.UNAVAILABLE, text);
  await call(face.kv, face.kv.range, { key: b("k"), serializable: true });
  const { maintenance } = face;
  const answer = await call(maintenance, maintenance.status, {});
  assert.equal(answer.isLearner, true);
  assert.deepEqual(answer.errors, ["etcdserver: no leader"]);
  await refused(call(maintenance, maintenance.moveLeader, { targetID: 1n }), 14, text);
});
