import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { SeededRandom, type SimulatedRuntime, World } from "../../ha/runtime/simulated/mod.ts";
import type { DiskError, MemberId } from "../../ha/runtime/types.ts";
import { write } from "../contract/disk.ts";
import { Recorder } from "../contract/peer-network.ts";

const ids = [1, 2, 3] as MemberId[];
const [one, two, three] = ids as [MemberId, MemberId, MemberId];
const key = (index: number): Uint8Array => Uint8Array.of(index >> 8, index & 255);

interface Member {
  readonly runtime: SimulatedRuntime;
  readonly recorder: Recorder;
}

/** Three members that know each other. */
async function startAll(world: World): Promise<Map<MemberId, Member>> {
  const members = new Map<MemberId, Member>();
  for (const id of ids) {
    const runtime = world.createRuntime(id, `m${id}`);
    const recorder = new Recorder();
    await runtime.network.start(recorder);
    members.set(id, { runtime, recorder });
  }
  const peers = ids.map((id) => world.peer(id));
  for (const { runtime } of members.values()) runtime.network.setPeers(peers);
  const linked = (): boolean =>
    [...members.values()].every(({ recorder }) => recorder.up.size === 2);
  assert.ok(await world.runUntil(linked, 1_000), world.report());
  return members;
}

/** Traffic, disk writes, promises, a crash, a pause and a partition; gives the digest. */
async function busyRun(seed: string): Promise<string> {
  const world = new World(seed, { network: { drop: 0.05 } });
  const members = await startAll(world);
  for (const { runtime } of members.values()) {
    let count = 0;
    runtime.clock.every(3, async () => {
      count += 1;
      const message = runtime.random.bytes(20);
      // What happens after an await must not depend on the machine either.
      await Promise.resolve();
      for (const id of ids) runtime.network.send(id, message);
      const sync = runtime.random.below(2) === 0;
      runtime.disk.write([{ key: key(count), value: message }], { sync }, () => {
        runtime.log.info("written", { count });
      });
    });
  }
  await world.runFor(100);
  world.pause(two, 40);
  await world.runFor(100);
  world.network.partition([one], [two, three]);
  await world.runFor(3_000);
  world.network.heal();
  world.crash(three);
  await world.runFor(200);
  return `${world.digest} ${world.delivered} ${world.logs(one).at(-1)}`;
}

describe("determinism", () => {
  test("the same seed gives the same events, another seed gives others", async () => {
    const first = await busyRun("a");
    assert.equal(await busyRun("a"), first);
    assert.notEqual(await busyRun("b"), first);
  });

  test("streams of one seed are independent, and below is uniform", () => {
    const seed = new SeededRandom("seed");
    const expected = Array.from(seed.stream("disk").bytes(16));
    const network = seed.stream("network");
    network.bytes(1_000);
    assert.deepEqual(Array.from(seed.stream("disk").bytes(16)), expected);
    assert.notDeepEqual(Array.from(seed.stream("network").bytes(16)), expected);
    const counts = new Array<number>(6).fill(0);
    for (let draw = 0; draw < 60_000; draw++) counts[seed.below(6)]! += 1;
    assert.ok(
      counts.every((count) => count > 9_500 && count < 10_500),
      String(counts),
    );
    assert.equal(seed.below(1), 0);
    assert.ok(seed.below(2 ** 32) < 2 ** 32);
    assert.throws(() => seed.below(0), /not an integer in 1\.\./);
  });

  test("microtasks of an event run before the next event", async () => {
    const world = new World("microtasks");
    const { clock } = world.createRuntime(one, "m1");
    const order: string[] = [];
    clock.after(1, async () => {
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
      order.push("end of the first");
    });
    clock.after(1, () => order.push("second"));
    await world.runFor(2);
    assert.deepEqual(order, ["end of the first", "second"]);
  });

  test("an error in an event ends the run; standing time is found out", async () => {
    const world = new World("errors");
    const { clock } = world.createRuntime(one, "m1");
    clock.after(1, () => {
      throw new Error("invariant broken");
    });
    await assert.rejects(world.runFor(10), /invariant broken/);
    const again = (): void => clock.soon(again);
    again();
    await assert.rejects(world.runFor(10), /time stands still .* "soon"/);
  });

  test("time passes only as far as asked, and step delivers one event", async () => {
    const world = new World("time");
    const calls: number[] = [];
    world.clock.after(5, () => calls.push(5));
    world.clock.after(9, () => calls.push(9));
    await world.runFor(7);
    assert.equal(world.now, 7);
    assert.deepEqual(calls, [5]);
    assert.equal(await world.step(), true);
    assert.equal(world.now, 9);
    assert.equal(await world.step(), false);
    assert.equal(await world.runUntil(() => false, 50), false);
    assert.equal(world.now, 59);
  });
});

