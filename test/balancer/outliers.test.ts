import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Failure } from "../../ha/balancer/calls.ts";
import { type BalancerLimits, makeLimits } from "../../ha/balancer/limits.ts";
import type { Master } from "../../ha/balancer/master.ts";
import { Outcomes, Outliers } from "../../ha/balancer/outliers.ts";
import { ReplyFields } from "../../ha/balancer/reply-fields.ts";
import { call, serverStreamIterable } from "../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { LeasesClient } from "../../proto/gen/coordination.ts";
import { eventually } from "../patience.ts";
import { type LogLine, memoryLog } from "../rpc/helpers.ts";
import { type Cluster, type FakeMaster, useCluster } from "./fakes.ts";

const begin = useCluster();
const fail = (code: Code, text = "out of order") =>
  new ReplyFields(["grpc-status", `${code}`, "grpc-message", text]);
const fine = fail(Code.ok);
const bad = fail(Code.internal);
const reset: Failure = { kind: "lost", code: 2, scope: "call" };
const cut: Failure = { kind: "lost", code: 0, scope: "connection" };

/** The rule by itself, over masters that are nothing but their numbers. */
function rule(count: number, changes: Partial<BalancerLimits> = {}) {
  const masters = Array.from({ length: count }, (_, at) => {
    const outcomes = new Outcomes();
    const numbers = { failures: 0, faults: 0, ejected: false, ejections: 0 };
    const upstream = { connections: 1 };
    return { name: `master-${at}`, status: { ready: true }, upstream, outcomes, ...numbers };
  }) as unknown as Master[];
  const lines: LogLine[] = [];
  let leads = true;
  const outliers = new Outliers({
    log: memoryLog(lines),
    limits: makeLimits(changes),
    masters: () => masters,
    isHealthy: (master) => master.status?.ready === true,
    hasLeader: () => leads,
    changed: () => outliers.review(),
  });
  const some = (at: number, reply: ReplyFields, times: number) => {
    for (let n = 0; n < times; n++) outliers.answered(masters[at] as Master, reply);
  };
  return {
    masters,
    lines,
    some,
    outliers,
    nobodyLeads: () => {
      leads = false;
    },
    ejected: () => masters.flatMap(({ ejected }, at) => (ejected ? [at] : [])),
    /** The others do well from now on. */
    others(...ill: number[]) {
      some(ill[0] ?? 0, bad, 1);
      for (const at of masters.keys()) if (!ill.includes(at)) some(at, fine, 10);
    },
  };
}

