/** A balancer knows some masters from its flags, and learns from them which ones there are. */
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { type Balancer, type BalancerOptions, startBalancer } from "../../ha/balancer/mod.ts";
import { call, connect, serverStreamIterable } from "../../ha/rpc/mod.ts";
import { LeasesClient } from "../../proto/gen/coordination.ts";
import { eventually, patienceMillis } from "../patience.ts";
import { memoryLog } from "../rpc/helpers.ts";
import { FakeMaster } from "./fakes.ts";

const masters = ["m0", "m1", "m2"].map((name) => new FakeMaster(name, "m0"));
const [m0, m1, m2] = masters as [FakeMaster, FakeMaster, FakeMaster];
const open: { close(): unknown }[] = [];

before(async () => {
  for (const master of masters) await master.start();
});
after(async () => {
  for (const master of masters) await master.kill();
});
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

const at = ({ port }: FakeMaster) => `127.0.0.1:${port}`;
let applied = 1;

/** Those masters are the members; `by` say so. */
function members(those: readonly FakeMaster[], by: readonly FakeMaster[] = masters): void {
  applied++;
  for (const one of by) {
    const peers = those
      .filter((other) => other !== one)
      .map((other) => ({ name: other.name, addresses: [`grpc://${at(other)}`] }));
    one.set({ appliedIndex: applied, addresses: [`grpc://${at(one)}`], peers });
  }
}

async function balancing(
  seeds: readonly (readonly [name: string, master: FakeMaster])[],
  options: Partial<BalancerOptions> = { faces: { grpc: "grpc" } },
): Promise<Balancer> {
  const balancer = await startBalancer({
    listen: { host: "127.0.0.1", port: 0 },
    masters: seeds.map(([name, master]) => ({ name, address: at(master) })),
    log: memoryLog([]),
    limits: { slowStartMillis: 1, spreadMillis: 20, redialMaxMillis: 100 },
    ...options,
  });
  open.push(balancer);
  return balancer;
}

const healthy = (balancer: Balancer) =>
  balancer.status().masters.flatMap(({ name, healthy }) => (healthy ? [name] : []));
const become = (balancer: Balancer, ...names: string[]) =>
  eventually(`the masters to be ${names}`, () => healthy(balancer).join() === names.join());

function client(balancer: Balancer): LeasesClient {
  const made = connect(LeasesClient, { addresses: [`127.0.0.1:${balancer.port}`] });
  open.push(made);
  return made;
}

/** Who answers so many reads. */
async function answering(leases: LeasesClient, count = 30): Promise<Set<string>> {
  const names = new Set<string>();
  for (let n = 0; n < count; n++) {
    const { metadata } = await call(
      leases,
      "get",
      { name: "l" },
      { deadlineMillis: patienceMillis },
    );
    names.add(metadata?.name ?? "");
  }
  return names;
}

test("a member that joins gets traffic, one that is removed gets none", async () => {
  members([m0, m1]);
  const balancer = await balancing([["m0", m0]]);
  await become(balancer, "m0", "m1");
  const leases = client(balancer);
  assert.deepEqual(await answering(leases), new Set(["m0", "m1"]));
  members([m0, m1, m2]);
  await become(balancer, "m0", "m1", "m2");
  assert.deepEqual(await answering(leases), new Set(["m0", "m1", "m2"]));
  // Even the one that was configured, and whatever it says itself.
  members([m1, m2], [m1, m2]);
  await become(balancer, "m1", "m2");
  assert.deepEqual(await answering(leases), new Set(["m1", "m2"]));
  members([m0, m1, m2]);
  await become(balancer, "m1", "m2", "m0");
});

test("a removed member's watches go on elsewhere, and its other calls end in peace", async () => {
  members([m0, m1]);
  let finish = () => {};
  m1.handle = () => {
    return new Promise((resolve) => {
      finish = () => resolve({ metadata: { name: "late" } });
    });
  };
  for (const master of [m0, m1]) {
    master.watch = async function* (context) {
      context.sendHeaders();
      yield* [];
      await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
    };
  }
  const balancer = await balancing([["m0", m0]]);
  await become(balancer, "m0", "m1");
  const leases = client(balancer);
  const stop = new AbortController();
  const report = (name: string) => balancer.status().masters.find((one) => one.name === name);
  const watching = (async () => {
    while (!stop.signal.aborted) {
      try {
        for await (const _ of serverStreamIterable(leases, "watch", {}, { signal: stop.signal }));
      } catch {
        // It is begun again, as informers do.
      }
    }
  })();
  await eventually("the watch", () => report("m0")?.streams === 1 || report("m1")?.streams === 1);
  m0.handle = () => new Promise(() => {});
  const calls = [0, 1].map((n) =>
    call(leases, "get", { name: `${n}` }, { deadlineMillis: patienceMillis }),
  );
  await eventually("a call with m1", () => report("m1")?.unary === 1);
  members([m0], [m0]);
  await become(balancer, "m0");
  await eventually("the watch with m0", () => report("m0")?.streams === 1);
  finish();
  const { metadata } = await Promise.race(calls);
  assert.equal(metadata?.name, "late");
  stop.abort();
  await watching;
  const ended = Promise.allSettled(calls);
  for (const each of open.splice(0).reverse()) await each.close();
  await ended;
  for (const master of [m0, m1]) master.handle = async () => ({ metadata: { name: master.name } });
});

test("a seed of another name is the member that answers there", async () => {
  members([m0, m1]);
  const balancer = await balancing([
    ["first", m0],
    ["second", m1],
  ]);
  await become(balancer, "first", "second");
  members([m0], [m0]);
  await become(balancer, "first");
});

test("without a word of addresses, or of anyone, the masters are the configured ones", async () => {
  for (const one of masters) one.set({ addresses: [], peers: [{ name: "etcd-0" }] });
  const silent = await balancing([
    ["m0", m0],
    ["m1", m1],
  ]);
  await become(silent, "m0", "m1");
  members([m0, m1]);
  const fixed = await balancing([["m0", m0]], {});
  await become(fixed, "m0");
  assert.equal(fixed.status().masters.length, 1);

  const balancer = await balancing([["m0", m0]]);
  await become(balancer, "m0", "m1");
  members([m1], [m1]);
  await become(balancer, "m1");
  await m1.kill();
  // The last member is gone: what was configured is tried again.
  await become(balancer, "m0");
  await m1.start();
});