describe("disk", () => {
  test("a crash keeps a prefix of the writes, and everything that was synced", async () => {
    const kept = new Set<number>();
    for (let seed = 0; seed < 60; seed++) {
      const world = new World(`crash ${seed}`);
      const { disk } = world.createRuntime(one, "m1");
      let synced = -1;
      for (let index = 0; index < 30; index++) {
        // Two keys a write: never one without the other.
        const operations = [key(index), key(1_000 + index)].map((at) => ({ key: at, value: at }));
        const sync = index === 10;
        disk.write(operations, { sync }, () => {
          if (sync) synced = index;
        });
      }
      await world.runFor(world.random.between(0, 4));
      const next = world.restart(one).disk;
      const present = Array.from({ length: 30 }, (_, index) => next.get(key(index)) !== undefined);
      const count = present.filter(Boolean).length;
      assert.deepEqual(
        present,
        Array.from({ length: 30 }, (_, index) => index < count),
      );
      for (let index = 0; index < 30; index++) {
        assert.equal(next.get(key(1_000 + index)) !== undefined, present[index]);
      }
      assert.ok(count > synced, `seed ${seed}: ${count} kept, ${synced} synced`);
      kept.add(count);
    }
    assert.ok(kept.size > 10, "crashes lose different amounts");
  });

  test("a crash restores what overwritten and deleted keys held before", async () => {
    let restored = false;
    for (let seed = 0; seed < 20; seed++) {
      const world = new World(`undo ${seed}`);
      const { disk } = world.createRuntime(one, "m1");
      const before = write(disk, [{ key: key(1), value: Uint8Array.of(1) }], true);
      await world.runFor(10);
      await before;
      disk.write([{ key: key(1) }], { sync: false }, () => {});
      disk.write([{ key: key(1), value: Uint8Array.of(2) }], { sync: false }, () => {});
      const value = world.restart(one).disk.get(key(1));
      assert.ok(value === undefined || value[0] === 1 || value[0] === 2);
      restored ||= value?.[0] === 1;
    }
    assert.ok(restored);
  });

  test("a failing disk fails every write from then on, until it is repaired", async () => {
    const world = new World("failing");
    const { disk } = world.createRuntime(one, "m1");
    world.disk(one).failFrom("full", 2);
    const outcomes: string[] = [];
    for (let index = 0; index < 4; index++) {
      disk.write([{ key: key(index), value: key(index) }], { sync: true }, (error) => {
        outcomes.push(error?.kind ?? "ok");
      });
    }
    await world.runFor(50);
    assert.deepEqual(outcomes, ["ok", "ok", "full", "full"]);
    world.disk(one).repair();
    assert.throws(
      () => disk.get(key(0)),
      (error: DiskError) => error.kind === "full",
    );
    const next = world.restart(one).disk;
    assert.deepEqual(next.get(key(1)), key(1));
    assert.equal(next.get(key(2)), undefined);
  });

  test("a flipped bit is noticed, or changes the value silently", async () => {
    const world = new World("bits");
    const { disk } = world.createRuntime(one, "m1");
    disk.write([{ key: key(7), value: new Uint8Array(64) }], { sync: true }, () => {});
    await world.runFor(10);
    const prefix = key(7)[0] ?? 0;
    assert.equal(world.disk(one).flipBit({ noticed: false, prefix: prefix + 1 }), undefined);
    assert.deepEqual(world.disk(one).flipBit({ noticed: false, prefix }), key(7));
    assert.equal(disk.get(key(7))?.filter((byte) => byte !== 0).length, 1);
    world.disk(one).flipBit({ noticed: true });
    assert.throws(
      () => disk.get(key(7)),
      (error: DiskError) => error.kind === "corrupt",
    );
  });
});

