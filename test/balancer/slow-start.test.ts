import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { makeLimits } from "../../ha/balancer/limits.ts";
import { warmShare } from "../../ha/balancer/slow-start.ts";
import { call, serverStreamIterable } from "../../ha/rpc/mod.ts";
import { LeasesClient } from "../../proto/gen/coordination.ts";
import { eventually } from "../patience.ts";
import { type Cluster, useCluster } from "./fakes.ts";

const begin = useCluster();
const never = () => new Promise<never>(() => {});
/** No master is warm before the test is over. */
const long = { slowStartMillis: 600_000 };

const shares = ({ balancer }: Cluster) =>
  balancer.status().masters.map(({ sharePercent }) => sharePercent);
const seen = ({ masters }: Cluster) => masters.map((master) => master.seen.length);

async function leaveAndReturn(cluster: Cluster, at: 0 | 1 | 2): Promise<void> {
  cluster.masters[at].set({ ready: false });
  await eventually("it is out", () => cluster.healthy() === 2);
  cluster.masters[at].set({ ready: true });
  await eventually("it is back", () => cluster.healthy() === 3);
}

test("a weight grows evenly to a whole one, and stays there", () => {
  const limits = makeLimits({ slowStartMillis: 1_000, slowStartPercent: 20 });
  const at = [-1, 0, 250, 500, 1_000, 9_999].map((millis) => warmShare(millis, limits));
  assert.deepEqual(
    at.map((share) => Math.round(share * 100)),
    [20, 20, 40, 60, 100, 100],
  );
});

describe("slow start", () => {
  test("a master that returns gets few calls at first, and then its part", async () => {
    const cluster = await begin({ limits: { slowStartMillis: 1_000 } });
    await eventually("all are warm", () => shares(cluster).every((share) => share === 100));
    await leaveAndReturn(cluster, 2);
    const leases = cluster.client(LeasesClient);
    for (let n = 0; n < 60; n++) await call(leases, "get", {});
    const few = seen(cluster)[2] ?? 0;
    // The weight has only grown meanwhile: with the present one it would have got more.
    const share = shares(cluster)[2] ?? 0;
    const most = (60 * share) / (200 + share) + 1;
    assert.ok(few >= 2 && few <= most, `${few} of 60, with ${share} %`);
    await eventually("it is warm", () => shares(cluster)[2] === 100);
    const before = seen(cluster)[2] ?? 0;
    for (let n = 0; n < 30; n++) await call(leases, "get", {});
    const part = (seen(cluster)[2] ?? 0) - before;
    assert.ok(part >= 9 && part <= 11, `${part} of 30`);
  });

  test("masters that all warm up have all the calls, in equal parts", async () => {
    const cluster = await begin({ limits: long });
    const leases = cluster.client(LeasesClient);
    for (let n = 0; n < 30; n++) await call(leases, "get", {});
    assert.ok(
      seen(cluster).every((count) => count >= 9 && count <= 11),
      seen(cluster).join(),
    );
    cluster.masters[0].set({ ready: false });
    cluster.masters[1].set({ ready: false });
    await eventually("one is left", () => cluster.healthy() === 1);
    const before = seen(cluster)[2] ?? 0;
    for (let n = 0; n < 10; n++) await call(leases, "get", {});
    assert.equal((seen(cluster)[2] ?? 0) - before, 10);
    assert.equal(cluster.balancer.status().waits, 0);
  });

  test("calls under way weigh as well", async () => {
    const cluster = await begin({ limits: long });
    cluster.masters[1].handle = never;
    const leases = cluster.client(LeasesClient);
    let answered = 0;
    for (let n = 0; n < 60; n++) {
      const pending = call(leases, "get", {}).then(() => answered++);
      pending.catch(() => {});
      await eventually("one is with it, or all are answered", () => {
        return answered + (seen(cluster)[1] ?? 0) === n + 1;
      });
    }
    const stuck = seen(cluster)[1] ?? 0;
    assert.ok(stuck >= 2 && stuck <= 12, `${stuck} of 60 with one that does not answer`);
  });

  test("what the warm ones have no room for goes to the newcomer at once", async () => {
    const cluster = await begin({ limits: { slowStartMillis: 300 }, maxConcurrentStreams: 3 });
    await eventually("all are warm", () => shares(cluster).every((share) => share === 100));
    for (const master of cluster.masters) master.handle = never;
    await leaveAndReturn(cluster, 1);
    const leases = cluster.client(LeasesClient);
    for (let n = 0; n < 9; n++) void call(leases, "get", {}).catch(() => {});
    await eventually("all have arrived", () => seen(cluster).every((count) => count === 3));
    assert.equal(cluster.balancer.status().refusals, 0);
  });

  test("writes go to a leader that has just come", async () => {
    const cluster = await begin({ limits: long });
    await leaveAndReturn(cluster, 0);
    for (let n = 0; n < 10; n++) await call(cluster.client(LeasesClient), "create", {});
    assert.deepEqual(seen(cluster), [10, 0, 0]);
  });

  test("streams are as even as ever", async () => {
    const cluster = await begin({ limits: { slowStartMillis: 1_000 } });
    await eventually("all are warm", () => shares(cluster).every((share) => share === 100));
    for (const master of cluster.masters) {
      master.watch = async function* ({ signal }) {
        yield { type: "ADDED" };
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      };
    }
    await leaveAndReturn(cluster, 2);
    const leases = cluster.client(LeasesClient);
    const streams = Array.from({ length: 6 }, () => serverStreamIterable(leases, "watch", {}));
    await Promise.all(streams.map((stream) => stream.next()));
    assert.deepEqual(seen(cluster), [2, 2, 2]);
    await Promise.all(streams.map((stream) => stream.return()));
  });
});
