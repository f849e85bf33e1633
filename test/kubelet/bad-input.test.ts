/** What strangers and broken machines do to a kubelet: told clearly, bounded, and others go on. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Pod } from "../../proto/gen/core.ts";
import type { ProbeOutcome } from "../../services/kubelet/pod/probes.ts";
import { eventually } from "../patience.ts";
import { settle } from "./support.ts";
import { harness, main, podOf } from "./worker-harness.ts";

const unavailable = () => {
  throw new StatusError(Code.unavailable, "connection refused");
};

function ending(pod: Pod): Pod {
  const deletion = {
    deletionTimestamp: "2026-01-01T00:00:00Z",
    deletionGracePeriodSeconds: 1,
  };
  return { ...pod, metadata: { ...pod.metadata, ...deletion } };
}

describe("a pod of a thousand containers", () => {
  test("starts one after the other, and a failing one does not keep the others", async () => {
    const containers = Array.from({ length: 1_000 }, (_, at) => ({
      ...main,
      name: `c${at}`,
    }));
    const h = harness(podOf({ containers }));
    h.runtime.broken.add("c500");
    let under = 0;
    let most = 0;
    const start = h.runtime.startContainer.bind(h.runtime);
    h.runtime.startContainer = async (id) => {
      most = Math.max(most, ++under);
      await start(id);
      under -= 1;
    };
    h.worker.wake();
    const running = () =>
      (h.status().containerStatuses ?? []).filter(({ state }) => state?.running).length;
    await eventually("they run", () => running() === 999);
    assert.equal(most, 1);
    assert.equal(h.status().containerStatuses?.length, 1_000);
    assert.ok(h.reports.length < 1_000, `${h.reports.length} reports`);
  });
});

describe("a disk that is full", () => {
  test("is told with the container, which starts when there is room again", async () => {
    const h = harness(podOf({ containers: [main] }));
    const create = h.runtime.createContainer.bind(h.runtime);
    h.runtime.createContainer = async () => {
      throw new Error("ENOSPC: no space left on device, write");
    };
    await h.begin();
    const { waiting } = h.state()?.state ?? {};
    assert.equal(waiting?.reason, "CreateContainerError");
    assert.match(waiting?.message ?? "", /ENOSPC: no space left on device/);
    assert.match(h.messages.at(-1) ?? "", /^Failed: Error: ENOSPC/);
    h.runtime.createContainer = create;
    await h.clock.advance(1_000);
    await eventually("it runs", () => h.state()?.state?.running !== undefined);
  });
});

describe("a runtime that dies", () => {
  test("keeps a new pod waiting, with the reason, until it returns", async () => {
    const h = harness(podOf({ containers: [main] }));
    const run = h.runtime.runSandbox.bind(h.runtime);
    h.runtime.runSandbox = async () => unavailable();
    await h.begin();
    assert.equal(h.status().phase, "Pending");
    assert.deepEqual(h.messages, [
      "FailedCreatePodSandBox: Failed to create pod sandbox: connection refused",
    ]);
    await h.clock.advance(60_000);
    assert.ok(h.messages.length < 10, "with growing pauses");
    h.runtime.runSandbox = run;
    await h.clock.advance(30_000);
    await eventually("it runs", () => h.state()?.state?.running !== undefined);
  });

  test("does not end what runs, and a stop under way is asked for again", async () => {
    const h = harness(podOf({ containers: [main] }));
    await h.begin();
    const stop = h.runtime.stopContainer.bind(h.runtime);
    h.runtime.stopContainer = async () => unavailable();
    h.worker.update(ending(h.worker.pod));
    await settle();
    assert.ok(h.state()?.state?.running);
    h.runtime.stopContainer = stop;
    const stops = () => h.messages.filter((text) => text.startsWith("FailedKillPod"));
    assert.deepEqual(stops(), ["FailedKillPod: error killing pod: connection refused"]);
    await h.clock.advance(1_000);
    await eventually("the end is told", () => h.worker.removedReported);
    assert.ok(h.state()?.state?.terminated);
  });
});

describe("a probe that hangs", () => {
  test("is asked once, keeps its own container from being ready, and no other, nor the end", async () => {
    const probeOf = (name: string) => ({ exec: { command: [name] }, periodSeconds: 1 });
    const other = { ...main, name: "other", readinessProbe: probeOf("quick") };
    const h = harness(
      podOf({ containers: [{ ...main, readinessProbe: probeOf("hangs") }, other] }),
    );
    const { promise, resolve } = Promise.withResolvers<ProbeOutcome>();
    h.probe.slow.set("hangs", promise);
    await h.begin();
    for (let second = 0; second < 30; second++) await h.clock.advance(1_000);
    const runs = (name: string) => h.probe.runs.filter((run) => run.includes(name)).length;
    assert.equal(runs("hangs"), 1, "not again beside itself");
    assert.ok(runs("quick") > 20, `${runs("quick")} runs`);
    assert.deepEqual([h.state()?.ready, h.state("other")?.ready], [false, true]);
    resolve({ ok: false, message: 'command "hangs" timed out' });
    await settle();
    assert.match(h.messages.at(-1) ?? "", /^Unhealthy: Readiness probe failed: .*timed out/);
    h.probe.slow.set("hangs", new Promise(() => undefined));
    await h.clock.advance(1_000);
    h.worker.update(ending(h.worker.pod));
    await eventually("the end is told", () => h.worker.removedReported);
  });
});

describe("a volume that cannot be mounted", () => {
  test("is named, nothing starts, and it is tried again with growing pauses", async () => {
    const volumes = [{ name: "v", hostPath: { path: "/proc/version", type: "Directory" } }];
    const h = harness(podOf({ containers: [main], volumes }));
    await h.begin();
    assert.deepEqual(h.messages, [
      'FailedMount: MountVolume.SetUp failed for volume "v" : hostPath type check failed: ' +
        "/proc/version is not a directory",
    ]);
    await h.clock.advance(120_000);
    assert.ok(h.messages.length > 3 && h.messages.length < 12, `${h.messages.length} events`);
    assert.deepEqual(h.starts(), []);
    assert.equal(h.state()?.state?.waiting?.reason, "ContainerCreating");
  });
});
