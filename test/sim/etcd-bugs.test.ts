/**
 * What once went wrong in etcd, named for its symptom, each as a scenario that takes the shortest
 * way to where it would show. Sources: etcd's own robustness reports and post-mortems.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Store, WatchBatch } from "../../ha/store/mod.ts";
import { bytes, text } from "./caller.ts";
import { Cluster, type Seat } from "./cluster.ts";
import { putTxn } from "./registers.ts";
import { observe } from "./truth.ts";

type Revision = Awaited<ReturnType<Store["readRevision"]>>;

/** A scenario with its cluster; what it awaits happens while the world runs. */
class Scene {
  readonly cluster: Cluster;

  constructor(name: string, members: number) {
    const watchLimits = {
      maxWatchers: 10,
      maxQueuedEvents: 8,
      maxQueuedBytes: 65_536,
      maxHeldBytes: 1_048_576,
      catchUpPageRecords: 4,
    };
    this.cluster = new Cluster(name, { members, member: { watchLimits } });
    this.cluster.startAll();
  }

  async until(condition: () => boolean, what: string, millis = 20_000): Promise<void> {
    const { cluster } = this;
    const done = await cluster.world.runUntil(() => cluster.broken || condition(), millis);
    cluster.check();
    assert.ok(done, `waited ${millis} ms for ${what}`);
  }

  /** The answer of a promise that settles while the world runs. */
  async answer<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const settle = () => {
      settled = true;
    };
    promise.then(settle, settle);
    await this.until(() => settled, "an answer");
    return promise;
  }

  async leader(): Promise<Seat> {
    await this.until(() => this.cluster.leader !== undefined, "a leader");
    return this.cluster.leader as Seat;
  }

  /** Through the leader of the moment; its revision. */
  async put(key: string, value: string): Promise<Revision> {
    const { store } = await this.leader();
    return (await this.answer((store as Store).txn(putTxn(key, value)))).revision;
  }

  async get(seat: Seat, key: string, serializable = false): Promise<string | undefined> {
    await this.until(() => seat.store !== undefined, `${seat.peer.name} to be up`);
    const request = { key: bytes(key) };
    const answer = await this.answer((seat.store as Store).range(request, { serializable }));
    return answer.kvs[0] && text(answer.kvs[0].value);
  }

  get follower(): Seat {
    return this.cluster.seats.find((seat) => seat !== this.cluster.leader) as Seat;
  }
}

function scenario(name: string, members: number, play: (scene: Scene) => Promise<void>): void {
  test(name, async () => {
    const scene = new Scene(name, members);
    try {
      await play(scene);
      scene.cluster.check();
    } finally {
      observe(undefined);
    }
  });
}

/** Reads a watch in the background, as fast as it comes or not at all while `held`. */
class Reading {
  readonly batches: WatchBatch[] = [];
  error: unknown;
  release: () => void = () => {};

  constructor(
    store: Store,
    startRevision: number,
    options: { held?: boolean; progress?: boolean },
  ) {
    const everything = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };
    const { progress } = options;
    const request = { ...everything, startRevision: startRevision as Revision, progress };
    const stream = store.watch(request);
    const held = options.held
      ? new Promise<void>((resolve) => {
          this.release = resolve;
        })
      : Promise.resolve();
    this.#read(stream, held).catch((error: unknown) => {
      this.error = error;
    });
  }

  get revisions(): number[] {
    return this.batches.flatMap(({ events }) => events.map(({ kv }) => kv.modRevision));
  }

  async #read(stream: AsyncIterable<WatchBatch>, held: Promise<void>): Promise<void> {
    await held;
    for await (const batch of stream) this.batches.push(batch);
  }
}

scenario(
  "a revision is not lost when everybody crashes right after the answer",
  3,
  async (scene) => {
    for (let i = 0; i < 20; i++) {
      const revision = await scene.put("/k", `v${i}`);
      for (const seat of scene.cluster.seats) scene.cluster.crash(seat, true);
      for (const seat of scene.cluster.seats) scene.cluster.start(seat);
      const { store } = await scene.leader();
      const now = await scene.answer((store as Store).readRevision());
      assert.ok(now >= revision, `at revision ${now} after ${revision} had been answered`);
      assert.equal(await scene.get(scene.cluster.leader as Seat, "/k"), `v${i}`);
    }
  },
);

scenario("a single member does not lose a write that it answered", 1, async (scene) => {
  const [seat] = scene.cluster.seats as [Seat];
  for (let i = 0; i < 30; i++) {
    await scene.put("/k", `v${i}`);
    scene.cluster.crash(seat, true);
    scene.cluster.start(seat);
    assert.equal(await scene.get(seat, "/k"), `v${i}`);
  }
});

scenario("a watch does not go back in time when it resumes elsewhere", 3, async (scene) => {
  for (let i = 0; i < 10; i++) await scene.put("/k", `v${i}`);
  const behind = scene.follower;
  const others = scene.cluster.seats.filter((seat) => seat !== behind).map(({ peer }) => peer.id);
  await scene.until(() => behind.member?.machine.revision === 11, "the follower to follow");
  scene.cluster.world.network.partition([behind.peer.id], others);
  for (let i = 10; i < 20; i++) await scene.put("/k", `v${i}`);
  // It saw revision 21 elsewhere, and goes on at a member that is at 11.
  const reading = new Reading(behind.store as Store, 22, { progress: true });
  scene.cluster.world.network.heal();
  await scene.put("/k", "new");
  await scene.until(() => reading.revisions.length > 0, "an event");
  assert.deepEqual(reading.revisions, [22]);
  assert.ok(reading.batches.every(({ revision }) => revision >= 22));
});