describe("who is an outlier", () => {
  test("a master that fails so many calls one after the other", () => {
    const { others, some, ejected } = rule(3, { outlierRun: 5 });
    others(1);
    some(1, bad, 3);
    some(1, fine, 1);
    some(1, bad, 4);
    assert.deepEqual(ejected(), []);
    some(1, bad, 1);
    assert.deepEqual(ejected(), [1]);
  });

  test("a master that fails such a share of enough calls", () => {
    const { some, ejected } = rule(3, { outlierCalls: 20, outlierPercent: 50 });
    for (let n = 0; n < 9; n++) {
      some(2, bad, 1);
      some(2, fine, 1);
    }
    assert.deepEqual(ejected(), []);
    some(2, bad, 2);
    assert.deepEqual(ejected(), [2]);
  });

  test("not one of whose others nobody knows whether they do better", () => {
    const { some, ejected } = rule(3, { outlierRun: 5, outlierCalls: 20 });
    some(1, bad, 19);
    assert.deepEqual(ejected(), []);
    some(0, fine, 5);
    some(1, bad, 1);
    assert.deepEqual(ejected(), [1]);
  });

  test("not one that has failed long ago, or now and then", () => {
    const { masters, some, ejected } = rule(3, { outlierCalls: 20, outlierPercent: 50 });
    for (let n = 0; n < 500; n++) {
      some(2, bad, 1);
      some(2, fine, 2);
    }
    assert.deepEqual([ejected(), masters[2]?.faults], [[], 500]);
  });

  test("one whose calls break, but not by a single loss of its connection", () => {
    const { masters, outliers, others, ejected } = rule(3);
    const sick = masters[1] as Master;
    others(1);
    for (let n = 0; n < 100; n++) outliers.failed(sick, cut);
    for (let n = 0; n < 100; n++) outliers.failed(sick, { ...cut, kind: "refused" });
    assert.deepEqual([ejected(), sick.failures, sick.faults], [[], 200, 2]);
    for (let n = 0; n < 5; n++) outliers.failed(sick, reset);
    assert.deepEqual(ejected(), [1]);
  });

  test("one that loses every connection", () => {
    const { masters, outliers, others, ejected } = rule(3);
    const sick = masters[1] as Master;
    others(1);
    for (let n = 0; n < 5; n++) {
      outliers.failed(sick, cut);
      (sick.upstream as { connections: number }).connections++;
    }
    assert.deepEqual(ejected(), [1]);
  });

  test("nobody for what is the client's own fault, or everybody's", () => {
    const { masters, outliers, others, some, ejected } = rule(3);
    others(1);
    for (const code of Object.values(Code)) {
      if ([Code.unavailable, Code.internal, Code.unknown, Code.dataLoss].includes(code as never))
        continue;
      some(1, fail(code), 100);
    }
    some(1, fail(Code.unavailable, "etcdserver: no leader"), 100);
    some(1, fail(Code.unavailable, "etcdserver:%20leader%20changed"), 100);
    some(1, fail(Code.internal, "the%20request could not be parsed: index out of range"), 100);
    for (const code of [6, 11, 12]) {
      for (let n = 0; n < 100; n++)
        outliers.failed(masters[1] as Master, { ...reset, kind: "rejected", code });
    }
    assert.deepEqual([ejected(), masters[1]?.faults], [[], 1]);
    for (const code of [Code.unavailable, Code.internal, Code.unknown, Code.dataLoss])
      some(1, fail(code), 2);
    assert.deepEqual(ejected(), [1]);
  });

  test("nobody while nobody leads, or most others fail too", () => {
    const leaderless = rule(3);
    leaderless.others(1);
    leaderless.nobodyLeads();
    leaderless.some(1, fail(Code.unavailable), 100);
    assert.deepEqual(leaderless.ejected(), []);
    const ill = rule(3);
    ill.others(1, 2);
    for (let n = 0; n < 100; n++) {
      ill.some(1, bad, 1);
      ill.some(2, bad, 1);
    }
    assert.deepEqual(ill.ejected(), []);
  });

  test("never so many that no majority of the healthy is left", () => {
    for (const [count, most] of [
      [1, 0],
      [2, 0],
      [3, 1],
      [4, 1],
      [5, 2],
    ] as const) {
      const { others, some, ejected } = rule(count, { ejectedPercent: 50 });
      for (let at = 0; at < count; at++) {
        others(at);
        some(at, bad, 30);
      }
      assert.equal(ejected().length, most, `of ${count}`);
    }
  });

  test("one is taken back when it is needed, and begins anew in another life", () => {
    const { masters, outliers, others, some, ejected, lines } = rule(3);
    others(1);
    some(1, bad, 5);
    assert.deepEqual(ejected(), [1]);
    (masters[0] as Master).status = undefined;
    outliers.review();
    assert.deepEqual(ejected(), []);
    assert.match(JSON.stringify(lines.at(-1)), /too few others/);
    (masters[0] as Master).status = { ready: true };
    others(1);
    some(1, bad, 5);
    assert.deepEqual(ejected(), [1]);
    (masters[1] as Master).status = { ready: false };
    outliers.review();
    assert.deepEqual([ejected(), masters[1]?.outcomes.run], [[], 0]);
  });
});

const report = ({ balancer }: Cluster, at: number) => balancer.status().masters[at]!;

function breakDown(master: FakeMaster, code: Code = Code.internal): void {
  master.handle = async () => {
    throw new StatusError(code, "out of order");
  };
}

/** Reads until the master is left out; answers how many of them failed. */
async function readUntilEjected(cluster: Cluster, at: number): Promise<number> {
  const leases = cluster.client(LeasesClient);
  let failed = 0;
  await eventually("it is left out", async () => {
    await call(leases, "get", {}).catch(() => failed++);
    return report(cluster, at).ejected;
  });
  return failed;
}

