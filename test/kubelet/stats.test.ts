/** What a kubelet says its pods use. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeStats } from "../../proto/gen/kubelet.ts";
import { type Look, NodeStatsWindow } from "../../services/kubelet/node/stats.ts";
import type { PodResourceUse, PodSandbox } from "../../services/kubelet/runtime/types.ts";

type Uses = Readonly<Record<string, readonly [cpuMillis: number, memory: number]>>;

/** Containers of the pod `web`, by id. */
function pod(uses: Uses): PodResourceUse {
  const containers = Object.entries(uses).map(([id, [cpuMillisTotal, memoryBytes]]) => {
    return { id, name: id.split("-")[0] ?? "", cpuMillisTotal, memoryBytes };
  });
  return { podUid: "u", containers, cpuMillisTotal: 0, memoryBytes: 0 };
}

const sandboxes = new Map([["u", { namespace: "default", name: "web" } as PodSandbox]]);

function look(millis: number, uses: Uses, more: Partial<Look> = {}): Look {
  return {
    ...{ monotonicMillis: millis, wallMillis: Date.UTC(2030, 0, 1) + millis },
    ...{ busyMillis: undefined, memoryBytes: 0, pods: [pod(uses)], sandboxes },
    ...more,
  };
}

test("use is averaged between two looks, for each container", () => {
  const window = new NodeStatsWindow();
  assert.deepEqual(window.latest, {});
  window.observe(look(0, { "a-0": [100, 1], "b-0": [0, 2] }));
  assert.equal(window.latest.time, undefined, "one look tells no rate");
  window.observe(look(2_000, { "a-0": [600, 10], "b-0": [1, 20] }, { memoryBytes: 30 }));
  assert.deepEqual(window.latest, {
    time: "2030-01-01T00:00:02.000000Z",
    windowMillis: 2_000,
    cpuNanoCores: 250_500_000,
    memoryBytes: 30,
    pods: [
      {
        ...{ namespace: "default", name: "web", uid: "u" },
        containers: [
          { name: "a", cpuNanoCores: 250_000_000, memoryBytes: 10 },
          { name: "b", cpuNanoCores: 500_000, memoryBytes: 20 },
        ],
      },
    ],
  });
});

test("a pod with a container that has just started is left out until the next look", () => {
  const window = new NodeStatsWindow();
  window.observe(look(0, { "a-0": [0, 1] }));
  window.observe(look(1_000, { "a-0": [5, 1], "b-0": [5, 1] }));
  assert.deepEqual(window.latest.pods, []);
  window.observe(look(2_000, { "a-0": [5, 1], "b-0": [10, 1] }));
  const [web] = (window.latest as NodeStats).pods ?? [];
  assert.equal(web?.containers?.[1]?.cpuNanoCores, 5_000_000);
  // A restarted container is another one.
  window.observe(look(3_000, { "a-1": [0, 1], "b-0": [10, 1] }));
  assert.deepEqual(window.latest.pods, []);
});

test("a look too soon is no look, a total that falls is no use", () => {
  const window = new NodeStatsWindow();
  window.observe(look(0, { "a-0": [100, 1] }));
  window.observe(look(999, { "a-0": [500, 1] }));
  assert.equal(window.latest.time, undefined);
  window.observe(look(1_000, { "a-0": [50, 1] }, { busyMillis: undefined }));
  assert.equal(window.latest.cpuNanoCores, 0);
});

test("a node that has its machine to itself uses what the machine uses", () => {
  const window = new NodeStatsWindow();
  window.observe(look(0, {}, { busyMillis: 1_000 }));
  window.observe(look(4_000, {}, { busyMillis: 7_000, memoryBytes: 7 }));
  assert.deepEqual([window.latest.cpuNanoCores, window.latest.memoryBytes], [1_500_000_000, 7]);
});
