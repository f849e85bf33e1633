import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { AlarmKind, type MemberInfo } from "../../ha/etcd/mod.ts";
import { call, connect as connectGrpc } from "../../ha/rpc/mod.ts";
import { createLog } from "../../ha/runtime/production/mod.ts";
import { type DirectStore, openLocalStore } from "../../ha/store/mod.ts";
import { KVClient } from "../../proto/gen/etcd.ts";
import { startEtcdServer } from "../../services/apiserver/mod.ts";
import { FakeAdmin } from "../etcd/support.ts";
import { patienceMillis } from "../patience.ts";
import { createCa } from "../rpc/certs.ts";
import { memoryRuntime } from "../store/memory-runtime.ts";

const log = createLog({}, { level: "silent" });
let member: DirectStore & { admin: FakeAdmin };
let server: Awaited<ReturnType<typeof startEtcdServer>>;

before(async () => {
  const store = await openLocalStore(memoryRuntime());
  member = Object.assign(store, { admin: new FakeAdmin(store) });
  const listen = { host: "127.0.0.1", port: 0 };
  server = await startEtcdServer({ store: member, listen, log });
});

after(async () => {
  await server.close();
  await member.close();
});

const get = (path: string, init?: RequestInit) =>
  fetch(`http://127.0.0.1:${server.port}${path}`, { ...init, headers: { connection: "close" } });

test("metrics are Prometheus text with etcd's names", async () => {
  const response = await get("/metrics");
  assert.equal(response.status, 200);
  const text = await response.text();
  for (const line of text.trimEnd().split("\n")) {
    assert.match(line, /^(# (HELP|TYPE) \w+ .+|\w+(\{\w+="[^"]+"\})? [\d.e+-]+)$/);
  }
  const value = (name: string) => Number(new RegExp(`^${name} (.+)$`, "m").exec(text)?.[1]);
  assert.ok(value("process_resident_memory_bytes") > 1e6);
  assert.equal(value("etcd_server_has_leader"), 1);
  assert.equal(value("etcd_server_is_leader"), 1);
  assert.ok(value("etcd_mvcc_db_total_size_in_bytes") > 0);
});

test("health follows alarms; those excluded do not count", async () => {
  const healthy = await get("/health");
  assert.deepEqual([healthy.status, await healthy.json()], [200, { health: "true", reason: "" }]);
  const [first] = await member.admin.members();
  const { id } = first as MemberInfo;
  await member.admin.alarm("activate", { member: id, kind: AlarmKind.noSpace });
  const full = await get("/health");
  const alarm = { health: "false", reason: "ALARM NOSPACE" };
  assert.deepEqual([full.status, await full.json()], [503, alarm]);
  assert.equal((await get("/health?exclude=NOSPACE&serializable=true")).status, 200);
  await member.admin.alarm("deactivate", { member: id, kind: AlarmKind.noSpace });
  assert.equal((await get("/health")).status, 200);
});

test("the version is told; other paths and methods are refused", async () => {
  assert.match(JSON.stringify(await (await get("/version")).json()), /^\{"etcdserver":"3\.5\./);
  assert.equal((await get("/v2/keys")).status, 404);
  assert.equal((await get("/metrics", { method: "POST", body: "x" })).status, 405);
});

test("gRPC is served beside it, and the first bytes may come one by one", async () => {
  const kv = connectGrpc(KVClient, { addresses: [`127.0.0.1:${server.port}`] });
  const { count } = await call(
    kv,
    "range",
    { key: Buffer.from("a") },
    { deadlineMillis: patienceMillis },
  );
  assert.equal(count ?? 0n, 0n);
  kv.close();
  const socket = connect(server.port, "127.0.0.1");
  await once(socket, "connect");
  socket.setNoDelay(true);
  for (const byte of "GET /version HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n") {
    socket.write(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  let answer = "";
  socket.on("data", (chunk) => {
    answer += chunk;
  });
  await once(socket, "close");
  assert.match(answer, /^HTTP\/1\.1 200 OK/);
});

test("over TLS: whoever offers both protocols gets a page, gRPC's h2 alone; a certificate is asked", async () => {
  const authority = await createCa();
  const { ca } = authority;
  const own = await authority.client("root");
  const tls = { ...(await authority.server()), clientCa: ca, clientsRequired: {} };
  const listen = { host: "127.0.0.1", port: 0 };
  const secure = await startEtcdServer({ store: member, listen, tls, log });
  try {
    const ask = async (credentials: object): Promise<string> => {
      const ALPNProtocols = ["h2", "http/1.1"];
      const at = { host: "127.0.0.1", port: secure.port, ca, ALPNProtocols };
      const socket = connectTls({ ...at, ...credentials });
      await once(socket, "secureConnect");
      assert.equal(socket.alpnProtocol, "http/1.1");
      socket.write("GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
      let answer = "";
      for await (const chunk of socket) answer += chunk;
      return answer;
    };
    assert.match(await ask(own), /^HTTP\/1\.1 200 OK.*"health":"true"/s);
    assert.match(await ask({}), /^HTTP\/1\.1 401 .*a client certificate is required/s);
    const addresses = [`127.0.0.1:${secure.port}`];
    const kv = connectGrpc(KVClient, { addresses, tls: { ca, ...own } });
    await call(kv, "range", { key: Buffer.from("a") }, { deadlineMillis: patienceMillis });
    kv.close();
  } finally {
    await secure.close();
  }
});
