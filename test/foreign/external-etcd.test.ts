/** The store on an external etcd: the contract on a real one, and what is particular to it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { UntypedServiceImplementation } from "@grpc/grpc-js";
import { openEtcdStore, parseEtcdAddress } from "../../ha/etcd/external/mod.ts";
import { call, connect, createRpcServer, serverStreamIterable, unary } from "../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import {
  type DirectStore,
  openLocalStore,
  type Revision,
  type Store,
  type WatchStream,
} from "../../ha/store/mod.ts";
import { ClusterClient } from "../../proto/gen/cluster.ts";
import { ConfigMapsClient } from "../../proto/gen/core.ts";
import { MaintenanceService } from "../../proto/gen/etcd.ts";
import { createAuthority, startApiserver } from "../../services/apiserver/mod.ts";
import { openStore, type StoreFlags } from "../../services/apiserver/open-store.ts";
import { startEtcd } from "../bench/store/clusters.ts";
import { Processes } from "../bench/store/processes.ts";
import { storeContract } from "../contract/store/mod.ts";
import { type Face, openFace } from "../etcd/support.ts";
import { eventually, patienceMillis } from "../patience.ts";
import { freePorts } from "../ports.ts";
import { memoryLog } from "../rpc/helpers.ts";
import { bytes, does, put, text } from "../store/harness.ts";
import { memoryRuntime } from "../store/memory-runtime.ts";
import { CuttingProxy } from "./cutting-proxy.ts";
import { EtcdProcess } from "./etcd-process.ts";
import { locate, needs } from "./needs.ts";

const log = memoryLog();
const open = (...endpoints: string[]) => openEtcdStore({ endpoints, log });
const everything = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };

/** Leaves nothing behind but revisions. */
async function clear(store: Store): Promise<void> {
  for (const lease of await store.leases()) await store.leaseRevoke(lease);
  await store.txn(does({ op: "delete", ...everything }));
}

async function refused(promise: Promise<unknown>, code: Code, message: RegExp): Promise<void> {
  await assert.rejects(promise, (error: unknown) => {
    assert.ok(error instanceof StatusError, String(error));
    assert.match(error.message, message);
    assert.equal(error.code, code);
    return true;
  });
}

/** As callers do: repeats what was unavailable, for a time. */
async function again<T>(body: () => Promise<T>): Promise<T> {
  const until = performance.now() + patienceMillis;
  for (;;) {
    try {
      return await body();
    } catch (thrown) {
      const { code } = StatusError.from(thrown);
      if (code !== Code.unavailable || performance.now() > until) throw thrown;
    }
  }
}

