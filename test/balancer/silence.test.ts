/** A master whose process is stopped: its connections stay, and nothing comes. */
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { balancerLimits, makeLimits } from "../../ha/balancer/limits.ts";
import { SilenceProbe } from "../../ha/balancer/silence.ts";
import { call } from "../../ha/rpc/mod.ts";
import { Code } from "../../ha/runtime/status-error.ts";
import { LeasesClient } from "../../proto/gen/coordination.ts";
import { KVClient, LeaseClient } from "../../proto/gen/etcd.ts";
import { eventually } from "../patience.ts";
import { EchoClient } from "../rpc/echo.ts";
import { deferred } from "../rpc/helpers.ts";
import { type FakeMaster, header, startWire, useCluster } from "./fakes.ts";

const begin = useCluster();
const never = () => new Promise<never>(() => {});

test("silence is asked about, then suspected, and ends with any byte", () => {
  let [pings, changes] = [0, 0];
  const connection = { received: 0, ping: () => void pings++ };
  const probe = new SilenceProbe(connection, balancerLimits, () => changes++);
  const turns = (count: number) => {
    for (let n = 0; n < count; n++) probe.turn();
  };
  turns(1);
  assert.equal(pings, 0);
  turns(1);
  assert.equal(pings, 1);
  turns(9);
  assert.deepEqual([probe.silent, changes], [false, 0]);
  turns(1);
  assert.deepEqual([probe.silent, changes, probe.silentMillis], [true, 1, 600]);
  turns(50);
  assert.deepEqual([pings, changes], [1, 1]);
  connection.received++;
  turns(1);
  assert.deepEqual([probe.silent, changes], [false, 2]);
  turns(12);
  assert.deepEqual([pings, probe.silent], [2, true]);
});

test("limits that would suspect too late are refused", () => {
  assert.throws(() => makeLimits({ suspectMillis: 2_000 }), /≤ suspectStream/);
  assert.throws(() => makeLimits({ pingMillis: 100 }), /suspected before its connection is closed/);
  assert.throws(() => makeLimits({ suspectTurnMillis: 200 }), /suspectTurn ≤ suspectPing/);
  assert.throws(() => makeLimits({ suspectStreamMillis: 400 }), /≤ suspectStream/);
});

