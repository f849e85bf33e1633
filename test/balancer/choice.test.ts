import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { methodOf } from "../../ha/balancer/methods.ts";
import { call, serverStreamIterable } from "../../ha/rpc/mod.ts";
import { Code } from "../../ha/runtime/status-error.ts";
import { LeasesClient } from "../../proto/gen/coordination.ts";
import { eventually } from "../patience.ts";
import { EchoClient } from "../rpc/echo.ts";
import { deferred } from "../rpc/helpers.ts";
import { useCluster } from "./fakes.ts";

const begin = useCluster();
const never = () => new Promise<never>(() => {});
const hello = Buffer.from("hello");

describe("choosing a master", () => {
  test("reads are spread evenly, calls one after the other too", async () => {
    const { masters, client } = await begin();
    const leases = client(LeasesClient);
    for (let n = 0; n < 30; n++) await call(leases, "get", { name: "a" });
    assert.deepEqual(
      masters.map(({ seen }) => seen.length),
      [10, 10, 10],
    );
  });

  test("a call goes where the fewest are under way", async () => {
    const { masters, client, balancer } = await begin();
    for (const master of masters) master.handle = never;
    const leases = client(LeasesClient);
    for (let n = 0; n < 9; n++) void call(leases, "get", {}).catch(() => {});
    await eventually("all have arrived", () => masters.every(({ seen }) => seen.length === 3));
    assert.deepEqual(
      balancer.status().masters.map(({ unary }) => unary),
      [3, 3, 3],
    );
  });

  test("writes go to the leader and follow it", async () => {
    const { masters, client, balancer } = await begin();
    const leases = client(LeasesClient);
    for (let n = 0; n < 5; n++) await call(leases, "create", {});
    assert.deepEqual(
      masters.map(({ seen }) => seen.length),
      [5, 0, 0],
    );
    masters[1].set({ role: "leader", term: 2, leaderName: "master-1" });
    masters[0].set({ role: "follower", term: 2, leaderName: "master-1" });
    await eventually("the balancer knows", () => !!balancer.status().masters[1]?.leader);
    for (let n = 0; n < 5; n++) await call(leases, "update", {});
    assert.equal(masters[1].seen.length, 5);
  });

  test("what the leader does in the end is asked of it, in etcd's API too; what waits is not", () => {
    const forLeader = (path: string) => methodOf(path).forLeader;
    for (const name of ["KV/Put", "KV/Txn", "KV/DeleteRange", "KV/Compact", "Lease/LeaseGrant"]) {
      assert.equal(forLeader(`/etcdserverpb.${name}`), true, name);
    }
    assert.equal(forLeader("/trireme.core.v1.Pods/Create"), true);
    for (const path of [
      "/etcdserverpb.KV/Range",
      "/v3lockpb.Lock/Lock",
      "/trireme.core.v1.Pods/Get",
    ]) {
      assert.equal(forLeader(path), false, path);
    }
  });

  test("streams are spread by streams", async () => {
    const { masters, client } = await begin();
    for (const master of masters) {
      master.watch = async function* (context) {
        yield { type: "ADDED" };
        await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
      };
    }
    const leases = client(LeasesClient);
    const streams = Array.from({ length: 6 }, () => serverStreamIterable(leases, "watch", {}));
    await Promise.all(streams.map((stream) => stream.next()));
    assert.deepEqual(
      masters.map(({ seen }) => seen.length),
      [2, 2, 2],
    );
    await Promise.all(streams.map((stream) => stream.return()));
  });

  test("a master that is not ready gets nothing new and ends what it has", async () => {
    const { masters, client, healthy } = await begin();
    const release = deferred();
    for (const master of masters) {
      master.handle = async () => {
        await release.promise;
        return { metadata: { name: master.name } };
      };
    }
    const leases = client(LeasesClient);
    const first = [0, 1, 2].map(() => call(leases, "get", {}));
    await eventually("all have arrived", () => masters.every(({ seen }) => seen.length === 1));
    masters[2].set({ ready: false });
    await eventually("the balancer knows", () => healthy() === 2);
    const more = [0, 1, 2, 3].map(() => call(leases, "get", {}));
    await eventually("they have arrived", () =>
      masters.slice(0, 2).every(({ seen }) => seen.length === 3),
    );
    release.resolve();
    const names = (await Promise.all([...first, ...more])).map((lease) => lease.metadata?.name);
    assert.equal(names.filter((name) => name === "master-2").length, 1);
  });

  test("a broken status stream makes a master unhealthy, until it is back", async () => {
    const { masters, healthy } = await begin({ limits: { redialMinMillis: 300 } });
    masters[1].cutStatus();
    await eventually("it is unhealthy", () => healthy() === 2);
    await eventually("it is healthy again", () => healthy() === 3);
  });
});

describe("waiting", () => {
  test("calls wait while no master is ready", async () => {
    const { masters, client, healthy, balancer } = await begin();
    for (const master of masters) master.set({ ready: false });
    await eventually("nobody is ready", () => healthy() === 0);
    const leases = client(LeasesClient);
    const read = call(leases, "get", {});
    const write = call(leases, "create", {});
    const stream = serverStreamIterable(leases, "watch", {}).next();
    const opaque = call(client(EchoClient), "say", hello);
    await eventually("all wait", () => balancer.status().waiting === 4);
    masters[1].set({ ready: true });
    assert.equal((await read).metadata?.name, "master-1");
    assert.equal((await write).metadata?.name, "master-1");
    assert.equal((await stream).done, true);
    assert.deepEqual(await opaque, hello);
    assert.equal(balancer.status().waiting, 0);
  });

  test("not for ever, not too many, not longer than their deadline", async () => {
    const { masters, client, healthy, balancer } = await begin({
      limits: { waitMillis: 1_500, leaderWaitMillis: 1_000, waitingCalls: 2 },
    });
    for (const master of masters) master.set({ ready: false });
    await eventually("nobody is ready", () => healthy() === 0);
    const leases = client(LeasesClient);
    const patient = call(leases, "get", {});
    const hurried = call(leases, "get", {}, { deadlineMillis: 1_000 });
    await eventually("two wait", () => balancer.status().waiting === 2);
    await assert.rejects(call(leases, "get", {}), {
      code: Code.unavailable,
      message: /too many calls wait/,
    });
    await assert.rejects(hurried, { code: Code.deadlineExceeded });
    await assert.rejects(patient, { code: Code.unavailable, message: /waited 1500 ms/ });
    assert.equal(balancer.status().active, 0);
  });
});
