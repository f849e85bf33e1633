import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  evictionDefaults,
  type Measurements,
  parseThresholds,
} from "../../services/kubelet/eviction/thresholds.ts";
import { measureMachine, NodeHealth } from "../../services/kubelet/node/health.ts";
import type { RuntimeStatus } from "../../services/kubelet/runtime/types.ts";

const roomy = { free: 2 ** 40, total: 2 ** 40 };

function harness() {
  const world = {
    now: Date.UTC(2026, 0, 1),
    machine: {} as Measurements,
    failure: undefined as Error | undefined,
    runtime: { runtimeReady: true, networkReady: true } as RuntimeStatus,
  };
  const health = new NodeHealth({
    runtime: { status: async () => world.runtime },
    machine: async () => {
      if (world.failure !== undefined) throw world.failure;
      return world.machine;
    },
    eviction: evictionDefaults,
    now: () => world.now,
  });
  const condition = (type: string) => health.conditions(undefined).find((one) => one.type === type);
  const look = async (machine: Measurements = world.machine) => {
    world.machine = machine;
    await health.measure();
  };
  return { world, health, condition, look };
}

describe("node health", () => {
  test("a node is not ready before it has been measured, and ready when all is well", async () => {
    const h = harness();
    assert.equal(h.condition("Ready")?.status, "False");
    await h.look({ "memory.available": roomy, "nodefs.available": roomy });
    const statuses = h.health.conditions(undefined).map(({ type, status }) => `${type}=${status}`);
    assert.deepEqual(statuses, [
      "MemoryPressure=False",
      "DiskPressure=False",
      "PIDPressure=False",
      "Ready=True",
    ]);
  });

  const pressures: readonly [string, Measurements][] = [
    ["MemoryPressure", { "memory.available": { free: 99 * 2 ** 20, total: 2 ** 34 } }],
    ["DiskPressure", { "nodefs.available": { free: 9, total: 100 } }],
    ["DiskPressure", { "nodefs.inodesFree": { free: 4, total: 100 } }],
    ["PIDPressure", { "pid.available": { free: 4, total: 100 } }],
  ];
  for (const [type, machine] of pressures) {
    test(`${type} from ${Object.keys(machine)}, held for five minutes`, async () => {
      const h = harness();
      await h.look(machine);
      assert.equal(h.condition(type)?.status, "True");
      assert.equal(h.condition("Ready")?.status, "True");
      await h.look({});
      h.world.now += 299_000;
      assert.equal(h.condition(type)?.status, "True");
      h.world.now += 1_000;
      assert.equal(h.condition(type)?.status, "False");
    });
  }

  test("a runtime that cannot work, and a machine that cannot be measured, are not ready", async () => {
    const h = harness();
    h.world.runtime = {
      runtimeReady: { reason: "StateNotWritable", message: "EROFS" },
      networkReady: true,
    };
    await h.look();
    assert.deepEqual(
      [h.condition("Ready")?.reason, h.condition("Ready")?.message],
      ["KubeletNotReady", "StateNotWritable: container runtime is not ready: EROFS"],
    );
    h.world.failure = new Error("no such directory");
    await h.look();
    assert.match(h.condition("Ready")?.message ?? "", /no such directory/);
  });

  test("time alone changes no condition", async () => {
    const h = harness();
    await h.look();
    const before = h.health.conditions(undefined);
    h.world.now += 60_000;
    assert.deepEqual(h.health.conditions({ conditions: before }), before);
  });

  test("this machine is measured", async () => {
    const measured = await measureMachine("/tmp");
    for (const signal of ["memory.available", "nodefs.available", "pid.available"] as const) {
      const room = measured[signal];
      assert.ok(room !== undefined && room.free > 0 && room.free <= room.total, signal);
    }
  });

  test("thresholds: amounts, shares, and what is neither", () => {
    assert.deepEqual(parseThresholds("memory.available<1Gi,pid.available<2.5%", "--e"), {
      "memory.available": { units: 2 ** 30 },
      "pid.available": { share: 0.025 },
    });
    assert.deepEqual(parseThresholds("", "--e"), {});
    for (const bad of ["memory.available", "cpu<1", "pid.available<x"]) {
      assert.throws(() => parseThresholds(bad, "--eviction-hard"), /--eviction-hard: "/, bad);
    }
  });
});
