import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Container, PodSpec } from "../../proto/gen/core.ts";
import { refuseResize } from "../../services/kubelet/node/admission.ts";
import { settle } from "./support.ts";
import { harness, main, podOf } from "./worker-harness.ts";

const amounts = (cpu: string, memory = "64Mi") => ({
  requests: { cpu, memory },
  limits: { cpu, memory },
});
const sized = (cpu: string, memory?: string, more: Partial<Container> = {}): PodSpec => ({
  containers: [{ ...main, resources: amounts(cpu, memory), ...more }],
});
const condition = (h: ReturnType<typeof harness>, type: string) => {
  const found = h.status().conditions?.find((one) => one.type === type);
  return found && [found.status, found.reason, found.message];
};
const updates = (h: ReturnType<typeof harness>) =>
  h.runtime.calls.filter((call) => call.startsWith("update "));

describe("a resize of a running pod", () => {
  test("gives the container its new limits, and the status tells them", async () => {
    const id = { uid: "resize-a" };
    const h = harness(podOf(sized("100m"), id));
    await h.begin();
    assert.deepEqual(h.state()?.resources, amounts("100m"));
    assert.deepEqual(h.state()?.allocatedResources, amounts("100m").requests);
    assert.deepEqual(updates(h), []);
    h.worker.update(podOf(sized("200m", "128Mi"), id));
    await settle();
    assert.deepEqual(updates(h), [`update main 200 ${128 * 2 ** 20}`]);
    assert.deepEqual(h.state()?.resources, amounts("200m", "128Mi"));
    assert.equal(h.state()?.restartCount, 0);
    assert.equal(condition(h, "PodResizePending"), undefined);
    assert.equal(condition(h, "PodResizeInProgress"), undefined);
    h.worker.close();
    const again = harness(podOf(sized("200m", "128Mi"), id));
    assert.deepEqual(again.worker.pod.spec?.containers?.[0]?.resources, amounts("200m", "128Mi"));
  });

  test("waits while the node has no room, and what runs stays as it is", async () => {
    const id = { uid: "resize-b" };
    const h = harness(podOf(sized("100m"), id));
    await h.begin();
    h.resize.refusal = { reason: "Deferred", message: "no room" };
    h.worker.update(podOf(sized("900m"), id));
    await settle();
    assert.deepEqual(condition(h, "PodResizePending"), ["True", "Deferred", "no room"]);
    assert.deepEqual(h.state()?.allocatedResources, amounts("100m").requests);
    assert.deepEqual(updates(h), []);
    assert.deepEqual(h.worker.pod.spec?.containers?.[0]?.resources, amounts("100m"));
    h.resize.refusal = undefined;
    await h.clock.advance(30_000);
    assert.equal(condition(h, "PodResizePending"), undefined);
    assert.deepEqual(updates(h), [`update main 900 ${64 * 2 ** 20}`]);
  });

  test("is in progress until the runtime has done it", async () => {
    const id = { uid: "resize-c" };
    const h = harness(podOf(sized("100m"), id));
    await h.begin();
    h.runtime.unchangeable = true;
    h.worker.update(podOf(sized("50m"), id));
    await settle();
    const busy = "container main: device or resource busy";
    assert.deepEqual(condition(h, "PodResizeInProgress"), ["True", "Error", busy]);
    assert.deepEqual(h.state()?.resources, amounts("100m"), "what it really has");
    assert.deepEqual(h.state()?.allocatedResources, amounts("50m").requests);
    h.runtime.unchangeable = false;
    await h.clock.advance(1_000);
    assert.equal(condition(h, "PodResizeInProgress"), undefined);
    assert.deepEqual(h.state()?.resources, amounts("50m"));
  });

  test("starts the container anew where its policy says so", async () => {
    const id = { uid: "resize-d" };
    const resizePolicy = [{ resourceName: "memory", restartPolicy: "RestartContainer" }];
    const h = harness(podOf(sized("100m", "64Mi", { resizePolicy }), id));
    await h.begin();
    h.worker.update(podOf(sized("150m", "64Mi", { resizePolicy }), id));
    await settle();
    assert.equal(h.state()?.restartCount, 0, "cpu needs no restart");
    h.worker.update(podOf(sized("150m", "128Mi", { resizePolicy }), id));
    await settle();
    await settle();
    assert.equal(h.state()?.restartCount, 1);
    assert.ok(h.messages.includes("Killing: Container main resize requires restart"));
    const latest = [...h.runtime.configs.values()].at(-1);
    assert.equal(latest?.memoryLimitBytes, 128 * 2 ** 20);
    assert.deepEqual(h.state()?.resources, amounts("150m", "128Mi"));
  });

  test("more than the node has is infeasible, more than is free deferred", () => {
    const allocatable = { cpu: 1_000, memory: 2 ** 30, pods: 10 };
    const pod = (cpu: string, memory = "1Mi") => podOf(sized(cpu, memory));
    const refuse = (cpu: string, memory?: string) =>
      refuseResize(pod(cpu, memory), [pod("600m")], allocatable);
    assert.equal(refuse("400m"), undefined);
    assert.deepEqual(refuse("1100m"), {
      reason: "Infeasible",
      message: "Node didn't have enough capacity: cpu, requested: 1100, capacity: 1000",
    });
    assert.equal(refuse("1100m", "2Gi")?.message.includes("capacity: memory, requested"), true);
    assert.deepEqual(refuse("500m"), {
      reason: "Deferred",
      message: "Node didn't have enough resource: cpu, requested: 500, used: 600, capacity: 1000",
    });
  });
});
