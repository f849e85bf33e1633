import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createRpcServer } from "../../ha/rpc/mod.ts";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { StatusError } from "../../ha/runtime/status-error.ts";
import type { Pod, PodStatus, PodStatusReport } from "../../proto/gen/core.ts";
import { addDynamicService } from "../../services/apiserver/faces/grpc/dynamic.ts";
import type { Face } from "../../services/apiserver/faces/grpc/face.ts";
import { addTypedServices } from "../../services/apiserver/faces/grpc/typed.ts";
import { Liveness } from "../../services/apiserver/nodes/liveness.ts";
import { objectKey } from "../../services/apiserver/storage/keys.ts";
import { connectClient } from "../../services/client/mod.ts";
import { HollowFleet } from "../../services/kubelet/hollow/fleet.ts";
import { HollowPod } from "../../services/kubelet/hollow/pod.ts";
import { parseStages, Stages } from "../../services/kubelet/hollow/stages.ts";
import { admin, kind, make, pod as podDocument, quietLog, world } from "../apiserver/harness.ts";
import { eventually } from "../patience.ts";
import { FakeClock, silent } from "./support.ts";

describe("the stage file", () => {
  const wrong: readonly (readonly [yaml: string, words: RegExp])[] = [
    ["stages: []", /stages: must be a list of 1 to 1000 stages/],
    ["pods: []", /pods: unknown field; known are stages/],
    ["stages: [{runtime: 1s}]", /stages\[0\]\.runtime: unknown field/],
    ["stages: [{runTime: soon}]", /stages\[0\]\.runTime: "soon" is not a duration/],
    ["stages: [{runTime: 3s-1s}]", /stages\[0\]\.runTime: "3s-1s" must rise/],
    ["stages: [{runTime: 9000h}]", /last 168h at most/],
    ["stages: [{runTime: 3}]", /stages\[0\]\.runTime: must be a duration/],
    ["stages: [{exitCode: 256}]", /stages\[0\]\.exitCode: 256 is not a whole number in 0\.\.255/],
    ["stages: [{failureShare: 2}]", /stages\[0\]\.failureShare: 2 is not a number from 0 to 1/],
    ["stages: [{namespaces: a}]", /stages\[0\]\.namespaces: must be a list of names/],
    ["stages: [{selector: {app: a}}]", /stages\[0\]\.selector\.app: unknown field/],
    [
      "stages: [{selector: {matchExpressions: [{key: a, operator: Near}]}}]",
      /stages\[0\]\.selector\.matchExpressions\[0\]\.operator/,
    ],
  ];
  for (const [yaml, words] of wrong) {
    test(`refuses ${yaml}`, () => {
      assert.throws(
        () => parseStages(yaml),
        (error) => error instanceof StatusError && words.test(error.message),
      );
    });
  }

  test("the first stage that means a pod holds for it", () => {
    const stages = parseStages(`
stages:
- selector: { matchLabels: { app: a } }
  namespaces: [x]
  runTime: 1s-2s
- selector: { matchLabels: { app: a } }
  exitCode: 3
`);
    const a = { app: "a" };
    assert.deepEqual(stages.of({ namespace: "x", labels: a }).runTime, {
      least: 1_000,
      most: 2_000,
    });
    assert.equal(stages.of({ namespace: "y", labels: a }).exitCode, 3);
    const { runTime, exitCode } = stages.of({ namespace: "x", labels: {} });
    assert.deepEqual([runTime, exitCode], [undefined, 0]);
  });
});

function podOf(spec: object = {}, status?: PodStatus): Pod {
  const containers = [{ name: "c", image: "web:1" }];
  const metadata = { name: "p", namespace: "default", uid: "u1", labels: { app: "a" } };
  return { metadata, spec: { containers, ...spec }, ...(status && { status }) };
}

class PodWorld {
  readonly clock = new FakeClock();
  readonly reports: PodStatusReport[] = [];

