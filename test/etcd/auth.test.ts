import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { status } from "@grpc/grpc-js";
import { Permissions } from "../../ha/etcd/permissions.ts";
import type { WatchResponse } from "../../proto/gen/etcd.ts";
import { eventually } from "../patience.ts";
import { b, call, type Face, openFace, put, refused, shown } from "./support.ts";

const denied = "etcdserver: permission denied";
const nobody = "etcdserver: user name is empty";
const { FAILED_PRECONDITION, INVALID_ARGUMENT, PERMISSION_DENIED, UNAUTHENTICATED } = status;

describe("Auth", () => {
  let face: Face;
  let wallMillis = 1_000_000;
  before(async () => {
    face = await openFace({ wallMillis: () => wallMillis });
  });
  after(() => face.close());

  const login = async (name: string, password: string) => {
    const { token } = await call(face.auth, face.auth.authenticate, { name, password });
    return { token: token! };
  };
  const range = (key: string, headers?: Record<string, string>, rangeEnd = "") =>
    call(face.kv, face.kv.range, { key: b(key), rangeEnd: b(rangeEnd) }, headers);

  test("users and roles are managed before authentication is on", async () => {
    const { auth } = face;
    await call(auth, auth.userAdd, { name: "alice", password: "a" });
    await refused(
      call(auth, auth.userAdd, { name: "alice", password: "a" }),
      FAILED_PRECONDITION,
      "etcdserver: user name already exists",
    );
    await refused(call(auth, auth.userAdd, { password: "a" }), INVALID_ARGUMENT, nobody);
    await refused(
      call(auth, auth.userGet, { name: "bob" }),
      FAILED_PRECONDITION,
      "etcdserver: user name not found",
    );
    await call(auth, auth.roleAdd, { name: "reader" });
    await refused(
      call(auth, auth.roleAdd, { name: "reader" }),
      FAILED_PRECONDITION,
      "etcdserver: role name already exists",
    );
    await refused(call(auth, auth.roleAdd, {}), INVALID_ARGUMENT, "etcdserver: role name is empty");
    await refused(
      call(auth, auth.userGrantRole, { user: "alice", role: "writer" }),
      FAILED_PRECONDITION,
      "etcdserver: role name not found",
    );
    await refused(
      call(auth, auth.userRevokeRole, { name: "alice", role: "reader" }),
      FAILED_PRECONDITION,
      "etcdserver: role is not granted to the user",
    );
    await call(auth, auth.userGrantRole, { user: "alice", role: "reader" });
    await call(auth, auth.userGrantRole, { user: "alice", role: "reader" });
    const { roles } = await call(auth, auth.userGet, { name: "alice" });
    assert.deepEqual(roles, ["reader"]);
    const grant = (perm: Parameters<typeof auth.roleGrantPermission>[0]["perm"]) =>
      call(auth, auth.roleGrantPermission, { name: "reader", perm });
    await grant({ permType: 0, key: b("pub/"), rangeEnd: b("pub0") });
    await grant({ permType: 1, key: b("pub/"), rangeEnd: b("pub0") });
    await grant({ permType: 0, key: b("pub/"), rangeEnd: b("pub0") });
    await grant({ permType: 2, key: b("own") });
    await refused(grant(undefined), INVALID_ARGUMENT, "etcdserver: permission not given");
    await refused(
      grant({ key: b("b"), rangeEnd: b("a") }),
      INVALID_ARGUMENT,
      "etcdserver: invalid auth management",
    );
    const { perm } = await call(auth, auth.roleGet, { role: "reader" });
    assert.deepEqual(perm, [
      { permType: 2, key: b("own") },
      { key: b("pub/"), rangeEnd: b("pub0") },
    ]);
    await refused(
      call(auth, auth.roleRevokePermission, { role: "reader", key: b("other") }),
      FAILED_PRECONDITION,
      "etcdserver: permission is not granted to the role",
    );
    assert.deepEqual((await call(auth, auth.userList, {})).users, ["alice"]);
    assert.deepEqual((await call(auth, auth.roleList, {})).roles, ["reader"]);
    const { authRevision, enabled } = await call(auth, auth.authStatus, {});
    assert.ok(!enabled);
    assert.equal(authRevision, 8n, "one, and seven changes");
  });

  test("it is turned on once there is a root user with the role root", async () => {
    const { auth } = face;
    await refused(
      call(auth, auth.authenticate, { name: "alice", password: "a" }),
      FAILED_PRECONDITION,
      "etcdserver: authentication is not enabled",
    );
    const enable = () => call(auth, auth.authEnable, {});
    await refused(enable(), FAILED_PRECONDITION, "etcdserver: root user does not exist");
    await call(auth, auth.userAdd, { name: "root", password: "r" });
    await refused(enable(), FAILED_PRECONDITION, "etcdserver: root user does not have root role");
    await call(auth, auth.roleAdd, { name: "root" });
    await call(auth, auth.userGrantRole, { user: "root", role: "root" });
    await put(face, "secret", "s");
    await put(face, "pub/1", "p");
    await enable();
    await refused(range("secret"), INVALID_ARGUMENT, nobody);
    await refused(enable(), INVALID_ARGUMENT, nobody);
  });

  test("a password opens, a wrong one does not, and a token says who calls", async () => {
    const failed = "etcdserver: authentication failed, invalid user ID or password";
    await refused(login("alice", "wrong"), INVALID_ARGUMENT, failed);
    await refused(login("nobody", "a"), INVALID_ARGUMENT, failed);
    const root = await login("root", "r");
    assert.equal(shown((await range("secret", root)).kvs), "secret=s");
    assert.equal(shown((await range("secret", { authorization: root.token })).kvs), "secret=s");
    const [body, signature] = root.token.split(".");
    const forged = Buffer.from(
      JSON.stringify({ ...JSON.parse(Buffer.from(body!, "base64url").toString()), user: "alice" }),
    ).toString("base64url");
    for (const token of ["x", "", `${forged}.${signature}`, `${body}.AAAA`, "y".repeat(5000)]) {
      await refused(range("secret", { token }), UNAUTHENTICATED, "etcdserver: invalid auth token");
    }
    wallMillis += 5 * 60_000;
    await refused(range("secret", root), UNAUTHENTICATED, "etcdserver: invalid auth token");
  });

  test("ranges are allowed as far as the roles of the user reach", async () => {
    const alice = await login("alice", "a");
    assert.equal(shown((await range("pub/1", alice)).kvs), "pub/1=p");
    assert.equal(shown((await range("pub/", alice, "pub0")).kvs), "pub/1=p");
    await refused(range("pub/", alice, "pub1"), PERMISSION_DENIED, denied);
    await refused(range("secret", alice), PERMISSION_DENIED, denied);
    await refused(put(face, "pub/1", "x", alice), PERMISSION_DENIED, denied);
    await put(face, "own", "mine", alice);
    const deleteRange = { key: b("own"), prevKv: true };
    const deleted = await call(face.kv, face.kv.deleteRange, deleteRange, alice);
    assert.equal(deleted.deleted, 1n);
    const compare = { key: b("secret"), target: 0, result: 0 } as const;
    const success = [
      { request: { $case: "requestPut" as const, value: { key: b("own"), value: b("2") } } },
    ];
    const txn = (request: Parameters<typeof face.kv.txn>[0]) =>
      call(face.kv, face.kv.txn, request, alice);
    await refused(txn({ compare: [compare], success }), PERMISSION_DENIED, denied);
    const inner = { $case: "requestTxn" as const, value: { compare: [compare], success } };
    await refused(txn({ success: [{ request: inner }] }), PERMISSION_DENIED, denied);
    const answer = await txn({
      compare: [{ key: b("pub/1"), target: 3, targetUnion: { $case: "value", value: b("p") } }],
      success,
      failure: [],
    });
    assert.equal(answer.succeeded, true);
    assert.equal(answer.responses?.length, 1);
    const read = await range("own", alice);
    assert.equal(read.kvs?.[0]?.modRevision, answer.header?.revision);
  });

  test("watches, leases, locks and administration ask who calls as well", async () => {
    const alice = await login("alice", "a");
    const root = await login("root", "r");
    const seen: WatchResponse[] = [];
    const { Metadata } = await import("@grpc/grpc-js");
    const metadata = new Metadata();
    metadata.set("token", alice.token);
    const stream = face.watch.watch(metadata);
    stream.on("data", (response: WatchResponse) => seen.push(response));
    stream.on("error", () => {});
    stream.write({ requestUnion: { $case: "createRequest", value: { key: b("secret") } } });
    stream.write({ requestUnion: { $case: "createRequest", value: { key: b("own") } } });
    await eventually("both answered", () => seen.length === 2);
    assert.deepEqual(
      seen.map(({ watchId, cancelReason }) => [watchId, cancelReason]),
      [
        [-1n, `rpc error: code = PermissionDenied desc = ${denied}`],
        [undefined, undefined],
      ],
    );
    stream.cancel();

    await refused(call(face.lease, face.lease.leaseGrant, { TTL: 60n }), INVALID_ARGUMENT, nobody);
    const { ID } = await call(face.lease, face.lease.leaseGrant, { TTL: 60n }, alice);
    const leased = { key: b("secret"), value: b("s2"), lease: ID! };
    await call(face.kv, face.kv.put, leased, root);
    const revoke = () => call(face.lease, face.lease.leaseRevoke, { ID: ID! }, alice);
    await refused(revoke(), PERMISSION_DENIED, denied);
    const attach = { key: b("own"), value: b("x"), lease: ID! };
    await refused(call(face.kv, face.kv.put, attach, alice), PERMISSION_DENIED, denied);
    const ask = { ID: ID!, keys: true };
    const left = call(face.lease, face.lease.leaseTimeToLive, ask, alice);
    await refused(left, PERMISSION_DENIED, denied);
    const lock = call(face.lock, face.lock.lock, { name: b("l") }, alice);
    await refused(lock, PERMISSION_DENIED, denied);
    await refused(call(face.kv, face.kv.compact, { revision: 2n }), INVALID_ARGUMENT, nobody);

    const { auth, cluster, maintenance } = face;
    await refused(
      call(cluster, cluster.memberRemove, { ID: 1n }, alice),
      PERMISSION_DENIED,
      denied,
    );
    await refused(call(maintenance, maintenance.defragment, {}, alice), PERMISSION_DENIED, denied);
    await refused(call(auth, auth.userList, {}, alice), PERMISSION_DENIED, denied);
    assert.deepEqual((await call(auth, auth.userGet, { name: "alice" }, alice)).roles, ["reader"]);
    await call(auth, auth.roleGet, { role: "reader" }, alice);
    await refused(call(auth, auth.roleGet, { role: "root" }, alice), PERMISSION_DENIED, denied);
    const { perm } = await call(auth, auth.roleGet, { role: "root" }, root);
    assert.deepEqual(perm, [{ permType: 2, rangeEnd: Buffer.of(0) }]);
  });

  test("what tells of the cluster, or ends history, asks for a token", async () => {
    const { cluster, kv, lease, maintenance } = face;
    const root = await login("root", "r");
    const alice = await login("alice", "a");
    const forAdministrators = [
      (headers = {}) => call(maintenance, maintenance.alarm, { action: 1, alarm: 1 }, headers),
      (headers = {}) => call(maintenance, maintenance.alarm, { action: 2, alarm: 1 }, headers),
      (headers = {}) => call(maintenance, maintenance.defragment, {}, headers),
      (headers = {}) => call(maintenance, maintenance.hash, {}, headers),
      (headers = {}) => call(maintenance, maintenance.hashKv, {}, headers),
      (headers = {}) => call(kv, kv.compact, { revision: 2n }, headers),
    ];
    for (const ask of forAdministrators) {
      await refused(ask(), INVALID_ARGUMENT, nobody);
      await refused(ask(alice), PERMISSION_DENIED, denied);
      await refused(ask({ token: "x" }), UNAUTHENTICATED, "etcdserver: invalid auth token");
      await ask(root);
    }
    const forUsers = [
      (headers = {}) => call(maintenance, maintenance.status, {}, headers),
      (headers = {}) => call(maintenance, maintenance.alarm, {}, headers),
      (headers = {}) => call(cluster, cluster.memberList, {}, headers),
      (headers = {}) => call(cluster, cluster.memberList, { linearizable: true }, headers),
      (headers = {}) => call(lease, lease.leaseLeases, {}, headers),
      (headers = {}) => call(lease, lease.leaseTimeToLive, { ID: 1n }, headers),
    ];
    for (const ask of forUsers) {
      await refused(ask(), INVALID_ARGUMENT, nobody);
      await refused(ask({ token: "x" }), UNAUTHENTICATED, "etcdserver: invalid auth token");
      await ask(alice);
    }
  });

  test("what is changed holds at once, for tokens given out before", async () => {
    const { auth } = face;
    const alice = await login("alice", "a");
    const root = await login("root", "r");
    const perm = { role: "reader", key: b("own") };
    await call(auth, auth.roleRevokePermission, perm, root);
    await refused(put(face, "own", "x", alice), PERMISSION_DENIED, denied);
    await refused(range("own", alice), PERMISSION_DENIED, denied);
    await call(auth, auth.userGrantRole, { user: "alice", role: "root" }, root);
    assert.equal(shown((await range("secret", alice)).kvs), "secret=s2");
    await call(auth, auth.userChangePassword, { name: "alice", password: "b" }, root);
    await refused(range("pub/1", alice), UNAUTHENTICATED, "etcdserver: invalid auth token");
    await refused(
      login("alice", "a"),
      INVALID_ARGUMENT,
      "etcdserver: authentication failed, invalid user ID or password",
    );
    await call(auth, auth.roleDelete, { role: "reader" }, root);
    const again = await login("alice", "b");
    const { roles } = await call(auth, auth.userGet, { name: "alice" }, again);
    assert.deepEqual(roles, ["root"]);
    await call(auth, auth.userDelete, { name: "alice" }, root);
    await refused(range("pub/1", again), UNAUTHENTICATED, "etcdserver: invalid auth token");
  });

  test("root keeps what the cluster needs to be administered", async () => {
    const { auth } = face;
    const root = await login("root", "r");
    const invalid = "etcdserver: invalid auth management";
    const refusedCalls = [
      call(auth, auth.userDelete, { name: "root" }, root),
      call(auth, auth.userRevokeRole, { name: "root", role: "root" }, root),
      call(auth, auth.roleDelete, { role: "root" }, root),
    ];
    for (const one of refusedCalls) await refused(one, INVALID_ARGUMENT, invalid);
    const { authRevision } = await call(auth, auth.authStatus, {}, root);
    await call(auth, auth.userAdd, { name: "guest", options: { noPassword: true } }, root);
    await refused(
      login("guest", ""),
      INVALID_ARGUMENT,
      "etcdserver: authentication failed, invalid user ID or password",
    );
    const hashed = { name: "h", hashedPassword: "JDJh" };
    await assert.rejects(call(auth, auth.userAdd, hashed, root), { code: INVALID_ARGUMENT });
    await call(auth, auth.authDisable, {}, root);
    const after_ = await call(auth, auth.authStatus, {});
    assert.ok(!after_.enabled);
    assert.equal(after_.authRevision, authRevision! + 2n);
    assert.equal(shown((await range("secret")).kvs), "secret=s2");
  });
});

