/** Faces of three members, each on its own thread: what one says holds at the others. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { status } from "@grpc/grpc-js";
import type { WatchResponse } from "../../proto/gen/etcd.ts";
import { type EtcdServer, serveEtcd } from "../../services/apiserver/mod.ts";
import { openRealCluster, type RealCluster } from "../member/real-cluster.ts";
import { eventually } from "../patience.ts";
import { b, call, dialFace, type FaceClients, put, refused, shown } from "./support.ts";

describe("the faces of three members", () => {
  let cluster: RealCluster;
  let servers: EtcdServer[] = [];
  let faces: FaceClients[] = [];
  before(async () => {
    cluster = await openRealCluster(3);
    const listen = { host: "127.0.0.1", port: 0 };
    servers = await Promise.all(cluster.members.map((member) => serveEtcd(member, { listen })));
    faces = servers.map(({ port }) => dialFace(port));
  });
  after(async () => {
    for (const face of faces) await face.close();
    for (const server of servers) await server.close();
    await cluster.close();
  });

  test("answer with one cluster id and each its own member id", async () => {
    await eventually("a leader", async () => {
      const { maintenance } = faces[0]!;
      return (await call(maintenance, maintenance.status, {})).leader !== undefined;
    });
    await put(faces[0]!, "k", "1");
    const headers = [];
    for (const face of faces) {
      const read = await call(face.kv, face.kv.range, { key: b("k") });
      assert.equal(shown(read.kvs), "k=1", "a linearizable read sees it everywhere");
      headers.push(read.header!);
    }
    assert.equal(new Set(headers.map(({ clusterId }) => clusterId)).size, 1);
    assert.equal(new Set(headers.map(({ memberId }) => memberId)).size, 3);
    assert.equal(new Set(headers.map(({ raftTerm }) => raftTerm)).size, 1);
  });

  test("a watch and a lease of one member know what another one does", async () => {
    const [one, two, three] = faces as [FaceClients, FaceClients, FaceClients];
    const stream = two.watch.watch();
    const seen: WatchResponse[] = [];
    stream.on("data", (response: WatchResponse) => seen.push(response));
    stream.on("error", () => {});
    stream.write({ requestUnion: { $case: "createRequest", value: { key: b("seen") } } });
    await eventually("created", () => seen.length === 1);
    const { ID } = await call(three.lease, three.lease.leaseGrant, { TTL: 60n });
    await call(one.kv, one.kv.put, { key: b("seen"), value: b("1"), lease: ID! });
    await eventually("the put", () => seen.length === 2);
    stream.write({ requestUnion: { $case: "progressRequest", value: {} } });
    await eventually("progress", () => seen.at(-1)?.watchId === -1n);
    await call(two.lease, two.lease.leaseRevoke, { ID: ID! });
    await eventually("the delete", () => seen.at(-1)?.events?.[0]?.type === 1);
    stream.cancel();
  });

  test("users, passwords and tokens are good, and end, at every member", async () => {
    const [one, two, three] = faces as [FaceClients, FaceClients, FaceClients];
    await call(one.auth, one.auth.userAdd, { name: "root", password: "r" });
    await call(two.auth, two.auth.roleAdd, { name: "root" });
    await call(three.auth, three.auth.userGrantRole, { user: "root", role: "root" });
    await call(one.auth, one.auth.userAdd, { name: "alice", password: "a" });
    await call(two.auth, two.auth.roleAdd, { name: "all" });
    const perm = { permType: 2, key: b("a/"), rangeEnd: b("a0") } as const;
    await call(three.auth, three.auth.roleGrantPermission, { name: "all", perm });
    await call(one.auth, one.auth.userGrantRole, { user: "alice", role: "all" });
    await call(two.auth, two.auth.authEnable, {});
    const login = async (face: FaceClients, name: string, password: string) => {
      const answer = await call(face.auth, face.auth.authenticate, { name, password });
      return { token: answer.token! };
    };
    const root = await login(one, "root", "r");
    const alice = await login(three, "alice", "a");
    for (const face of faces) {
      await put(face, "a/1", "x", alice);
      await call(face.kv, face.kv.range, { key: b("a/1") }, alice);
      await refused(
        put(face, "b", "x", alice),
        status.PERMISSION_DENIED,
        "etcdserver: permission denied",
      );
    }
    const revoked = { role: "all", key: b("a/"), rangeEnd: b("a0") };
    await call(two.auth, two.auth.roleRevokePermission, revoked, root);
    for (const face of faces) {
      const denied = "etcdserver: permission denied";
      const read = call(face.kv, face.kv.range, { key: b("a/1") }, alice);
      await refused(read, status.PERMISSION_DENIED, denied);
      await refused(put(face, "a/1", "y", alice), status.PERMISSION_DENIED, denied);
    }
    const change = { name: "alice", password: "b" };
    await call(three.auth, three.auth.userChangePassword, change, root);
    for (const face of faces) {
      const read = call(face.kv, face.kv.range, { key: b("a/1") }, alice);
      await refused(read, status.UNAUTHENTICATED, "etcdserver: invalid auth token");
    }
    await call(one.auth, one.auth.authDisable, {}, root);
    await put(one, "a/1", "z");
  });

  test("a lock held at one member is waited for at another", async () => {
    const [one, two] = faces as [FaceClients, FaceClients, FaceClients];
    const held = await call(one.lock, one.lock.lock, { name: b("l") });
    const waiting = call(two.lock, two.lock.lock, { name: b("l") });
    await eventually("two in the queue", async () => {
      const range = { key: b("l/"), rangeEnd: b("l0"), countOnly: true };
      return (await call(one.kv, one.kv.range, range)).count === 2n;
    });
    await call(one.lock, one.lock.unlock, { key: held.key! });
    assert.notEqual(String((await waiting).key), String(held.key));
  });
});
