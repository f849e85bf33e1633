import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type FencingToken,
  type LeaseClient,
  type RunElectionOptions,
  runElection,
} from "../../ha/election/mod.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { isNotFound } from "../../services/client/mod.ts";
import { FakeClock, settle } from "../client/fake-clock.ts";
import { quietLog } from "../client/quiet-log.ts";
import { RealApi } from "../client/real-api.ts";

const timing = { leaseMillis: 15_000, renewDeadlineMillis: 10_000, retryMillis: 2_000 };

function leaseClient(api: RealApi, gate: { cut: boolean } = { cut: false }): LeaseClient {
  const { leases } = api.client();
  const reach = () => {
    if (gate.cut) throw new StatusError(Code.unavailable, "cut off");
  };
  return {
    async get(namespace, name) {
      reach();
      try {
        return await leases.get(name, namespace);
      } catch (error) {
        if (isNotFound(error)) return undefined;
        throw error;
      }
    },
    async create(lease) {
      reach();
      return leases.create(lease);
    },
    async update(lease) {
      reach();
      return leases.update(lease);
    },
  };
}

interface Candidate {
  readonly stop: AbortController;
  readonly gate: { cut: boolean };
  readonly tokens: FencingToken[];
  leading: boolean;
  readonly done: Promise<void>;
}

function campaign(
  api: RealApi,
  clock: FakeClock,
  identity: string,
  extra: Partial<RunElectionOptions> = {},
): Candidate {
  const stop = new AbortController();
  const gate = { cut: false };
  const tokens: FencingToken[] = [];
  const candidate = { stop, gate, tokens, leading: false };
  const done = runElection(
    {
      client: leaseClient(api, gate),
      log: quietLog,
      namespace: "kube-system",
      name: "scheduler",
      identity,
      ...timing,
      random: () => 0,
      lead: (token, signal) =>
        new Promise((resolve) => {
          tokens.push(token);
          candidate.leading = true;
          signal.addEventListener("abort", () => {
            candidate.leading = false;
            resolve();
          });
        }),
      ...extra,
    },
    stop.signal,
    clock,
  );
  return Object.assign(candidate, { done });
}

async function finish(clock: FakeClock, ...candidates: Candidate[]): Promise<void> {
  for (const { stop } of candidates) stop.abort();
  await clock.advance(20_000);
  await Promise.all(candidates.map(({ done }) => done));
}

test("durations whose relations cannot work are refused with the relation named", async () => {
  const rows: [Partial<typeof timing> & { identity?: string }, RegExp][] = [
    [{ leaseMillis: 10_000 }, /leaseMillis \(10000\) must be greater than renewDeadlineMillis/],
    [
      { retryMillis: 9_000 },
      /renewDeadlineMillis \(10000\) must be greater than retryMillis × 1.2/,
    ],
    [{ retryMillis: 0 }, /retryMillis is 0/],
    [{ identity: "" }, /identity is empty/],
  ];
  const clock = new FakeClock();
  await using api = await RealApi.open({ clock });
  for (const [change, pattern] of rows) {
    const { done } = campaign(api, clock, "a", change);
    await assert.rejects(done, (error: StatusError) => {
      assert.equal(error.code, Code.invalidArgument);
      assert.match(error.message, pattern);
      return true;
    });
  }
});

test("one of two candidates leads, and renews for as long as it lives", async () => {
  const clock = new FakeClock();
  await using api = await RealApi.open({ clock });
  const a = campaign(api, clock, "a");
  await settle();
  const b = campaign(api, clock, "b");
  await clock.advance(120_000);
  assert.deepEqual([a.leading, b.leading], [true, false]);
  assert.equal(api.get("Lease", "kube-system/scheduler")?.spec?.leaseTransitions, 0);
  await finish(clock, a, b);
});

test("a graceful stop releases, and the standby takes over at its next poll", async () => {
  const clock = new FakeClock();
  await using api = await RealApi.open({ clock });
  const a = campaign(api, clock, "a");
  await settle();
  const b = campaign(api, clock, "b");
  await clock.advance(5_000);
  a.stop.abort();
  await settle();
  await a.done;
  assert.equal(api.get("Lease", "kube-system/scheduler")?.spec?.holderIdentity, "");
  await clock.advance(timing.retryMillis);
  assert.equal(b.leading, true);
  await finish(clock, b);
});

test("with a watch as hint the standby takes a released Lease without any time passing", async () => {
  const clock = new FakeClock();
  await using api = await RealApi.open({ clock });
  const a = campaign(api, clock, "a");
  await settle();
  const watching = new AbortController();
  async function* changes() {
    for await (const { object } of api.client().leases.watch({ signal: watching.signal })) {
      yield object;
    }
  }
  const b = campaign(api, clock, "b", { changes: changes() });
  await settle();
  a.stop.abort();
  await settle();
  await settle();
  assert.equal(b.leading, true);
  watching.abort();
  await finish(clock, a, b);
});