scenario("a starved watcher loses no event", 3, async (scene) => {
  const { store } = await scene.leader();
  const reading = new Reading(store as Store, 2, { held: true, progress: true });
  for (let i = 0; i < 60; i++) await scene.put(`/k${i % 7}`, `v${i}`);
  reading.release();
  await scene.until(() => reading.revisions.length >= 60, "the events");
  assert.deepEqual(
    reading.revisions,
    Array.from({ length: 60 }, (_, i) => i + 2),
  );
});

scenario(
  "the revision does not decrease when a member crashes while it compacts",
  3,
  async (scene) => {
    for (let i = 0; i < 40; i++) await scene.put("/k", `v${i}`);
    const seat = await scene.leader();
    const revision = await scene.answer((seat.store as Store).readRevision());
    await scene.answer((seat.store as Store).compact(revision));
    for (const one of scene.cluster.seats) scene.cluster.crash(one, true);
    for (const one of scene.cluster.seats) scene.cluster.start(one);
    for (const one of scene.cluster.seats) {
      await scene.until(() => one.store !== undefined, "a member");
      assert.equal(await scene.answer((one.store as Store).readRevision()), revision);
      assert.equal(await scene.get(one, "/k"), "v39");
    }
    assert.equal(await scene.put("/k", "next"), revision + 1);
  },
);

scenario("a delete is delivered though compaction comes right after it", 3, async (scene) => {
  const first = await scene.put("/k", "v");
  const { store } = await scene.leader();
  const remove = { op: "delete", key: bytes("/k") } as const;
  const txn = { compares: [], success: [remove], failure: [] };
  const { revision } = await scene.answer((store as Store).txn(txn));
  await scene.answer((store as Store).compact(revision));
  const reading = new Reading(store as Store, revision, {});
  await scene.until(
    () => reading.revisions.length > 0 || reading.error !== undefined,
    "the delete",
  );
  assert.deepEqual(
    reading.batches.flatMap(({ events }) => events.map(({ type }) => type)),
    ["delete"],
  );
  const late = new Reading(store as Store, first, {});
  await scene.until(() => late.error !== undefined, "a refusal");
  assert.match(String(late.error), /required revision has been compacted/);
});

scenario("a watch at a future revision sees nothing older", 3, async (scene) => {
  const now = await scene.put("/k", "v0");
  const { store } = await scene.leader();
  const reading = new Reading(store as Store, now + 3, { progress: true });
  for (let i = 1; i <= 5; i++) await scene.put("/k", `v${i}`);
  await scene.until(() => reading.revisions.length >= 3, "the events");
  assert.deepEqual(reading.revisions, [now + 3, now + 4, now + 5]);
  assert.ok(reading.batches.every(({ revision }) => revision >= now + 3));
});

scenario("a paused leader serves no stale read when it wakes up", 3, async (scene) => {
  await scene.put("/k", "old");
  const paused = await scene.leader();
  scene.cluster.world.pause(paused.peer.id, 3_000);
  // Asked while it sleeps: it answers the moment it wakes, before it can have heard of anything.
  const asked = (async () => {
    await new Promise<void>((resolve) => scene.cluster.world.clock.after(2_990, resolve));
    return (paused.store as Store).range({ key: bytes("/k") });
  })();
  const successor = () =>
    scene.cluster.seats.find((seat) => seat !== paused && seat === scene.cluster.leader);
  await scene.until(() => successor() !== undefined, "a successor", 2_900);
  const { store } = successor() as Seat;
  await scene.answer((store as Store).txn(putTxn("/k", "new")));
  assert.ok(scene.cluster.world.now < 2_990, "written while the other one slept");
  const { kvs } = await scene.answer(asked);
  assert.equal(kvs[0] && text(kvs[0].value), "new");
});

scenario("a paused leader ends no lease that its successor keeps alive", 3, async (scene) => {
  const paused = await scene.leader();
  const grant = await scene.answer((paused.store as Store).leaseGrant(7n, 2));
  const put = { op: "put", key: bytes("/leased"), value: bytes("v"), lease: grant.id } as const;
  const txn = { compares: [], success: [put], failure: [] };
  await scene.answer((paused.store as Store).txn(txn));
  const start = scene.cluster.world.now;
  scene.cluster.world.pause(paused.peer.id, 5_000);
  const successor = () =>
    scene.cluster.seats.find((seat) => seat !== paused && seat === scene.cluster.leader);
  await scene.until(() => successor() !== undefined, "a successor", 4_000);
  while (scene.cluster.world.now < start + 8_000) {
    const { store } = successor() as Seat;
    await scene.answer((store as Store).leaseKeepAlive(7n));
    await scene.cluster.world.runFor(500);
  }
  assert.equal(await scene.get(successor() as Seat, "/leased"), "v");
});

scenario(
  "a deposed leader acknowledges no keep-alive that its successor does not know of",
  3,
  async (scene) => {
    const deposed = await scene.leader();
    await scene.answer((deposed.store as Store).leaseGrant(7n, 2));
    const others = scene.cluster.seats
      .filter((seat) => seat !== deposed)
      .map(({ peer }) => peer.id);
    scene.cluster.world.network.partition([deposed.peer.id], others);
    // It still believes that it leads; no member hears it any more.
    const asked = (deposed.store as Store).leaseKeepAlive(7n);
    const outcome = asked.then(
      (seconds) => `kept alive for ${seconds} s`,
      (error: Error) => error.message,
    );
    assert.match(await scene.answer(outcome), /timed out|no leader/);
  },
);
