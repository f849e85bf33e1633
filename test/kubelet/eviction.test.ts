import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { Pod, PodSpec } from "../../proto/gen/core.ts";
import { EvictionManager } from "../../services/kubelet/eviction/manager.ts";
import { evictionMessage, isCritical, ranked } from "../../services/kubelet/eviction/ranking.ts";
import {
  checkSettings,
  evictionDefaults,
  type MetThreshold,
  parseGracePeriods,
  parseReclaim,
  parseThresholds,
  ThresholdWatch,
} from "../../services/kubelet/eviction/thresholds.ts";
import { eventually } from "../patience.ts";
import { settle, silent } from "./support.ts";
import { harness, main, podOf, podsDir } from "./worker-harness.ts";

const gibibyte = 2 ** 30;
const memory = (free: number) => ({ "memory.available": { free, total: 16 * gibibyte } });

describe("eviction thresholds", () => {
  test("a hard one is due at once, and until more than it is free again", () => {
    const watch = new ThresholdWatch({
      ...evictionDefaults,
      hard: parseThresholds("memory.available<1Gi", "--eviction-hard"),
      minimumReclaim: parseReclaim("memory.available=512Mi", "--eviction-minimum-reclaim"),
    });
    watch.observe(memory(gibibyte), 0);
    assert.deepEqual(watch.due, [], "not below");
    watch.observe(memory(gibibyte - 1), 1);
    const due = { signal: "memory.available", isHard: true, quantity: gibibyte };
    assert.deepEqual(watch.due, [{ ...due, available: gibibyte - 1 }]);
    watch.observe(memory(1.4 * gibibyte), 2);
    assert.equal(watch.due.length, 1, "half a gibibyte more is to be free");
    watch.observe(memory(1.5 * gibibyte), 3);
    assert.deepEqual(watch.due, []);
  });

  test("a soft one is met at once, and due after its grace period", () => {
    const watch = new ThresholdWatch({
      ...evictionDefaults,
      hard: {},
      soft: parseThresholds("memory.available<10%", "--eviction-soft"),
      softGraceMillis: parseGracePeriods("memory.available=1m30s", "--g"),
    });
    const states = [0, 89_999, 90_000].map((now) => {
      watch.observe(memory(gibibyte), now);
      return [watch.met.length, watch.due.length];
    });
    assert.deepEqual(states, [
      [1, 0],
      [1, 0],
      [1, 1],
    ]);
    watch.observe(memory(2 * gibibyte), 90_001);
    watch.observe(memory(gibibyte), 90_002);
    assert.deepEqual(watch.due, [], "the grace period begins anew");
  });

  test("settings that say too little, or nonsense", () => {
    const soft = parseThresholds("memory.available<1Gi", "--eviction-soft");
    assert.throws(() => checkSettings({ ...evictionDefaults, soft }), {
      message: /grace period must be specified for the soft eviction threshold memory.available/,
    });
    assert.throws(() => parseGracePeriods("memory.available=x", "--g"), /--g/);
    assert.throws(() => parseReclaim("memory.available<1", "--r"), /--r: "memory.available<1"/);
  });
});

const podNamed = (name: string, spec: PodSpec = {}): Pod => ({
  metadata: { name, uid: name },
  spec: { containers: [{ name: "c" }], ...spec },
});
const requests = (amount: string): PodSpec => ({
  containers: [{ name: "c", resources: { requests: { memory: amount } } }],
});
const uses = (total: number) => ({ total, containers: [{ name: "c", amount: total }] });
const low: MetThreshold = {
  ...{ signal: "memory.available", isHard: true },
  ...{ quantity: 100 * 2 ** 20, available: 51_244 * 1024 },
};

describe("the order and the words of evictions", () => {
  test("who exceeds its request first, then by priority, then by how much", () => {
    const of = (pod: Pod, total: number) => ({ pod, use: uses(total) });
    const order = ranked(
      [
        of(podNamed("within", requests("1Gi")), gibibyte / 2),
        of(podNamed("important", { priority: 10 }), 8 * gibibyte),
        of(podNamed("small"), gibibyte),
        of(podNamed("large"), 2 * gibibyte),
        of(podNamed("within and unimportant", { ...requests("1Gi"), priority: -1 }), 1),
      ],
      "memory",
    );
    const names = order.map(({ pod }) => pod.metadata?.name);
    const expected = ["large", "small", "important", "within and unimportant", "within"];
    assert.deepEqual(names, expected);
  });

  test("the message", () => {
    const candidate = { pod: podNamed("p", requests("10Mi")), use: uses(30 * 2 ** 20) };
    assert.equal(
      evictionMessage(candidate, low),
      "The node was low on resource: memory. Threshold quantity: 100Mi, available: 51244Ki. " +
        "Container c was using 30Mi, request is 10Mi, has larger consumption of memory. ",
    );
    const pids = { ...low, signal: "pid.available", quantity: 10.4, available: 3 } as const;
    assert.equal(
      evictionMessage(candidate, pids),
      "The node was low on resource: pids. Threshold quantity: 10, available: 3. ",
    );
  });

  test("static pods and the system's are critical", () => {
    assert.equal(isCritical(podNamed("p"), false), false);
    assert.equal(isCritical(podNamed("p"), true), true);
    assert.equal(isCritical(podNamed("p", { priority: 2_000_000_000 }), false), true);
  });
});

