import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Master } from "../../ha/balancer/master.ts";
import { Runs } from "../../ha/balancer/runs.ts";
import { call } from "../../ha/rpc/mod.ts";
import { LeasesClient } from "../../proto/gen/coordination.ts";
import { eventually } from "../patience.ts";
import { useCluster } from "./fakes.ts";

const begin = useCluster();
const master = { name: "master-0" } as Master;
const nextRead = () => new Promise<void>((resolve) => setImmediate(resolve));

/** How many calls the master gets, of as many as one read may bring. */
function length(runs: Runs, underWay: number): number {
  runs.begin(master, underWay);
  let calls = 1;
  while (runs.master === master) {
    runs.step();
    calls++;
  }
  return calls;
}

describe("runs of calls", () => {
  test("few calls are dealt one by one, many in runs, very many in longer ones", () => {
    assert.deepEqual(
      [0, 8, 9, 64, 100, 400].map((underWay) => length(new Runs(), underWay)),
      [1, 1, 16, 16, 25, 100],
    );
  });

  test("a run ends with its read", async () => {
    const runs = new Runs();
    runs.begin(master, 64);
    assert.equal(runs.master, master);
    await nextRead();
    assert.equal(runs.master, undefined);
  });

  test("what counts is the most of the last second or two, not a moment's ebb", () => {
    let now = 5_000;
    const runs = new Runs(() => now);
    assert.equal(length(runs, 400), 100);
    assert.equal(length(runs, 0), 100);
    now += 1_500;
    assert.equal(length(runs, 0), 100);
    now += 1_000;
    assert.equal(length(runs, 0), 1);
    assert.equal(length(runs, 400), 100);
    now += 2_500;
    assert.equal(length(runs, 0), 1);
  });

  test("levels differ by a run at most", async () => {
    const { masters, client, balancer } = await begin();
    for (const each of masters) each.handle = () => new Promise<never>(() => {});
    const leases = client(LeasesClient);
    for (let n = 0; n < 60; n++) void call(leases, "get", {}).catch(() => {});
    const levels = () => balancer.status().masters.map(({ unary }) => unary);
    await eventually("all have arrived", () => levels().reduce((a, b) => a + b) === 60);
    const [least, most] = [Math.min(...levels()), Math.max(...levels())];
    assert.ok(most - least <= 16, levels().join());
  });
});