describe("members", () => {
  test("nothing of a crashed member ever runs again, and its peers notice at once", async () => {
    const world = new World("crash");
    const members = await startAll(world);
    const { runtime } = members.get(one)!;
    let calls = 0;
    runtime.clock.every(1, () => calls++);
    runtime.disk.write([], { sync: true }, () => calls++);
    world.crash(one);
    await world.runFor(20);
    assert.equal(calls, 0);
    for (const id of [two, three]) assert.ok(!members.get(id)!.recorder.up.has(one));
    const recorder = new Recorder();
    const next = world.restart(one);
    await next.network.start(recorder);
    next.network.setPeers(ids.map((id) => world.peer(id)));
    assert.ok(await world.runUntil(() => recorder.up.size === 2, 100), world.report());
    assert.ok(await world.runUntil(() => members.get(two)!.recorder.up.has(one), 100));
  });

  test("a power loss is noticed by silence only", async () => {
    const world = new World("power");
    const members = await startAll(world);
    world.crash(one, { powerLoss: true });
    await world.runFor(1_000);
    assert.ok(members.get(two)!.recorder.up.has(one));
    await world.runFor(2_000);
    assert.ok(!members.get(two)!.recorder.up.has(one));
  });

  test("a paused member runs late, in order; a long pause costs it its links", async () => {
    const world = new World("pause");
    const members = await startAll(world);
    const { runtime } = members.get(one)!;
    const calls: [string, number][] = [];
    const note = (name: string) => () => calls.push([name, Math.round(world.now - began)]);
    const began = world.now;
    runtime.clock.after(20, note("later"));
    runtime.clock.after(10, note("sooner"));
    world.pause(one, 50);
    await world.runFor(100);
    assert.deepEqual(calls, [
      ["sooner", 50],
      ["later", 50],
    ]);
    assert.ok(members.get(two)!.recorder.up.has(one));
    world.pause(one, 5_000);
    await world.runFor(3_000);
    assert.ok(!members.get(two)!.recorder.up.has(one));
    const all = (): boolean =>
      [...members.values()].every(({ recorder }) => recorder.up.size === 2);
    assert.ok(await world.runUntil(all, 5_000), world.report());
  });

  test("clocks drift apart, wall clocks can jump, monotonic ones cannot", async () => {
    const world = new World("clocks");
    const clocks = ids.map((id) => world.createRuntime(id, `m${id}`).clock);
    await world.runFor(100_000);
    const readings = clocks.map((clock) => clock.monotonicMillis());
    assert.equal(new Set(readings).size, 3);
    assert.ok(
      readings.every((reading) => Math.abs(reading - 100_000) <= 20.1),
      String(readings),
    );
    const [wall, monotonic] = [clocks[0]!.wallMillis(), clocks[0]!.monotonicMillis()];
    clocks[0]!.jumpWall(-5_000);
    assert.equal(clocks[0]!.wallMillis(), wall - 5_000);
    assert.equal(clocks[0]!.monotonicMillis(), monotonic);
  });

  test("logs keep the last lines, and the report names the seed", () => {
    const world = new World("logs", { logLines: 3 });
    const { log } = world.createRuntime(one, "m1");
    for (let line = 0; line < 5; line++) log.child({ part: "x" }).warn("line", { line });
    assert.deepEqual(
      world.logs(one).map((text) => text.slice(-8)),
      ["x line=2", "x line=3", "x line=4"],
    );
    assert.match(world.report(), /^seed logs, [\s\S]*m1 \(alive\)[\s\S]*line=4$/);
  });
});

