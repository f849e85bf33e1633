/** What a candidate keeps in memory while it leads, while it stands by, and in between. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runElected } from "../../services/client/elected.ts";
import { InformerFactory } from "../../services/client/mod.ts";
import { FakeClock, settle } from "./fake-clock.ts";
import { quietLog } from "./quiet-log.ts";
import { RealApi } from "./real-api.ts";

const timing = { leaseMillis: 4_500, renewDeadlineMillis: 4_000, retryMillis: 2_000 };
const lateMillis = (timing.retryMillis + timing.renewDeadlineMillis) / 2;

/** A process with a clock of its own: one that is stopped stands still. */
class Process {
  readonly clock = new FakeClock();
  readonly #stop = new AbortController();
  readonly informers: InformerFactory;
  readonly done: Promise<void>;
  leading = false;

  constructor(api: RealApi, identity: string) {
    const { clock } = this;
    const client = api.client();
    this.informers = new InformerFactory({ client, log: quietLog, clock });
    this.informers.informer("ConfigMap");
    this.done = runElected(
      {
        ...timing,
        namespace: "kube-system",
        name: "scheduler",
        identity,
        leases: client.leases,
        informers: this.informers,
        log: quietLog,
        random: () => 0,
        lead: async (_, signal) => {
          await this.informers.whenSynced(signal);
          this.leading = true;
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
          this.leading = false;
        },
      },
      this.#stop.signal,
      clock,
    );
  }

  get names(): (string | undefined)[] {
    return this.informers
      .informer("ConfigMap")
      .lister.list()
      .map(({ metadata }) => metadata?.name)
      .filter((name) => name !== "kube-root-ca.crt");
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await settle();
    await this.clock.advance(10_000);
    await this.done;
  }
}

/** Time passes for some, step by step, so that each sees what the others have written. */
async function pass(millis: number, ...processes: Process[]): Promise<void> {
  for (let passed = 0; passed < millis; passed += 100) {
    for (const { clock } of processes) await clock.advance(100);
  }
}

/** Until the leader has just renewed its Lease. */
async function untilRenewed(api: RealApi, ...processes: Process[]): Promise<void> {
  const renewed = () => api.get("Lease", "kube-system/scheduler")?.spec?.renewTime;
  for (const before = renewed(); renewed() === before; ) await pass(100, ...processes);
}

async function start(api: RealApi, identity: string): Promise<Process> {
  const started = new Process(api, identity);
  await settle();
  return started;
}

const configMap = (name: string) => ({ metadata: { name, namespace: "default" } });

test("a standby watches the Lease alone; it fills its caches when the leader falls silent, and leads as the Lease runs out", async () => {
  await using api = await RealApi.open();
  await api.client().configMaps.create(configMap("early"));
  const leader = await start(api, "a");
  assert.deepEqual([leader.leading, leader.names, api.watches], [true, ["early"], 2]);
  const standby = await start(api, "b");
  await pass(20_000, leader, standby);
  assert.deepEqual([standby.informers.started, standby.names, api.watches], [false, [], 3]);
  await untilRenewed(api, leader, standby);
  await pass(lateMillis - 200, standby);
  assert.equal(standby.informers.started, false);
  await pass(200, standby);
  assert.deepEqual([standby.names, standby.leading], [["early"], false]);
  await pass(timing.leaseMillis - lateMillis, standby);
  assert.equal(standby.leading, true);
  await leader.stop();
  await standby.stop();
});

test("a leader that was only late takes the standby's caches away again; they are filled anew later", async () => {
  await using api = await RealApi.open();
  const leader = await start(api, "a");
  const standby = await start(api, "b");
  await untilRenewed(api, leader, standby);
  await pass(lateMillis, standby);
  assert.equal(standby.informers.started, true);
  await untilRenewed(api, leader);
  assert.deepEqual([standby.informers.started, standby.leading], [false, false]);
  await api.client().configMaps.create(configMap("unseen"));
  await settle();
  assert.deepEqual([leader.names, standby.names], [["unseen"], []]);
  await leader.stop();
  await settle();
  assert.deepEqual([standby.leading, standby.names], [true, ["unseen"]]);
  await standby.stop();
});

test("a released Lease is taken at once, and the caches are filled before the work begins", async () => {
  await using api = await RealApi.open();
  const leader = await start(api, "a");
  const standby = await start(api, "b");
  await pass(1_000, leader, standby);
  await leader.stop();
  await settle();
  assert.deepEqual([leader.leading, standby.leading], [false, true]);
  assert.equal(leader.informers.started, false);
  await standby.stop();
});