describe("a stopped master", () => {
  type Wire = Awaited<ReturnType<typeof startWire>>;
  const wires = new Map<string, Wire>();
  const portOf = async (master: FakeMaster) => {
    const wire = await startWire(master);
    wires.set(master.name, wire);
    return wire.port;
  };
  afterEach(() => {
    for (const wire of wires.values()) wire.close();
    wires.clear();
  });
  const freeze = (name: string) => wires.get(name)?.freeze();
  const thaw = (name: string) => wires.get(name)?.thaw();

  test("its calls are repeated elsewhere, its connection stays, and it comes back", async () => {
    const { masters, client, balancer, healthy } = await begin({ portOf });
    masters[0].handle = never;
    const leases = client(LeasesClient);
    const write = call(leases, "create", {});
    await eventually("it has arrived", () => masters[0].seen.length === 1);
    freeze("master-0");
    masters[1].set({ role: "leader", term: 2, leaderName: "master-1" });
    assert.equal((await write).metadata?.name, "master-1");
    const id = header(masters[0].seen[0], "trireme-request-id");
    assert.equal(header(masters[1].seen[0], "trireme-request-id"), id);
    assert.equal(header(masters[1].seen[0], "trireme-attempt"), "2");
    const report = () => balancer.status().masters[0];
    assert.deepEqual([report()?.suspected, report()?.failures], [true, 0]);
    assert.equal(balancer.status().suspicions, 1);
    for (let n = 0; n < 6; n++) {
      assert.notEqual((await call(leases, "get", {})).metadata?.name, "master-0");
    }
    thaw("master-0");
    await eventually("it is heard", () => report()?.suspected === false);
    assert.equal(healthy(), 3);
    masters[0].handle = async () => ({ metadata: { name: "back" } });
    const answers = new Set<string | undefined>();
    for (let n = 0; n < 6; n++) answers.add((await call(leases, "get", {})).metadata?.name);
    assert.ok(answers.has("back"));
  });

  test("a write waits for the next leader, and a call that may not be repeated for its own", async () => {
    const { masters, client, balancer } = await begin({ portOf });
    for (const master of masters) master.say = never;
    const opaque = call(client(EchoClient), "say", Buffer.from("x"), { deadlineMillis: 20_000 });
    opaque.catch(() => {});
    await eventually("it has arrived", () => masters.some(({ seen }) => seen.length === 1));
    const holder = masters.find(({ seen }) => seen.length === 1)?.name ?? "";
    freeze("master-0");
    await eventually("it is suspected", () => balancer.status().masters[0]?.suspected === true);
    const write = call(client(LeasesClient), "create", {});
    await eventually("it waits", () => balancer.status().waiting === 1);
    masters[2].set({ role: "leader", term: 2, leaderName: "master-2" });
    assert.equal((await write).metadata?.name, "master-2");
    const said = masters.flatMap(({ seen }) => seen).filter(({ method }) => method === "say");
    assert.equal(said.length, 1, holder);
  });

  test("a watch that has not begun to answer is begun elsewhere", async () => {
    const { masters, client, balancer } = await begin({ portOf });
    for (const master of masters) master.watch = () => ({ [Symbol.asyncIterator]: () => silent });
    const silent = { next: never };
    const watches = masters.map(() => client(LeasesClient).watch({}));
    for (const watch of watches) watch.on("error", () => {});
    const streams = () => balancer.status().masters.map((master) => master.streams);
    const arrived = () => masters.every(({ seen }) => seen.length === 1);
    await eventually("one on each", () => streams().join() === "1,1,1" && arrived());
    for (const master of masters.slice(1)) {
      master.watch = async function* () {
        yield { type: "ADDED" };
      };
    }
    let events = 0;
    for (const watch of watches) watch.on("data", () => events++);
    freeze("master-0");
    await eventually("it has begun elsewhere", () => events === 1);
    assert.equal(balancer.status().suspicions, 1);
    for (const watch of watches) watch.cancel();
  });

  test("etcd's reads are repeated elsewhere, and its writes fail at once in etcd's words", async () => {
    const { masters, client, balancer } = await begin({ portOf });
    const release = deferred();
    masters[0].etcd = never;
    for (const master of masters.slice(1)) master.etcd = () => release.promise;
    const kv = client(KVClient);
    const lease = client(LeaseClient);
    const write = call(kv, "put", { key: Buffer.from("k") });
    await eventually("it has arrived", () => masters[0].seen.length === 1);
    const reads: Promise<unknown>[] = [];
    // They are spread: some of each kind go to the one that never answers.
    const stuck = () => masters[0].seen.filter(({ method }) => method !== "put");
    const asked = () => new Set(stuck().map(({ method }) => method)).size === 3;
    await eventually("it holds each kind of read", async () => {
      reads.push(call(kv, "range", { key: Buffer.from("k") }));
      reads.push(call(lease, "leaseTimeToLive", { ID: 1n }));
      reads.push(call(lease, "leaseLeases", {}));
      await new Promise((resolve) => setTimeout(resolve, 1));
      return asked();
    });
    freeze("master-0");
    release.resolve();
    await assert.rejects(write, {
      code: Code.unavailable,
      message: "etcdserver: request timed out",
    });
    // Not by the end of its connection: that stays.
    const [report] = balancer.status().masters;
    assert.deepEqual([report?.suspected, report?.failures], [true, 0]);
    await Promise.all(reads);
    const puts = masters.flatMap(({ seen }) => seen).filter(({ method }) => method === "put");
    assert.equal(puts.length, 1, "the write is not repeated");
  });

  test("while all are silent, none is left out and no call fails", async () => {
    const { masters, client, balancer } = await begin({ portOf });
    for (const { name } of masters) freeze(name);
    const read = call(client(LeasesClient), "get", {});
    const suspects = () => balancer.status().masters.filter(({ suspected }) => suspected).length;
    await eventually("all are", () => balancer.status().masters.every(({ silent }) => silent));
    assert.deepEqual([suspects(), balancer.status().active], [0, 1]);
    for (const { name } of masters) thaw(name);
    assert.match((await read).metadata?.name ?? "", /^master-/);
    await eventually("all are heard", () => suspects() === 0);
  });

  test("its watches end for their clients to go on elsewhere", async () => {
    const { masters, client, balancer } = await begin({
      portOf,
      limits: { suspectStreamMillis: 700, spreadMillis: 50 },
    });
    for (const master of masters) {
      master.watch = async function* (context) {
        yield { type: "ADDED" };
        await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
      };
    }
    const leases = client(LeasesClient);
    let [events, ended] = [0, 0];
    const watches = masters.map(() => {
      const watch = leases.watch({});
      watch.on("data", () => events++).on("end", () => ended++);
      return watch;
    });
    const streams = () => balancer.status().masters.map((master) => master.streams);
    await eventually("one on each", () => streams().join() === "1,1,1" && events === 3);
    freeze("master-1");
    await eventually("one has ended", () => ended === 1);
    assert.deepEqual(streams(), [1, 0, 1]);
    for (const watch of watches) watch.on("error", () => {}).cancel();
  });
});