/** Everything that holds on any etcd; `endpoint` is where one is. */
function onAnyEtcd(endpoint: () => string): void {
  const cases = (title: string, body: (store: Store) => Promise<void>) =>
    test(title, async () => {
      const store = await open(endpoint());
      try {
        await body(store);
      } finally {
        await store.close();
      }
    });

  cases("a repeated request id does nothing, and tells how it ended", async (store) => {
    const request = does({ op: "put", key: bytes("id"), value: bytes("1"), previous: true });
    const first = await store.txn(request, { requestId: "one" });
    assert.equal(first.replayed, undefined);
    assert.deepEqual(first.results, [{ op: "put", previous: undefined }]);
    await store.txn(does(put("id", "2")));
    const again = await store.txn(request, { requestId: "one" });
    const remembered = { succeeded: true, revision: first.revision, results: [], replayed: true };
    assert.deepEqual(again, remembered);
    assert.equal(text((await store.range({ key: bytes("id") })).kvs[0]!.value), "2");
    assert.deepEqual(await store.recall("one"), remembered);
    assert.equal(await store.recall("never"), undefined);
    const long = store.txn(request, { requestId: "x".repeat(161) });
    await refused(long, Code.invalidArgument, /requestId/);
  });

  cases("of two under way with one request id one is done", async (store) => {
    const other = await open(endpoint());
    const request = does(put("twice", "1"));
    const both = [store, other].map((each) => each.txn(request, { requestId: "both" }));
    const answers = await Promise.all(both);
    assert.equal(answers.filter(({ replayed }) => replayed === true).length, 1);
    assert.equal(answers[0]?.revision, answers[1]?.revision);
    assert.equal((await store.range({ key: bytes("twice") })).kvs[0]?.version, 1);
    await other.close();
  });

  cases("a write that lost its compare is remembered as such", async (store) => {
    const never = { key: bytes("no"), target: "version", operator: ">", operand: 9 } as const;
    const failure = [{ op: "range", key: bytes("no") }] as const;
    const request = { compares: [never], success: [put("no", "1")], failure };
    const first = await store.txn(request, { requestId: "lost" });
    assert.deepEqual([first.succeeded, first.results.length], [false, 1]);
    const again = await store.txn(does(put("no", "1")), { requestId: "lost" });
    assert.deepEqual([again.succeeded, again.replayed], [false, true]);
  });

  cases("a refused request is not remembered, nor a revoked lease of markers", async (store) => {
    const leased = does(put("a", "1", 77n));
    await refused(store.txn(leased, { requestId: "two" }), Code.notFound, /lease not found$/);
    for (const lease of await store.leases()) await store.leaseRevoke(lease);
    await store.leaseGrant(77n, 60);
    const done = await store.txn(leased, { requestId: "two" });
    assert.equal(done.replayed, undefined);
    assert.equal((await store.txn(leased, { requestId: "two" })).revision, done.revision);
    await store.leaseRevoke(77n);
  });

  cases("a large revision comes in one batch, from the present and from history", async (store) => {
    const value = "v".repeat(300_000);
    const range = { key: bytes("big/"), rangeEnd: bytes("big0"), previous: true };
    const read = async (watch: WatchStream) => {
      const sizes: number[] = [];
      for await (const { events } of watch) {
        sizes.push(events.length);
        if (sizes.reduce((sum, size) => sum + size, 0) === 12) break;
      }
      for (const size of sizes) assert.equal(size % 4, 0);
    };
    const present = store.watch(range);
    const startRevision = ((await present.created) + 1) as Revision;
    for (let round = 0; round < 3; round++) {
      await store.txn(does(...["1", "2", "3", "4"].map((name) => put(`big/${name}`, value))));
    }
    await read(present);
    // More than one message holds: it comes in fragments.
    await read(store.watch({ ...range, startRevision }));
  });

  cases("status names the cluster, its members and what is in it", async (store) => {
    await clear(store);
    const { revision } = await store.txn(does(put("k1", "1"), put("k2", "2")));
    const status = await store.status();
    assert.deepEqual([status.keys, status.revision], [2, revision]);
    assert.equal(status.role, "leader");
    assert.equal(status.leader, status.id);
    assert.deepEqual(
      status.members.map(({ name, connected }) => [name, connected]),
      [[status.name, true]],
    );
  });

  cases("a watch and reads go on at another endpoint, without loss or duplicate", async (plain) => {
    const proxies = [
      await new CuttingProxy(endpoint()).listen(),
      await new CuttingProxy(endpoint()).listen(),
    ];
    const store = await open(...proxies.map((proxy) => proxy.endpoint));
    const watch = store.watch({ key: bytes("over") });
    await watch.created;
    const seen: string[] = [];
    const reading = (async () => {
      for await (const { events } of watch) {
        for (const { kv } of events) seen.push(text(kv.value));
        if (seen.length >= 40) return;
      }
    })();
    const expected: string[] = [];
    for (let index = 0; index < 40; index++) {
      // Every tenth write the endpoint in use goes away, and the other comes back.
      if (index % 10 === 5) {
        const turn = index % 20 === 5 ? 0 : 1;
        proxies[1 - turn]!.cut(false);
        await eventually("the other endpoint", async () => (await store.readRevision()) > 0);
        proxies[turn]!.cut(true);
      }
      expected.push(`${index}`);
      await store.txn(does(put("over", `${index}`)), { requestId: `over-${index}` });
      assert.equal(text((await store.range({ key: bytes("over") })).kvs[0]!.value), `${index}`);
    }
    await reading;
    assert.deepEqual(seen, expected);
    assert.equal((await plain.range({ key: bytes("over") })).kvs[0]?.version, 40);
    for (const proxy of proxies) proxy.cut(true);
    await refused(store.txn(does(put("over", "x"))), Code.unavailable, /^etcdserver: /);
    await store.close();
    for (const proxy of proxies) proxy.close();
  });

  cases("a closed store says so", async (store) => {
    const watch = store.watch({ key: bytes("a") });
    await watch.created;
    await store.close();
    await refused(watch[Symbol.asyncIterator]().next(), Code.unavailable, /server stopped$/);
    await refused(store.range({ key: bytes("a") }), Code.unavailable, /server stopped$/);
    assert.throws(() => store.watch({ key: bytes("a") }), /server stopped/);
  });
}