  start(pod: Pod, stage?: string, random = 0): HollowPod {
    const stages = stage === undefined ? new Stages() : parseStages(`stages: [{${stage}}]`);
    const report = (each: PodStatusReport) => void this.reports.push(each);
    const context = { clock: this.clock, random: () => random, hostIP: "10.0.0.1" };
    return new HollowPod({ ...context, stages, report }, pod, { podIP: "10.128.0.1" });
  }

  get last(): PodStatusReport {
    return this.reports.at(-1) ?? {};
  }

  get state() {
    const { phase, containerStatuses: [container] = [] } = this.last.status ?? {};
    return { phase, count: container?.restartCount, ...container?.state };
  }
}

describe("a hollow pod", () => {
  test("runs after its start delay, and ends well after its time", async () => {
    const world = new PodWorld();
    world.start(podOf({ restartPolicy: "Never" }), "startDelay: 1s, runTime: 10s");
    await world.clock.advance(999);
    assert.equal(world.reports.length, 0);
    await world.clock.advance(1);
    assert.equal(world.state.phase, "Running");
    assert.equal(world.last.status?.podIP, "10.128.0.1");
    const ready = world.last.status?.conditions?.find(({ type }) => type === "Ready");
    assert.equal(ready?.status, "True");
    await world.clock.advance(10_000);
    assert.equal(world.state.phase, "Succeeded");
    assert.equal(world.state.terminated?.exitCode, 0);
    assert.equal(world.reports.length, 2);
  });

  test("that fails starts again, at once and then after the backoff", async () => {
    const world = new PodWorld();
    world.start(podOf(), "runTime: 1s, failureShare: 1, failureExitCode: 7");
    await world.clock.advance(1_000);
    assert.deepEqual([world.state.phase, world.state.count], ["Running", 1]);
    await world.clock.advance(1_000);
    assert.equal(world.state.waiting?.reason, "CrashLoopBackOff");
    const [container] = world.last.status?.containerStatuses ?? [];
    assert.equal(container?.lastState?.terminated?.exitCode, 7);
    await world.clock.advance(9_999);
    assert.equal(world.state.count, 1);
    await world.clock.advance(1);
    assert.equal(world.state.count, 2);
  });

  test("fails in the share that the stage says", async () => {
    const stage = "runTime: 1s, failureShare: 0.5, failureExitCode: 9";
    const drawn: readonly (readonly [number, number])[] = [
      [0.4, 9],
      [0.6, 0],
    ];
    for (const [random, code] of drawn) {
      const world = new PodWorld();
      world.start(podOf({ restartPolicy: "Never" }), stage, random);
      await world.clock.advance(1_000);
      assert.equal(world.state.terminated?.exitCode, code);
    }
  });

  test("passes through its init containers in one turn", () => {
    const world = new PodWorld();
    const initContainers = [{ name: "a" }, { name: "b" }];
    world.start(podOf({ initContainers }));
    assert.equal(world.reports.length, 1);
    assert.equal(world.state.phase, "Running");
    const inits = world.last.status?.initContainerStatuses ?? [];
    assert.deepEqual(
      inits.map(({ state }) => state?.terminated?.exitCode),
      [0, 0],
    );
  });

  test("that is deleted is reported as removed after its stop delay", async () => {
    const world = new PodWorld();
    const pod = podOf();
    const hollow = world.start(pod, "stopDelay: 2s");
    const deletion = { deletionTimestamp: "2026-01-01T00:00:00Z", deletionGracePeriodSeconds: 30 };
    hollow.update({ ...pod, metadata: { ...pod.metadata, ...deletion } });
    await world.clock.advance(1_999);
    assert.equal(world.last.removed, undefined);
    await world.clock.advance(1);
    assert.equal(world.last.removed, true);
    assert.equal(world.state.terminated?.exitCode, 0);
  });

  test("that does not stop within its grace is killed", async () => {
    const world = new PodWorld();
    const pod = podOf();
    const hollow = world.start(pod, "stopDelay: 60s");
    const deletion = { deletionTimestamp: "2026-01-01T00:00:00Z", deletionGracePeriodSeconds: 5 };
    hollow.update({ ...pod, metadata: { ...pod.metadata, ...deletion } });
    await world.clock.advance(5_000);
    assert.deepEqual([world.last.removed, world.state.terminated?.exitCode], [true, 137]);
  });

  test("ends at its deadline", async () => {
    const world = new PodWorld();
    world.start(podOf({ activeDeadlineSeconds: 3 }));
    await world.clock.advance(3_000);
    assert.deepEqual(
      [world.state.phase, world.last.status?.reason],
      ["Failed", "DeadlineExceeded"],
    );
  });

  test("goes on from what an earlier process has reported", async () => {
    const before = new PodWorld();
    before.start(podOf({ restartPolicy: "Never" }), "runTime: 10s");
    const after = new PodWorld();
    await after.clock.advance(4_000);
    const { status } = before.last;
    after.start(podOf({ restartPolicy: "Never" }, status), "runTime: 10s");
    await after.clock.advance(5_999);
    assert.equal(after.state.phase, "Running");
    await after.clock.advance(1);
    assert.equal(after.state.phase, "Succeeded");
  });
});