test("after a crash the standby leads once the lease has run out, and not before", async () => {
  const clock = new FakeClock();
  await using api = await RealApi.open({ clock });
  const a = campaign(api, clock, "a");
  await settle();
  const b = campaign(api, clock, "b");
  await clock.advance(4_000);
  // Killed: its writes stop, and nothing is released.
  a.gate.cut = true;
  await clock.advance(10_999);
  assert.equal(b.leading, false);
  await clock.advance(timing.leaseMillis - 10_999);
  assert.equal(b.leading, true);
  await finish(clock, a, b);
});

test("a leader that cannot renew stops leading before anybody else may start", async () => {
  const clock = new FakeClock();
  await using api = await RealApi.open({ clock });
  const a = campaign(api, clock, "a");
  await settle();
  const b = campaign(api, clock, "b");
  await clock.advance(4_000);
  a.gate.cut = true;
  await clock.advance(timing.renewDeadlineMillis);
  assert.deepEqual([a.leading, b.leading], [false, false]);
  await clock.advance(timing.leaseMillis);
  assert.deepEqual([a.leading, b.leading], [false, true]);
  a.gate.cut = false;
  await clock.advance(60_000);
  assert.deepEqual([a.leading, b.leading], [false, true]);
  await finish(clock, a, b);
});

test("a candidate whose clock is years off waits as long as any other", async () => {
  await using api = await RealApi.open();
  const [clock, skewed] = [new FakeClock(), new FakeClock(Date.UTC(2035, 0, 1))];
  const a = campaign(api, clock, "a");
  await settle();
  const b = campaign(api, skewed, "b");
  for (let second = 0; second < 60; second++) {
    await clock.advance(1_000);
    await skewed.advance(1_000);
    assert.equal(b.leading, false);
  }
  await finish(clock, a);
  await finish(skewed, b);
});

test("the guarded write of a paused leader is refused after another has taken over", async () => {
  await using api = await RealApi.open();
  const [pausedClock, clock] = [new FakeClock(), new FakeClock()];
  const a = campaign(api, pausedClock, "a");
  await settle();
  const b = campaign(api, clock, "b");
  await settle();
  const { configMaps } = api.client();
  const object = { metadata: { name: "guarded", namespace: "default" } };
  await configMaps.create(object, { fence: a.tokens[0] });
  // The process of a stands still: its clock does not run, its signal does not abort.
  await clock.advance(timing.leaseMillis + timing.retryMillis);
  assert.deepEqual([a.leading, b.leading], [true, true]);
  await assert.rejects(
    configMaps.update({ ...object, data: { by: "a" } }, { fence: a.tokens[0] }),
    (error: StatusError) => error.code === Code.failedPrecondition,
  );
  await configMaps.update({ ...object, data: { by: "b" } }, { fence: b.tokens[0] });
  // It wakes, finds the Lease taken, and stops.
  await pausedClock.advance(timing.retryMillis);
  assert.equal(a.leading, false);
  await finish(pausedClock, a);
  await finish(clock, b);
});

test("a Lease that an unanswered write took is given back before it is taken with a token", async () => {
  const clock = new FakeClock();
  await using api = await RealApi.open({ clock });
  await api.client().leases.create({
    metadata: { name: "scheduler", namespace: "kube-system" },
    spec: { holderIdentity: "a", leaseDurationSeconds: 15 },
  });
  const a = campaign(api, clock, "a");
  await settle();
  assert.equal(a.leading, true);
  const fence = a.tokens[0];
  await api
    .client()
    .configMaps.create({ metadata: { name: "x", namespace: "default" } }, { fence });
  await finish(clock, a);
});

test("work that ends by itself releases and ends the campaign; work that fails fails it", async () => {
  const clock = new FakeClock();
  await using api = await RealApi.open();
  await campaign(api, clock, "a", { lead: async () => {} }).done;
  assert.equal(api.get("Lease", "kube-system/scheduler")?.spec?.holderIdentity, "");
  const failing = campaign(api, clock, "b", { lead: () => Promise.reject(new Error("broken")) });
  await assert.rejects(failing.done, /broken/);
  assert.equal(api.get("Lease", "kube-system/scheduler")?.spec?.holderIdentity, "");
});

test("a leader that is told to stop does so soon, also when no server answers", async () => {
  const clock = new FakeClock();
  await using api = await RealApi.open({ clock });
  const reachable = leaseClient(api);
  let silent = false;
  const client: LeaseClient = {
    ...reachable,
    update: (lease) => (silent ? new Promise<never>(() => {}) : reachable.update(lease)),
  };
  const a = campaign(api, clock, "a", { client });
  await settle();
  assert.equal(a.leading, true);
  silent = true;
  // A renewal is under way when the stop comes.
  await clock.advance(timing.retryMillis);
  let ended = false;
  void a.done.then(() => {
    ended = true;
  });
  a.stop.abort();
  await clock.advance(1_000);
  assert.equal(ended, true);
});