describe("an external etcd", needs("etcd", "etcd-server"), () => {
  let etcd: EtcdProcess;
  before(async () => {
    etcd = await EtcdProcess.open();
  });
  after(() => etcd.close());

  let shared: Promise<Store> | undefined;
  after(async () => (await shared)?.close());
  storeContract(
    "an external etcd",
    async () => {
      shared ??= open(etcd.endpoint);
      const store = await shared;
      await clear(store);
      return { store, close: async () => {} };
    },
    // Results of a repeated write are not remembered; the cases below say what is.
    { sessions: false },
  );
  onAnyEtcd(() => etcd.endpoint);

  test("listeners hear of a member that goes and comes back", async () => {
    const store = await open(etcd.endpoint);
    const leaders: (number | undefined)[] = [];
    store.onStatus(({ leader }) => leaders.push(leader));
    assert.notEqual(leaders[0], undefined);
    const { revision } = await store.txn(does(put("stays", "1")));
    const watch = store.watch({ key: bytes("stays") });
    await watch.created;
    await etcd.stop();
    await eventually("no leader", () => leaders.at(-1) === undefined);
    etcd.start();
    await eventually("a leader", () => leaders.at(-1) !== undefined);
    await store.txn(does(put("stays", "2")));
    for await (const { events } of watch) {
      assert.equal(events[0]?.kv.modRevision, revision + 1);
      break;
    }
    await store.close();
  });

  test("an apiserver serves from it", () => serveFrom(() => open(etcd.endpoint)));

  test("an endpoint that is down is passed over", async () => {
    const [port] = await freePorts(1);
    const store = await open(`127.0.0.1:${port}`, etcd.endpoint);
    const { revision } = await store.txn(does(put("there", "1")));
    assert.equal(await store.readRevision(), revision);
    await store.close();
  });

  test("the leader of three dies: writes are done once, the watch misses none", async () => {
    const folder = mkdtempSync(join(tmpdir(), "trireme-external-"));
    const processes = new Processes();
    const program = locate("etcd") ?? "etcd";
    const cluster = await startEtcd(processes, program, join(folder, "etcd"));
    const leader = await cluster.leader();
    // The leader first: it is the one in use.
    const others = cluster.endpoints.filter((endpoint) => endpoint !== leader.endpoint);
    const store = await open(leader.endpoint, ...others);
    const watch = store.watch({ key: bytes("k/"), rangeEnd: bytes("k0"), progress: true });
    await watch.created;
    const writes = 60;
    const seen: string[] = [];
    const reading = (async () => {
      for await (const { events } of watch) {
        for (const { kv } of events) seen.push(text(kv.key));
        if (seen.length >= writes) return;
      }
    })();
    for (let index = 0; index < writes; index++) {
      if (index === 20) process.kill(leader.pid, "SIGKILL");
      const request = does(put(`k/${index}`, `${index}`));
      await again(() => store.txn(request, { requestId: `write-${index}` }));
    }
    await reading;
    assert.deepEqual(
      seen,
      Array.from({ length: writes }, (_, index) => `k/${index}`),
    );
    const { kvs } = await store.range({ key: bytes("k/"), rangeEnd: bytes("k0") });
    assert.ok(kvs.every(({ version }) => version === 1));
    await eventually("the loss of a link", async () => {
      const { members } = await store.status();
      return members.filter(({ connected }) => connected).length === 2;
    });
    await store.close();
    cluster.close();
    // Without a quorum they would take long to end in order.
    for (const { pid } of cluster.members) if (pid !== leader.pid) process.kill(pid, "SIGKILL");
    await processes.stop();
    rmSync(folder, { recursive: true });
  });

  test("endpoints of different clusters are refused", async () => {
    const other = await EtcdProcess.open();
    const alone = await open(other.endpoint);
    await refused(
      open(etcd.endpoint, other.endpoint),
      Code.failedPrecondition,
      /is of cluster [0-9a-f]+, the others are of [0-9a-f]+$/,
    );
    await alone.close();
    await other.close();
  });

  test("the apiserver's flags lead to an etcd with TLS", async () => {
    const directory = mkdtempSync(join(tmpdir(), "trireme-external-"));
    const authority = await createAuthority(directory);
    const file = (name: string, content: string) => {
      const path = join(directory, name);
      writeFileSync(path, content, { mode: 0o600 });
      return path;
    };
    const ca = file("etcd-ca.pem", authority.cert);
    // etcd shows its certificate to itself too, as a client, for its HTTP gateway.
    const served = await authority.issue({ commonName: "e", hosts: ["127.0.0.1"], use: "server" });
    const shown = await authority.issue({ commonName: "apiserver", use: "client" });
    const secure = await EtcdProcess.open({
      ca,
      cert: file("server.pem", served.cert),
      key: file("server.key", served.key),
    });
    const flags: StoreFlags = {
      ...noFlags,
      store: `etcd://${secure.endpoint}`,
      "etcd-cafile": ca,
      "etcd-certfile": file("client.pem", shown.cert),
      "etcd-keyfile": file("client.key", shown.key),
    };
    try {
      const { store, member } = await openStore(flags, log);
      assert.equal(member, undefined);
      await store.txn(does(put("tls", "1")), { requestId: "tls" });
      assert.equal(text((await store.range({ key: bytes("tls") })).kvs[0]!.value), "1");
      await store.close();
    } finally {
      await secure.close();
      rmSync(directory, { recursive: true });
    }
  });
});