test("a fleet registers, runs what it is given, and lets go of what is deleted", async () => {
  await using space = await world();
  const { backend } = space;
  const stopping = new AbortController();
  const liveness = new Liveness(backend, { minMillis: 10 });
  const authenticators = [{ name: "test", authenticate: () => admin }];
  const face: Face = {
    ...{ backend, authenticators, heartbeats: liveness, kubeletTls: undefined },
    ...{ snapshot: undefined, stopping: stopping.signal },
  };
  const server = createRpcServer({ log: quietLog });
  addTypedServices(server, face);
  addDynamicService(server, face);
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const client = connectClient({ servers: [`127.0.0.1:${port}`], log: silent });
  const fleet = new HollowFleet({
    ...{ clients: [client], clock: productionClock, log: silent, random: () => 0.5 },
    ...{ count: 3, namePrefix: "h-", zones: 2, stages: new Stages() },
    node: {
      ...{ nodeIP: "127.0.0.1", secondNodeIP: "::1", port: 0, maxPods: 10, labels: {} },
      ...{ taints: [], reserved: {} },
      ...{ capacityCpu: "4", capacityMemory: "8Gi", runtimeVersion: "hollow://1" },
      kubeletVersion: "v1.33.0",
    },
  });
  try {
    await fleet.start();
    assert.deepEqual([fleet.registered, fleet.connected], [3, 3]);
    const nodes = (await client.nodes.list()).items;
    const zones = nodes.map(({ metadata }) => metadata?.labels?.["topology.kubernetes.io/zone"]);
    assert.deepEqual(zones, ["zone-0", "zone-1", "zone-0"]);
    assert.deepEqual(nodes[1]?.spec?.podCIDRs, ["10.128.1.0/24", "fd00:a80:0:1::/64"]);
    await make(backend, podDocument("web", {}, { nodeName: "h-1" }));
    const stored = () =>
      backend.cache.of(kind("pod")).get(objectKey(kind("pod"), "default", "web"));
    const status = () => stored()?.document["status"] as PodStatus | undefined;
    await eventually("the pod runs", () => status()?.phase === "Running");
    assert.deepEqual(status()?.podIPs, [{ ip: "10.128.1.1" }, { ip: "fd00:a80:0:1::1" }]);
    assert.deepEqual(status()?.hostIPs, [{ ip: "127.0.0.1" }, { ip: "::1" }]);
    await client.pods.delete("web", "default");
    await eventually("the pod is gone", () => stored() === undefined);
  } finally {
    await fleet.close();
    client.close();
    stopping.abort();
    await server.close();
    await liveness.close();
  }
});
