/** HAProxy with `docker/haproxy.cfg` before three real masters: who calls, spread, and faults. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Client, Metadata } from "@grpc/grpc-js";
import { type ClientConstructor, call, connect } from "../../ha/rpc/mod.ts";
import { Code } from "../../ha/runtime/status-error.ts";
import { ClusterClient } from "../../proto/gen/cluster.ts";
import { ConfigMapsClient } from "../../proto/gen/core.ts";
import { KVClient, WatchClient } from "../../proto/gen/etcd.ts";
import { connectClient } from "../../services/client/mod.ts";
import { TestCluster } from "../e2e/cluster.ts";
import { eventually, patienceMillis } from "../patience.ts";
import { memoryLog } from "../rpc/helpers.ts";
import { HaproxyProcess } from "./haproxy-process.ts";
import { needs } from "./needs.ts";

/** Longer than every timeout that is not a stream's. */
const silenceMillis = 3_000;
/** Every reader must have recovered from the loss of a master within it. */
const outageMillis = 6_000;

describe("HAProxy before three masters", needs("haproxy", "haproxy"), () => {
  const cluster = new TestCluster();
  const clients: Client[] = [];
  let proxy: HaproxyProcess;

  before(async () => {
    await cluster.up(["--nodes", "0"]);
    proxy = await HaproxyProcess.open(cluster);
    await proxy.start();
  });
  after(async () => {
    for (const client of clients) client.close();
    await proxy?.close();
    await cluster.close();
  });

  const pem = (name: string) => readFileSync(join(cluster.directory, "pki", name), "utf8");
  const tlsOf = (who: string) => ({
    ca: pem("ca.crt"),
    cert: pem(`${who}.crt`),
    key: pem(`${who}.key`),
  });
  /** Each has a connection of its own. */
  function dial<C extends Client>(type: ClientConstructor<C>, address: string, who = "admin"): C {
    const client = connect(type, { addresses: [address], tls: tlsOf(who) });
    clients.push(client);
    return client;
  }
  const create = (client: ConfigMapsClient, name: string, fields: Record<string, string> = {}) => {
    const metadata = new Metadata();
    for (const [field, value] of Object.entries(fields)) metadata.set(field, value);
    const object = { metadata: { name, namespace: "default" } };
    return call(client, "create", { object }, { metadata, deadlineMillis: patienceMillis });
  };
  const masterOf = async (client: ClusterClient) =>
    (await call(client, "status", {}, { deadlineMillis: 2_000 })).name ?? "";
  const range = (client: KVClient) =>
    call(client, "range", { key: Buffer.from("key") }, { deadlineMillis: 2_000 });
  const put = (client: KVClient, key: string) =>
    call(client, "put", { key: Buffer.from(key), value: Buffer.from("x") });

  test("the configuration is taken without a warning", async () => {
    const said = await proxy.check();
    assert.match(said, /Configuration file is valid/);
    assert.doesNotMatch(said, /warning/i);
  });

  test("per call: the calls of one connection are spread over the masters", async () => {
    const client = dial(ClusterClient, proxy.perCall);
    const seen = new Map<string, number>();
    for (let i = 0; i < 30; i++) {
      const name = await masterOf(client);
      seen.set(name, (seen.get(name) ?? 0) + 1);
    }
    assert.equal(seen.size, 3);
    for (const count of seen.values()) assert.ok(count >= 5, JSON.stringify([...seen]));
  });

  test("per connection: connections are spread, for gRPC and for etcd", async () => {
    const names = new Set<string>();
    const members = new Set<unknown>();
    for (let i = 0; i < 6; i++) {
      names.add(await masterOf(dial(ClusterClient, proxy.grpc)));
      members.add((await range(dial(KVClient, proxy.etcd))).header?.memberId);
    }
    assert.deepEqual([names.size, members.size], [3, 3]);
  });

  test("masters know who calls, whatever the caller says", async () => {
    const id = { "trireme-request-id": "who-calls" };
    const forged = { "x-remote-user": "kubernetes-admin", "x-remote-group": "system:masters" };
    for (const [i, address] of [proxy.grpc, proxy.perCall].entries()) {
      const scheduler = dial(ConfigMapsClient, address, "scheduler");
      const refused = { code: Code.permissionDenied, message: /system:kube-scheduler/ };
      await assert.rejects(create(scheduler, "who", id), refused);
      await assert.rejects(create(scheduler, "who", { ...id, ...forged }), refused);
      const admin = dial(ConfigMapsClient, address);
      const created = await create(admin, `who-${i}`, { "trireme-request-id": `who-${i}` });
      assert.equal(created.metadata?.name, `who-${i}`);
      // Nor is the front's own certificate anybody's who has none.
      const nobody = connect(ConfigMapsClient, {
        addresses: [address],
        tls: { ca: pem("ca.crt") },
      });
      clients.push(nobody);
      await assert.rejects(create(nobody, "nobody", id), (error: { code?: number }) =>
        [Code.unauthenticated, Code.unavailable].some((code) => code === error.code),
      );
    }
    const stranger = dial(KVClient, proxy.etcd, "scheduler");
    await assert.rejects(range(stranger), { code: Code.unauthenticated });
  });

  test("per call: a write without a request id does not pass", async () => {
    const client = dial(ConfigMapsClient, proxy.perCall);
    await assert.rejects(create(client, "unnamed"), {
      code: Code.failedPrecondition,
      message: /trireme-request-id/,
    });
  });

  test("watches outlive the timeouts of requests", async () => {
    const events: string[] = [];
    const note = (what: string) => () => events.push(what);
    const configMaps = dial(ConfigMapsClient, proxy.perCall);
    const api = configMaps.watch({ namespace: "default" });
    const store = dial(WatchClient, proxy.etcd).watch();
    for (const [name, stream] of [["api", api] as const, ["etcd", store] as const]) {
      stream.on("error", (error: Error) => events.push(`${name}: ${error.message}`));
    }
    const key = Buffer.from("watched");
    store.write({ requestUnion: { $case: "createRequest", value: { key } } });
    await new Promise((resolve) => store.once("data", resolve));
    await sleep(silenceMillis);
    api.on("data", note("api"));
    store.on("data", note("etcd"));
    await put(dial(KVClient, proxy.etcd), "watched");
    await create(configMaps, "watched", { "trireme-request-id": "watched" });
    await eventually("both watches hear", () => new Set(events).size === 2);
    assert.deepEqual(new Set(events), new Set(["api", "etcd"]));
    api.cancel();
    store.cancel();
  });

  for (const signal of ["SIGKILL", "SIGSTOP", "SIGTERM"] as const) {
    test(`the leader gets ${signal}: reads go on, and it is used again later`, async () => {
      const status = dial(ClusterClient, proxy.perCall);
      await eventually("all masters are used", () => allUsed(status));
      const configMaps = dial(ConfigMapsClient, proxy.perCall);
      const kv = dial(KVClient, proxy.etcd);
      const writer = connectClient({
        servers: [proxy.perCall],
        tls: tlsOf("admin"),
        log: memoryLog(),
        identity: "test",
      });
      let stop = false;
      /** The longest time without success; every failure is one that a client repeats. */
      const longestGap = async (attempt: () => Promise<unknown>): Promise<number> => {
        let longest = 0;
        let last = performance.now();
        while (!stop) {
          try {
            await attempt();
            longest = Math.max(longest, performance.now() - last);
            last = performance.now();
          } catch (thrown) {
            const { code } = thrown as { code?: number };
            assert.ok(code === Code.unavailable || code === Code.deadlineExceeded, String(thrown));
            await sleep(20);
          }
        }
        return Math.max(longest, performance.now() - last);
      };
      let writes = 0;
      const write = async () => {
        const name = `${signal.toLowerCase()}-${writes++}`;
        await writer.dynamic.create({
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: { name, namespace: "default" },
        });
      };
      const gaps = Promise.all([
        longestGap(() =>
          call(configMaps, "list", { namespace: "default" }, { deadlineMillis: 2_000 }),
        ),
        longestGap(() => range(kv)),
        longestGap(write),
      ]);
      const leader = cluster.endpoints.masters.find((master) => master.leader)?.pid;
      assert.ok(leader !== undefined, "nobody leads");
      process.kill(leader, signal);
      await sleep(outageMillis);
      stop = true;
      if (signal === "SIGSTOP") process.kill(leader, "SIGCONT");
      for (const gap of await gaps) assert.ok(gap < outageMillis, `${gap} ms without an answer`);
      await writer.close();
      await eventually("all masters are used again", () => allUsed(status));
    });
  }

  async function allUsed(status: ClusterClient): Promise<boolean> {
    const asked = Array.from({ length: 9 }, () => masterOf(status).catch(() => ""));
    return new Set((await Promise.all(asked)).filter((name) => name !== "")).size === 3;
  }
});
