import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { status } from "@grpc/grpc-js";
import type { Compare, RequestOp } from "../../proto/gen/etcd.ts";
import { b, call, type Face, openFace, put, refused, shown } from "./support.ts";

const openEnd = Buffer.of(0);

describe("KV", () => {
  let face: Face;
  before(async () => {
    face = await openFace();
  });
  after(() => face.close());

  test("put and range say who answered, and at which revision", async () => {
    const answer = await put(face, "header", "1");
    const { revision } = answer.header!;
    assert.deepEqual(answer.header, { clusterId: 1n, memberId: 1n, revision, raftTerm: 1n });
    const read = await call(face.kv, face.kv.range, { key: b("header") });
    assert.deepEqual(read.kvs, [
      {
        key: b("header"),
        value: b("1"),
        createRevision: revision,
        modRevision: revision,
        version: 1n,
      },
    ]);
    assert.equal(read.count, 1n);
    assert.ok(!read.more);
    assert.equal(read.header?.revision, revision);
  });

  test("a put keeps what it is told to keep, and shows what was before", async () => {
    await put(face, "keep", "old");
    const lease = await call(face.lease, face.lease.leaseGrant, { TTL: 100n });
    const key = b("keep");
    const request = { key, value: b("new"), lease: lease.ID!, prevKv: true };
    const changed = await call(face.kv, face.kv.put, request);
    assert.equal(changed.prevKv?.value?.toString(), "old");
    await call(face.kv, face.kv.put, { key, ignoreValue: true });
    await call(face.kv, face.kv.put, { key, value: b("newer"), ignoreLease: true });
    const read = await call(face.kv, face.kv.range, { key });
    assert.equal(shown(read.kvs), "keep=newer");
    assert.equal(
      read.kvs?.[0]?.lease,
      undefined,
      "the put that ignored the value dropped the lease",
    );
  });

  test("what is wrong with a request is said in etcd's words", async () => {
    const { INVALID_ARGUMENT, NOT_FOUND, OUT_OF_RANGE } = status;
    const key = b("wrong");
    const wrong = (request: Parameters<Face["kv"]["put"]>[0]) =>
      call(face.kv, face.kv.put, request);
    await refused(wrong({ value: b("x") }), INVALID_ARGUMENT, "etcdserver: key is not provided");
    await refused(wrong({ key, ignoreValue: true }), INVALID_ARGUMENT, "etcdserver: key not found");
    await refused(
      wrong({ key, ignoreValue: true, value: b("x") }),
      INVALID_ARGUMENT,
      "etcdserver: value is provided",
    );
    await refused(
      wrong({ key, ignoreLease: true, lease: 7n }),
      INVALID_ARGUMENT,
      "etcdserver: lease is provided",
    );
    await refused(
      wrong({ key, lease: 12345n }),
      NOT_FOUND,
      "etcdserver: requested lease not found",
    );
    await refused(
      wrong({ key, value: Buffer.alloc(1_600 * 1024) }),
      INVALID_ARGUMENT,
      "etcdserver: request is too large",
    );
    await refused(
      call(face.kv, face.kv.range, { key, sortOrder: 9 as never }),
      INVALID_ARGUMENT,
      "etcdserver: invalid sort option",
    );
    for (const revision of [1_000_000n, 2n ** 62n]) {
      await refused(
        call(face.kv, face.kv.range, { key, revision }),
        OUT_OF_RANGE,
        "etcdserver: mvcc: required revision is a future revision",
      );
    }
    await refused(
      call(face.kv, face.kv.txn, { success: [{}] }),
      INVALID_ARGUMENT,
      "etcdserver: key not found",
    );
  });

  test("range options: limit, order, bounds, keys only, count only, a past revision", async () => {
    const first = await put(face, "r/a", "3");
    await put(face, "r/b", "1");
    const third = await put(face, "r/c", "2");
    await put(face, "r/a", "4");
    const range = { key: b("r/"), rangeEnd: b("r0") };
    const read = (options: Parameters<Face["kv"]["range"]>[0]) =>
      call(face.kv, face.kv.range, { ...range, ...options });
    assert.equal(shown((await read({})).kvs), "r/a=4 r/b=1 r/c=2");
    const limited = await read({ limit: 2n });
    assert.equal(shown(limited.kvs), "r/a=4 r/b=1");
    assert.equal(limited.more, true);
    assert.equal(limited.count, 3n);
    assert.equal(shown((await read({ limit: -1n })).kvs), "r/a=4 r/b=1 r/c=2");
    assert.equal(shown((await read({ sortOrder: 2 })).kvs), "r/c=2 r/b=1 r/a=4");
    assert.equal(shown((await read({ sortTarget: 4 })).kvs), "r/b=1 r/c=2 r/a=4");
    assert.equal(shown((await read({ sortTarget: 3, sortOrder: 2 })).kvs), "r/a=4 r/c=2 r/b=1");
    assert.equal(shown((await read({ sortTarget: 1, sortOrder: 2, limit: 1n })).kvs), "r/a=4");
    assert.equal(shown((await read({ keysOnly: true })).kvs), "r/a= r/b= r/c=");
    const counted = await read({ countOnly: true });
    assert.equal(shown(counted.kvs), "");
    assert.equal(counted.count, 3n);
    const past = await read({ revision: third.header!.revision! });
    assert.equal(shown(past.kvs), "r/a=3 r/b=1 r/c=2");
    const newer = await read({ minModRevision: third.header!.revision! });
    assert.equal(shown(newer.kvs), "r/a=4 r/c=2");
    const older = await read({ maxCreateRevision: first.header!.revision! });
    assert.equal(shown(older.kvs), "r/a=4");
    assert.equal(shown((await read({ serializable: true })).kvs), "r/a=4 r/b=1 r/c=2");
  });

  test("deletes say how many, and what", async () => {
    await put(face, "d/a", "1");
    await put(face, "d/b", "2");
    const range = { key: b("d/"), rangeEnd: b("d0"), prevKv: true };
    const answer = await call(face.kv, face.kv.deleteRange, range);
    assert.equal(answer.deleted, 2n);
    assert.equal(shown(answer.prevKvs), "d/a=1 d/b=2");
    const again = await call(face.kv, face.kv.deleteRange, range);
    assert.equal(again.deleted ?? 0n, 0n);
    assert.equal(again.header?.revision, answer.header?.revision, "nothing done, no revision");
  });

  test("a txn compares every target, nests, and answers in the order of its branch", async () => {
    const made = await put(face, "t/a", "1");
    const key = b("t/a");
    const revision = made.header!.revision!;
    const holds: Compare[] = [
      { key, target: 0, result: 0, targetUnion: { $case: "version", value: 1n } },
      { key, target: 1, result: 0, targetUnion: { $case: "createRevision", value: revision } },
      { key, target: 2, result: 2, targetUnion: { $case: "modRevision", value: revision + 1n } },
      { key, target: 3, result: 3, targetUnion: { $case: "value", value: b("2") } },
      { key, target: 4, result: 0, targetUnion: { $case: "lease", value: 0n } },
      { key, target: 2, result: 2, targetUnion: { $case: "modRevision", value: 2n ** 62n } },
      {
        key: b("t/"),
        rangeEnd: b("t0"),
        target: 0,
        result: 1,
        targetUnion: { $case: "version", value: 0n },
      },
    ];
    const nested: RequestOp = {
      request: {
        $case: "requestTxn",
        value: {
          compare: [{ key, target: 3, result: 1, targetUnion: { $case: "value", value: b("5") } }],
          success: [],
          failure: [
            { request: { $case: "requestPut", value: { key: b("t/nested"), value: b("n") } } },
          ],
        },
      },
    };
    const answer = await call(face.kv, face.kv.txn, {
      compare: holds,
      success: [
        { request: { $case: "requestPut", value: { key, value: b("2"), prevKv: true } } },
        { request: { $case: "requestRange", value: { key } } },
        nested,
        { request: { $case: "requestDeleteRange", value: { key: b("t/none") } } },
      ],
    });
    assert.equal(answer.succeeded, true);
    const [putAnswer, rangeAnswer, txnAnswer, deleteAnswer] = answer.responses!.map(
      ({ response }) => response!,
    );
    assert.ok(putAnswer?.$case === "responsePut");
    assert.equal(putAnswer.value.prevKv?.value?.toString(), "1");
    assert.equal(putAnswer.value.header?.revision, answer.header?.revision);
    assert.equal(
      putAnswer.value.header?.clusterId,
      undefined,
      "inner headers say the revision only",
    );
    assert.ok(rangeAnswer?.$case === "responseRange");
    assert.equal(shown(rangeAnswer.value.kvs), "t/a=2");
    assert.ok(txnAnswer?.$case === "responseTxn");
    assert.ok(!txnAnswer.value.succeeded);
    assert.equal(txnAnswer.value.responses?.[0]?.response?.$case, "responsePut");
    assert.ok(deleteAnswer?.$case === "responseDeleteRange");
    assert.equal(deleteAnswer.value.deleted, undefined);

    const otherwise = await call(face.kv, face.kv.txn, {
      compare: [{ key, target: 0, result: 0 }],
      success: [{ request: { $case: "requestDeleteRange", value: { key } } }],
      failure: [{ request: { $case: "requestRange", value: { key, countOnly: true } } }],
    });
    assert.ok(!otherwise.succeeded, "no operand counts as zero");
    const [response] = otherwise.responses!;
    assert.ok(response?.response?.$case === "responseRange");
    assert.equal(response.response.value.count, 1n);

    const twice = { request: { $case: "requestPut", value: { key, value: b("x") } } } as const;
    await refused(
      call(face.kv, face.kv.txn, { success: [twice, twice] }),
      status.INVALID_ARGUMENT,
      "etcdserver: duplicate key given in txn request",
    );
    await refused(
      call(face.kv, face.kv.txn, { success: Array.from({ length: 129 }, () => nested) }),
      status.INVALID_ARGUMENT,
      "etcdserver: too many operations in txn request",
    );
  });

  test("a write repeated under its request id is done once", async () => {
    const headers = { "trireme-request-id": "kv-test-1" };
    const first = await put(face, "once", "1", headers);
    const second = await put(face, "once", "1", headers);
    assert.equal(second.header?.revision, first.header?.revision);
    const read = await call(face.kv, face.kv.range, { key: b("once") });
    assert.equal(read.kvs?.[0]?.version, 1n);
  });

  test("compaction forgets, and is refused for what is forgotten or to come", async () => {
    const old = await put(face, "c", "1");
    const kept = await put(face, "c", "2");
    const revision = kept.header!.revision!;
    const answer = await call(face.kv, face.kv.compact, { revision, physical: true });
    assert.equal(answer.header?.revision, revision);
    await refused(
      call(face.kv, face.kv.range, { key: b("c"), revision: old.header!.revision! }),
      status.OUT_OF_RANGE,
      "etcdserver: mvcc: required revision has been compacted",
    );
    for (const again of [revision, 0n, -5n]) {
      await refused(
        call(face.kv, face.kv.compact, { revision: again }),
        status.OUT_OF_RANGE,
        "etcdserver: mvcc: required revision has been compacted",
      );
    }
    await refused(
      call(face.kv, face.kv.compact, { revision: revision + 1n }),
      status.OUT_OF_RANGE,
      "etcdserver: mvcc: required revision is a future revision",
    );
  });

  test("reserved keys are neither seen nor touched by anybody's range", async () => {
    await call(face.auth, face.auth.roleAdd, { name: "hidden" });
    const low = Buffer.from("\0low");
    await call(face.kv, face.kv.put, { key: low, value: b("l") });
    const secret = Buffer.from("\0trireme/auth/state");
    const denied = "etcdserver: permission denied";
    await refused(call(face.kv, face.kv.range, { key: secret }), 7, denied);
    await refused(call(face.kv, face.kv.put, { key: secret, value: b("{}") }), 7, denied);
    await refused(call(face.kv, face.kv.deleteRange, { key: secret }), 7, denied);
    const inside = { key: b("\0trireme/"), rangeEnd: b("\0trireme0") };
    await refused(call(face.kv, face.kv.range, inside), 7, denied);

    const everything = { key: openEnd, rangeEnd: openEnd };
    const all = await call(face.kv, face.kv.range, everything);
    const keys = all.kvs!.map(({ key }) => key!.toString("latin1"));
    assert.equal(keys[0], "\0low");
    assert.deepEqual(
      keys.filter((key) => key.includes("trireme")),
      [],
    );
    assert.deepEqual(keys, [...keys].sort());
    assert.equal(all.count, BigInt(keys.length));
    const descending = await call(face.kv, face.kv.range, { ...everything, sortOrder: 2 });
    assert.deepEqual(
      descending.kvs!.map(({ key }) => key!.toString("latin1")),
      [...keys].reverse(),
    );
    const limited = await call(face.kv, face.kv.range, { ...everything, limit: 2n });
    assert.deepEqual(
      limited.kvs!.map(({ key }) => key!.toString("latin1")),
      keys.slice(0, 2),
    );
    assert.equal(limited.more, true);
    assert.equal(limited.count, all.count);

    const txn = await call(face.kv, face.kv.txn, {
      success: [
        { request: { $case: "requestRange", value: { ...everything, countOnly: true } } },
        { request: { $case: "requestDeleteRange", value: { ...everything, prevKv: true } } },
        { request: { $case: "requestRange", value: { key: low } } },
      ],
    });
    const [counted, deleted, after_] = txn.responses!.map(({ response }) => response!);
    assert.ok(counted?.$case === "responseRange");
    assert.equal(counted.value.count, all.count);
    assert.ok(deleted?.$case === "responseDeleteRange");
    assert.equal(deleted.value.deleted, all.count);
    assert.deepEqual(
      deleted.value.prevKvs!.map(({ key }) => key!.toString("latin1")),
      keys,
    );
    assert.ok(after_?.$case === "responseRange");
    assert.equal(after_.value.count, undefined);
    const roles = await call(face.auth, face.auth.roleList, {});
    assert.deepEqual(roles.roles, ["hidden"], "a client that deletes everything deletes no role");
  });
});