describe("network", () => {
  test("a short partition delays messages, a long one breaks the link", async () => {
    const world = new World("partition");
    const members = await startAll(world);
    const [a, b] = [members.get(one)!, members.get(two)!];
    world.network.partition([one], [two]);
    assert.ok(a.runtime.network.send(two, Uint8Array.of(1)));
    assert.ok(a.runtime.network.send(two, Uint8Array.of(2)));
    await world.runFor(500);
    assert.deepEqual(b.recorder.messages, []);
    world.network.heal();
    await world.runFor(10);
    assert.deepEqual(
      b.recorder.messages.map(({ bytes }) => bytes[0]),
      [1, 2],
    );
    world.network.partition([one], [two]);
    a.runtime.network.send(two, Uint8Array.of(3));
    await world.runFor(10_000);
    assert.ok(!a.recorder.up.has(two) && !b.recorder.up.has(one));
    assert.ok(a.recorder.up.has(three) && b.recorder.up.has(three));
    world.network.heal();
    assert.ok(await world.runUntil(() => a.recorder.up.has(two) && b.recorder.up.has(one), 1_500));
    assert.ok(b.recorder.messages.every(({ bytes }) => bytes[0] !== 3));
  });

  test("a one-way partition lets the other way through, until the link is given up", async () => {
    const world = new World("one way");
    const members = await startAll(world);
    const [a, b] = [members.get(one)!, members.get(two)!];
    world.network.block(one, two);
    a.runtime.network.send(two, Uint8Array.of(1));
    b.runtime.network.send(one, Uint8Array.of(2));
    await world.runFor(500);
    assert.deepEqual(b.recorder.messages, []);
    assert.deepEqual(
      a.recorder.messages.map(({ bytes }) => bytes[0]),
      [2],
    );
    await world.runFor(3_000);
    assert.ok(!a.recorder.up.has(two) && !b.recorder.up.has(one));
  });

  test("a cut delivers a prefix of what was in flight, and the link comes back", async () => {
    const counts = new Set<number>();
    for (let seed = 0; seed < 30; seed++) {
      const world = new World(`cut ${seed}`, { network: { lateArrival: 0 } });
      const members = await startAll(world);
      const [a, b] = [members.get(one)!, members.get(two)!];
      for (let index = 0; index < 10; index++) a.runtime.network.send(two, Uint8Array.of(index));
      world.network.cut(one, two);
      assert.ok(await world.runUntil(() => !a.recorder.up.has(two), 100));
      assert.ok(await world.runUntil(() => a.recorder.up.has(two) && b.recorder.up.has(one), 100));
      const received = b.recorder.messages.map(({ bytes }) => bytes[0]);
      assert.deepEqual(received, [...received.keys()]);
      counts.add(received.length);
    }
    assert.ok(counts.size > 3, String([...counts]));
  });

  test("messages may drop, links may be slow, and order holds within a link", async () => {
    const world = new World("lossy", { network: { drop: 0.3 } });
    const members = await startAll(world);
    world.network.setLink(one, three, { latency: [50_000, 60_000], drop: 0 });
    const a = members.get(one)!.runtime.network;
    for (let index = 0; index < 100; index++) {
      for (const id of [two, three]) a.send(id, Uint8Array.of(index));
    }
    await world.runFor(40);
    const atTwo = members.get(two)!.recorder.messages.map(({ bytes }) => bytes[0]!);
    assert.ok(atTwo.length > 50 && atTwo.length < 90, `${atTwo.length} arrived`);
    assert.deepEqual(
      atTwo,
      atTwo.toSorted((x, y) => x - y),
    );
    assert.equal(members.get(three)!.recorder.messages.length, 0);
    await world.runFor(40);
    assert.equal(members.get(three)!.recorder.messages.length, 100);
  });

  test("a message may overtake only across a broken link, and never arrives twice", async () => {
    let overtaken = 0;
    for (let seed = 0; seed < 40; seed++) {
      const world = new World(`late ${seed}`, { network: { lateArrival: 1 } });
      const members = await startAll(world);
      world.network.setLink(one, two, { latency: [1_000, 80_000] });
      const [a, b] = [members.get(one)!, members.get(two)!];
      for (let index = 0; index < 5; index++) a.runtime.network.send(two, Uint8Array.of(index));
      world.network.cut(one, two);
      world.network.setLink(one, two, {});
      await world.runUntil(() => !a.recorder.up.has(two), 100);
      await world.runUntil(() => a.recorder.up.has(two), 500);
      a.runtime.network.send(two, Uint8Array.of(99));
      await world.runFor(500);
      const received = b.recorder.messages.map(({ bytes }) => bytes[0]);
      assert.equal(new Set(received).size, received.length);
      if (received.includes(99) && received.at(-1) !== 99) overtaken += 1;
    }
    assert.ok(overtaken > 0);
  });
});