describe("ejection", () => {
  test("an outlier gets no new calls, keeps its streams, and is told of", async () => {
    const cluster = await begin({ limits: { spreadMillis: 20 } });
    const sick = cluster.masters[1];
    for (const master of cluster.masters) {
      master.watch = async function* ({ signal }) {
        yield { type: "ADDED" };
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      };
    }
    const leases = cluster.client(LeasesClient);
    const streams = Array.from({ length: 9 }, () => serverStreamIterable(leases, "watch", {}));
    await Promise.all(streams.map((stream) => stream.next()));
    breakDown(sick);
    assert.equal(await readUntilEjected(cluster, 1), 5);
    const { healthy, ejected, ejections, faults, sharePercent } = report(cluster, 1);
    assert.deepEqual([healthy, ejected, ejections, faults, sharePercent], [true, true, 1, 5, 0]);
    const line = cluster.lines.find(({ text }) => /fails calls/.test(text));
    assert.deepEqual([line?.level, line?.fields.master], ["warn", "master-1"]);
    const before = sick.seen.length;
    for (let n = 0; n < 30; n++) await call(leases, "get", {});
    const more = Array.from({ length: 20 }, () => serverStreamIterable(leases, "watch", {}));
    await Promise.all(more.map((stream) => stream.next()));
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(sick.seen.length, before);
    assert.deepEqual([report(cluster, 1).streams, cluster.balancer.status().moves], [3, 0]);
    await Promise.all([...streams, ...more].map((stream) => stream.return()));
  });

  test("it returns through slow start, and is left out for longer when it fails again", async () => {
    const cluster = await begin({
      limits: { ejectionMinMillis: 100, ejectionMaxMillis: 60_000, slowStartMillis: 600_000 },
    });
    breakDown(cluster.masters[2], Code.unavailable);
    await readUntilEjected(cluster, 2);
    await eventually("it is back", () => !report(cluster, 2).ejected);
    assert.ok(report(cluster, 2).sharePercent < 100);
    await readUntilEjected(cluster, 2);
    const lines = cluster.lines.filter(({ text }) => /fails calls/.test(text));
    assert.deepEqual(
      lines.map(({ fields }) => fields.millis),
      [100, 200],
    );
    cluster.masters[2].handle = async () => ({});
    await eventually("it is back again", () => !report(cluster, 2).ejected);
    for (let n = 0; n < 60; n++) await call(cluster.client(LeasesClient), "get", {});
    assert.equal(report(cluster, 2).ejected, false);
  });

  test("an ejected leader's writes go to others, unless there are none", async () => {
    const cluster = await begin();
    const [leader, second, third] = cluster.masters;
    breakDown(leader);
    await readUntilEjected(cluster, 0);
    leader.handle = async () => ({ metadata: { name: "the leader" } });
    const leases = cluster.client(LeasesClient);
    for (let n = 0; n < 6; n++) {
      assert.match((await call(leases, "create", {})).metadata?.name ?? "", /-[12]$/);
    }
    second.set({ ready: false });
    third.set({ ready: false });
    await eventually("it is alone", () => cluster.healthy() === 1);
    assert.equal((await call(leases, "create", {})).metadata?.name, "the leader");
  });

  test("an outlier is better than nobody with room", async () => {
    const cluster = await begin({ maxConcurrentStreams: 2 });
    breakDown(cluster.masters[0]);
    await readUntilEjected(cluster, 0);
    for (const master of cluster.masters) master.handle = () => new Promise<never>(() => {});
    const leases = cluster.client(LeasesClient);
    const before = cluster.masters[0].seen.length;
    for (let n = 0; n < 6; n++) void call(leases, "get", {}).catch(() => {});
    await eventually("all are busy", () => cluster.masters[0].seen.length === before + 2);
    assert.equal(cluster.balancer.status().refusals, 0);
  });

  test("a cluster that nobody leads loses no master by it", async () => {
    const cluster = await begin();
    for (const master of cluster.masters) {
      master.handle = async () => {
        throw new StatusError(Code.unavailable, "etcdserver: no leader");
      };
    }
    const leases = cluster.client(LeasesClient);
    for (let n = 0; n < 60; n++) await call(leases, n % 2 ? "get" : "create", {}).catch(() => {});
    assert.deepEqual(
      cluster.balancer.status().masters.map(({ ejections }) => ejections),
      [0, 0, 0],
    );
  });
});