// Our own face speaks the same protocol: these cases need no foreign program.
describe("another Trireme as the external etcd", () => {
  let local: DirectStore;
  let face: Face;
  before(async () => {
    local = await openLocalStore(memoryRuntime());
    face = await openFace({ store: local });
  });
  after(async () => {
    await face.close();
    await local.close();
  });
  onAnyEtcd(() => `127.0.0.1:${face.port}`);
});

const noFlags: StoreFlags = {
  name: "master-0",
  store: undefined,
  "etcd-cafile": undefined,
  "etcd-certfile": undefined,
  "etcd-keyfile": undefined,
  "etcd-port": undefined,
  "data-dir": undefined,
  "listen-peer": undefined,
  "initial-cluster": undefined,
  "initial-cluster-state": "new",
  "peer-key-file": undefined,
  "quota-bytes": 0,
  "bind-address": "127.0.0.1",
  "advertise-address": undefined,
  "grpc-port": 7443,
  "https-port": undefined,
};

test("flags of the store that do not go together are named", async () => {
  const wrong = (flags: Partial<StoreFlags>, message: RegExp) =>
    refused(openStore({ ...noFlags, ...flags }, log), Code.invalidArgument, message);
  const store = "etcd://127.0.0.1:1";
  await wrong({}, /^--data-dir is required, or --store$/);
  await wrong({ "etcd-cafile": "x" }, /^--etcd-cafile needs --store$/);
  await wrong({ store, "data-dir": "x" }, /^--data-dir is for a replica/);
  await wrong({ store, "etcd-port": 1 }, /^--etcd-port shows a replica/);
  await wrong({ store, "etcd-certfile": "x" }, /given together or not at all$/);
  const both = { "etcd-certfile": "x", "etcd-keyfile": "x" };
  await wrong({ store, ...both }, /^--etcd-certfile needs --etcd-cafile$/);
  const unread = openStore({ ...noFlags, store, "etcd-cafile": "/none" }, log);
  await refused(unread, Code.failedPrecondition, /^--etcd-cafile \/none cannot be read/);
});