describe("the eviction manager", () => {
  function manager(amounts: Readonly<Record<string, number>>) {
    const world = { now: 0, reclaims: 0, told: [] as string[], evicted: [] as string[] };
    const pods = Object.keys(amounts).map((name) => ({
      pod: podNamed(name),
      active: true,
      evict(_message: string, graceMillis: number) {
        world.evicted.push(`${name} ${graceMillis}`);
      },
    }));
    const evictions = new EvictionManager({
      settings: { maxPodGraceMillis: 5_000 },
      pods: () => pods,
      isStatic: (of) => of === "static",
      use: async () =>
        new Map(Object.entries(amounts).map(([name, amount]) => [name, uses(amount)])),
      reclaimDisk: async () => {
        world.reclaims += 1;
      },
      tell: (reason, message) => world.told.push(`${reason}: ${message}`),
      now: () => world.now,
      log: silent,
    });
    return { world, pods, evictions };
  }

  test("one pod at a time, never a static one", async () => {
    const { world, pods, evictions } = manager({ a: 1, b: 2, static: 3 });
    await evictions.synchronise([]);
    assert.deepEqual(world.evicted, []);
    await evictions.synchronise([low]);
    assert.deepEqual(world.evicted, ["b 1000"]);
    assert.deepEqual(world.told, ["EvictionThresholdMet: Attempting to reclaim memory"]);
    await evictions.synchronise([low]);
    assert.equal(world.evicted.length, 1, "the first is still going");
    const [, second] = pods;
    if (second !== undefined) second.active = false;
    await evictions.synchronise([{ ...low, isHard: false }]);
    assert.deepEqual(world.evicted, ["b 1000", "a 5000"], "a soft threshold gives some grace");
    world.now += 100_000;
    await evictions.synchronise([low]);
    assert.deepEqual(world.evicted.length, 3, "one that does not end is not waited for forever");
  });

  test("of a full disk what no pod uses goes first", async () => {
    const { world, evictions } = manager({ a: 1 });
    const full = { ...low, signal: "nodefs.available" } as const;
    await evictions.synchronise([full]);
    assert.deepEqual([world.reclaims, world.evicted.length], [1, 0]);
    await evictions.synchronise([full]);
    assert.deepEqual([world.reclaims, world.evicted.length], [1, 1]);
    await evictions.synchronise([]);
    world.now += 100_000;
    await evictions.synchronise([full]);
    assert.equal(world.reclaims, 2, "a new shortage begins anew");
  });
});

describe("an evicted pod", () => {
  test("fails with the message, after a second, with the condition of a disruption", async () => {
    const h = harness(podOf({ containers: [main] }));
    await h.begin();
    h.worker.evict("The node was low. ", 1_000);
    await settle();
    assert.ok(h.runtime.calls.includes("stop main 1000"));
    const { phase, reason, message, conditions = [] } = h.status();
    assert.deepEqual([phase, reason, message], ["Failed", "Evicted", "The node was low. "]);
    const condition = conditions.find(({ type }) => type === "DisruptionTarget");
    assert.deepEqual(
      [condition?.status, condition?.reason, condition?.message],
      ["True", "TerminationByKubelet", "The node was low. "],
    );
    assert.ok(h.messages.includes("Evicted: The node was low. "));
    h.worker.evict("again", 0);
    await settle();
    assert.equal(h.status().message, "The node was low. ");
  });

  test("so does one that keeps more on disk than its limit", async () => {
    const limited = (limit: string) => ({
      ...main,
      resources: { limits: { "ephemeral-storage": limit } },
    });
    const use = (bytes: number) => ({ bytes, entries: 1 });
    const cases = [
      [50_000, "1Ki", /^Pod ephemeral local storage usage exceeds .* of containers 1Ki\. $/],
      [200, "1Mi", undefined],
    ] as const;
    for (const [bytes, limit, expected] of cases) {
      const volumes = [{ name: "v", emptyDir: {} }];
      const own = `disk-${bytes}`;
      const h = harness(podOf({ volumes, containers: [limited(limit)] }, { uid: own }));
      h.runtime.diskUse = async () => ({
        containers: [{ name: "main", use: use(bytes) }],
        shared: use(0),
      });
      await h.begin();
      await eventually("it runs", () => h.status().phase === "Running");
      writeFileSync(join(podsDir, own, "volumes", "v", "file"), "x");
      await h.clock.advance(10_000);
      if (expected === undefined) assert.equal(h.status().phase, "Running");
      else {
        await eventually("it is over", () => h.status().phase === "Failed");
        assert.match(h.status().message ?? "", expected);
      }
      h.worker.close();
    }
  });
});
