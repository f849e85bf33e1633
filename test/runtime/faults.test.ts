/** Faults on purpose: without any the parts keep every promise, and each fault does what it says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type FaultSettings, type FaultyParts, withFaults } from "../../ha/runtime/faults/mod.ts";
import { World } from "../../ha/runtime/simulated/mod.ts";
import { StatusError } from "../../ha/runtime/status-error.ts";
import type { MemberId, PeerHandlers, Runtime } from "../../ha/runtime/types.ts";
import { clockContract } from "../contract/clock.ts";
import { diskContract } from "../contract/disk.ts";
import {
  contractQueueBytes,
  type PeerNode,
  peerNetworkContract,
} from "../contract/peer-network.ts";
import { settleIn } from "./settle.ts";

const one = 1 as MemberId;
const two = 2 as MemberId;

clockContract("with faults", () => {
  const world = new World("clock");
  const { clock } = withFaults(world.createRuntime(one, "m1"));
  return { clock, settle: settleIn(world) };
});

diskContract("with faults", async () => {
  const world = new World("disk");
  return {
    disk: withFaults(world.createRuntime(one, "m1")).disk,
    settle: settleIn(world),
    reopen: async () => withFaults(world.restart(one)).disk,
    dispose: async () => {},
  };
});

peerNetworkContract("with faults", async () => {
  const world = new World("peers", { network: { queueBytesMax: contractQueueBytes } });

  async function createNode(number: number, handlers: PeerHandlers): Promise<PeerNode> {
    const id = number as MemberId;
    if (world.isAlive(id)) world.crash(id);
    const { network } = withFaults(world.createRuntime(id, `m${number}`));
    await network.start(handlers);
    const restart = (next: PeerHandlers): Promise<PeerNode> => createNode(number, next);
    return { id, network, peer: world.peer(id), restart };
  }

  return {
    create: createNode,
    until: async (condition) => assert.ok(await world.runUntil(condition), world.report()),
    pass: () => world.runFor(3_000),
    settle: settleIn(world),
    dispose: async () => {},
  };
});

function settings(given: Partial<FaultSettings>): FaultSettings {
  return { peers: [], disk: {}, clockOffsetMillis: 0, expireMillis: 60_000, ...given };
}

interface Seat extends FaultyParts {
  readonly heard: string[];
  readonly links: boolean[];
}

async function pair(): Promise<{ world: World; a: Seat; b: Seat }> {
  const world = new World("pair");
  const seat = async (runtime: Runtime): Promise<Seat> => {
    const parts = withFaults(runtime);
    const heard: string[] = [];
    const links: boolean[] = [];
    await parts.network.start({
      message: (_, bytes) => heard.push(Buffer.from(bytes).toString()),
      link: (_, up) => links.push(up),
    });
    return { ...parts, heard, links };
  };
  const a = await seat(world.createRuntime(one, "m1"));
  const b = await seat(world.createRuntime(two, "m2"));
  for (const { network } of [a, b]) network.setPeers([world.peer(one), world.peer(two)]);
  assert.ok(await world.runUntil(() => a.links.length > 0 && b.links.length > 0));
  return { world, a, b };
}

const bytes = (text: string) => Buffer.from(text);

test("what a partitioned member sends is lost, and nobody can tell at first", async () => {
  const { world, a, b } = await pair();
  a.faults.set(settings({ peers: [{ peer: "m2", dropSent: true }] }));
  assert.equal(a.network.send(two, bytes("lost")), true);
  assert.equal(b.network.send(one, bytes("heard")), true);
  assert.ok(await world.runUntil(() => a.heard.includes("heard")));
  assert.deepEqual(b.heard, []);
  assert.deepEqual([a.links, b.links], [[true], [true]]);
});

test("a link on which nothing is heard goes down, and comes up when it is healed", async () => {
  const { world, a, b } = await pair();
  a.faults.set(settings({ peers: [{ peer: "m2", dropReceived: true }] }));
  b.network.send(one, bytes("lost"));
  assert.ok(await world.runUntil(() => a.links.length === 2));
  assert.deepEqual(a.links, [true, false]);
  assert.equal(a.network.send(two, bytes("refused")), false);
  a.faults.set(settings({}));
  assert.deepEqual(a.links, [true, false, true]);
  assert.equal(a.network.send(two, bytes("again")), true);
  assert.ok(await world.runUntil(() => b.heard.includes("again")));
  assert.deepEqual([a.heard, b.heard], [[], ["again"]]);
});

test("a delayed message arrives, later", async () => {
  const { world, a, b } = await pair();
  a.faults.set(settings({ peers: [{ peer: "m2", delayMillis: 500 }] }));
  const sentAt = a.clock.monotonicMillis();
  b.network.send(one, bytes("late"));
  assert.ok(await world.runUntil(() => a.heard.length > 0));
  assert.ok(a.clock.monotonicMillis() - sentAt >= 500);
});

test("a slow disk tells late, in order, also when it is fast again", async () => {
  const world = new World("slow");
  const { disk, faults, clock } = withFaults(world.createRuntime(one, "m1"));
  const done: number[] = [];
  const write = (number: number) =>
    disk.write([{ key: bytes(`${number}`), value: bytes("x") }], { sync: true }, (error) => {
      assert.equal(error, undefined);
      done.push(number);
    });
  const began = clock.monotonicMillis();
  faults.set(settings({ disk: { slowMillis: 300 } }));
  write(1);
  await world.runFor(20);
  assert.deepEqual(done, []);
  faults.set(settings({}));
  write(2);
  assert.ok(await world.runUntil(() => done.length === 2));
  assert.deepEqual(done, [1, 2]);
  assert.ok(clock.monotonicMillis() - began >= 300);
});

for (const failure of ["full", "io"] as const) {
  test(`a disk that is ${failure} refuses this write and every later one`, async () => {
    const world = new World("failing");
    const { disk, faults } = withFaults(world.createRuntime(one, "m1"));
    const kinds: (string | undefined)[] = [];
    const write = () =>
      disk.write([{ key: bytes("k"), value: bytes("x") }], { sync: true }, (error) => {
        kinds.push(error?.kind);
      });
    write();
    assert.ok(await world.runUntil(() => kinds.length === 1));
    faults.set(settings({ disk: { failure } }));
    write();
    assert.equal(kinds.length, 1, "never told at once");
    assert.ok(await world.runUntil(() => kinds.length === 2));
    faults.set(settings({}));
    write();
    assert.ok(await world.runUntil(() => kinds.length === 3));
    assert.deepEqual(kinds, [undefined, failure, failure]);
  });
}

test("the wall time jumps, the monotonic time goes on, and all faults expire", async () => {
  const world = new World("jump");
  const { clock, faults } = withFaults(world.createRuntime(one, "m1"));
  const wall = clock.wallMillis();
  const monotonic = clock.monotonicMillis();
  faults.set(settings({ clockOffsetMillis: 3_600_000, expireMillis: 1_000 }));
  assert.equal(clock.wallMillis() - wall, 3_600_000);
  assert.equal(clock.monotonicMillis(), monotonic);
  await world.runFor(1_001);
  assert.ok(clock.wallMillis() - wall < 60_000);
  assert.equal(faults.settings.clockOffsetMillis, 0);
});

for (const [given, said] of [
  [{ clockOffsetMillis: 1, expireMillis: 0 }, "expireMillis: 0 is not in 1..3600000"],
  [{ disk: { slowMillis: 20_000 } }, "disk.slowMillis: 20000 is not in 0..10000"],
  [{ peers: [{ peer: "" }] }, "peers[0].peer: the name of a member is required"],
  [{ peers: [{ peer: "m2", dropShare: 2 }] }, "peers[0].dropShare: 2 is not in 0..1"],
  [{ peers: [{ peer: "m2", delayMillis: NaN }] }, "peers[0].delayMillis: NaN is not in 0..10000"],
] as const) {
  test(`refused: ${said}`, () => {
    const { faults } = withFaults(new World("bad").createRuntime(one, "m1"));
    assert.throws(
      () => faults.set(settings(given)),
      (thrown) => StatusError.from(thrown).message === said,
    );
    assert.deepEqual(faults.settings.peers, []);
  });
}