test("permissions unite, touch and end where they should", () => {
  const kind = "readWrite";
  const end = (text: string) => (text === "*" ? Buffer.of(0) : b(text));
  const made = (...ranges: [string, string][]) =>
    new Permissions(
      ranges.map(([key, rangeEnd]) => ({ kind, key: b(key), rangeEnd: end(rangeEnd) })),
    );
  const may = (permissions: Permissions, key: string, rangeEnd = "") =>
    permissions.mayRead(b(key), end(rangeEnd)) && permissions.mayWrite(b(key), end(rangeEnd));

  const united = made(["c", "e"], ["a", "c"], ["d", "g"], ["x", ""]);
  assert.ok(may(united, "a", "g"), "touching and overlapping ranges are one");
  assert.ok(!may(united, "a", "h"));
  assert.ok(!may(united, "g"));
  assert.ok(may(united, "x"));
  assert.ok(!may(united, "x", "y"));
  assert.ok(may(united, "x", "x\0"), "the range that holds one key");
  assert.ok(!may(united, "a", "*"));
  const open = made(["m", "*"], ["n", "o"]);
  assert.ok(may(open, "z", "*"));
  assert.ok(!may(open, "a", "*"));
  assert.ok(may(made(["\0", "*"]), "\0", "*"));
  assert.ok(!may(made(), "a"));
  const readOnly = new Permissions([{ kind: "read", key: b("k"), rangeEnd: b("") }]);
  assert.ok(readOnly.mayRead(b("k")) && !readOnly.mayWrite(b("k")));
});