test("an etcd that reports progress too early is refused", async () => {
  const server = createRpcServer({ log });
  const status = { header: { clusterId: 1n, memberId: 1n }, leader: 1n, version: "3.5.12" };
  const unused = unary(() => Promise.reject(new Error("not asked for")));
  const services = Object.keys(MaintenanceService).map((name) => [name, unused] as const);
  const handlers = { ...Object.fromEntries(services), status: unary(async () => status) };
  server.addService(MaintenanceService, handlers as UntypedServiceImplementation);
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const text = new RegExp(`^etcd 3.5.12 at 127.0.0.1:${port}: 3.4.31, 3.5.13 or newer is needed`);
  await refused(open(`127.0.0.1:${port}`), Code.failedPrecondition, text);
  await server.close();
});

test("etcd addresses are checked", async () => {
  assert.deepEqual(parseEtcdAddress("etcd://a:1,b:2"), ["a:1", "b:2"]);
  assert.deepEqual(parseEtcdAddress("etcd://a:1,etcd://[::1]:2/"), ["a:1", "[::1]:2"]);
  assert.throws(() => parseEtcdAddress("http://a:1"), /etcd:\/\/host:port is wanted/);
  assert.throws(() => parseEtcdAddress("etcd://a"), /host:port is wanted/);
  await refused(open(), Code.invalidArgument, /endpoints: 0 are named/);
});

/** A few verbs over an apiserver on the store, and a second one that sees what the first wrote. */
async function serveFrom(openStore: () => Promise<Store>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "trireme-external-"));
  const authority = await createAuthority(directory);
  const organizations = ["system:masters"];
  const admin = await authority.issue({ commonName: "admin", organizations, use: "client" });
  const tls = await authority.issue({ commonName: "m", hosts: ["127.0.0.1"], use: "server" });
  const closing: (() => unknown)[] = [];
  try {
    const masters = await Promise.all(
      ["master-0", "master-1"].map(async (name) => {
        const store = await openStore();
        closing.unshift(() => store.close());
        const listen = { host: "127.0.0.1", port: 0 };
        const clientTls = { ...tls, clientCa: authority.cert };
        const server = await startApiserver({ name, store, listen, tls: clientTls, log });
        closing.unshift(() => server.close());
        const to = {
          addresses: [`127.0.0.1:${server.port}`],
          tls: { ca: authority.cert, ...admin },
        };
        const cluster = connect(ClusterClient, to);
        closing.unshift(() => cluster.close());
        for await (const { ready } of serverStreamIterable(cluster, "watchStatus", {})) {
          if (ready) break;
        }
        const maps = connect(ConfigMapsClient, to);
        closing.unshift(() => maps.close());
        return maps;
      }),
    );
    const [first, second] = masters;
    assert.ok(first && second);
    const at = { namespace: "default" };
    const object = { metadata: { name: "one" }, data: { k: "v" } };
    const made = await call(first, "create", { object, ...at });
    const read = await call(second, "get", { ...at, name: "one" });
    assert.deepEqual(read, made);
    const changed = await call(second, "update", { ...at, object: { ...read, data: { k: "w" } } });
    const stale = call(first, "update", { ...at, object: { ...read, data: { k: "x" } } });
    await refused(stale, Code.aborted, /modified/);
    const { items } = await call(first, "list", at);
    assert.deepEqual(
      items?.map(({ data }) => data),
      [{ k: "w" }],
    );
    const seen: string[] = [];
    const from = { ...at, options: {}, resourceVersion: changed.metadata?.resourceVersion };
    const watching = (async () => {
      for await (const { type, object: each } of serverStreamIterable(first, "watch", from)) {
        seen.push(`${type} ${each?.metadata?.name}`);
        if (type === "DELETED") return;
      }
    })();
    assert.equal((await call(second, "delete", { ...at, name: "one" })).status, "Success");
    await watching;
    assert.equal(seen.at(-1), "DELETED one");
    const after = call(first, "get", { ...at, name: "one" });
    await refused(after, Code.notFound, /not found/);
  } finally {
    for (const close of closing) await close();
    rmSync(directory, { recursive: true });
  }
}
