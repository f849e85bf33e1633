import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { podIPsOf } from "../../services/kubelet/pod/pod-ips.ts";
import { PodWorker } from "../../services/kubelet/pod/worker.ts";
import { eventually } from "../patience.ts";
import { settle, silent } from "./support.ts";
import { harness, main, podOf, podsDir, uid, workers } from "./worker-harness.ts";

describe("pod worker", () => {
  test("a running pod is reported in full", async () => {
    const h = harness(podOf({ containers: [main] }, { generation: 3 }));
    await h.begin();
    const time = "2026-01-01T00:00:00Z";
    const is = (type: string) => ({ type, status: "True", lastTransitionTime: time });
    assert.deepEqual(h.status(), {
      phase: "Running",
      conditions: [
        is("PodReadyToStartContainers"),
        is("Initialized"),
        is("Ready"),
        is("ContainersReady"),
        is("PodScheduled"),
      ],
      hostIP: "127.0.0.1",
      hostIPs: [{ ip: "127.0.0.1" }],
      startTime: time,
      qosClass: "BestEffort",
      containerStatuses: [
        {
          name: "main",
          image: "i",
          imageID: "sha256:i",
          ready: true,
          restartCount: 0,
          started: true,
          state: { running: { startedAt: time } },
          lastState: {},
          containerID: "fake://main-0-1",
          resources: {},
        },
      ],
      observedGeneration: 3,
      podIP: "127.64.0.1",
      podIPs: [{ ip: "127.64.0.1" }],
    });
    assert.equal(h.reports.length, 1, "one report, not one for each step");
    assert.ok(h.events.includes("Normal Started"));
  });

  test("a pod whose network has both families shows both addresses", async () => {
    const fieldRef = { fieldPath: "status.podIPs" };
    const env = [{ name: "IPS", valueFrom: { fieldRef } }];
    const h = harness(podOf({ containers: [{ ...main, env }] }));
    const run = h.runtime.runSandbox.bind(h.runtime);
    const both = { address: "10.1.0.2", secondAddress: "fd00::2" };
    const sandboxes = h.runtime.sandboxes.bind(h.runtime);
    h.runtime.runSandbox = async (config) => ({ ...(await run(config)), ...both });
    h.runtime.sandboxes = () => sandboxes().map((sandbox) => ({ ...sandbox, ...both }));
    const create = h.runtime.createContainer.bind(h.runtime);
    let told: unknown;
    h.runtime.createContainer = (config) => {
      told = config.env;
      return create(config);
    };
    await h.begin();
    assert.deepEqual(h.status().podIPs, [{ ip: "10.1.0.2" }, { ip: "fd00::2" }]);
    assert.match(JSON.stringify(told), /10\.1\.0\.2,fd00::2/);
  });

  test("a node of both families gives both in its order, and both of its own", async () => {
    const paths = ["status.podIPs", "status.podIP", "status.hostIPs", "status.hostIP"];
    const env = paths.map((fieldPath) => ({
      name: fieldPath,
      valueFrom: { fieldRef: { fieldPath } },
    }));
    const h = harness(
      podOf({ containers: [{ ...main, env }] }),
      { address: "10.1.0.2", secondAddress: "fd00::2" },
      { hostIP: "fd00:1::1", secondHostIP: "10.0.0.1" },
    );
    await h.begin();
    const { podIP, podIPs, hostIP, hostIPs } = h.status();
    assert.deepEqual([podIP, hostIP], ["fd00::2", "fd00:1::1"]);
    assert.deepEqual(podIPs, [{ ip: "fd00::2" }, { ip: "10.1.0.2" }]);
    assert.deepEqual(hostIPs, [{ ip: "fd00:1::1" }, { ip: "10.0.0.1" }]);
    const [config] = h.runtime.configs.values();
    const told = paths.map((path) => config?.env[path]);
    assert.deepEqual(told, ["fd00::2,10.1.0.2", "fd00::2", "fd00:1::1,10.0.0.1", "fd00:1::1"]);
    const hosts = config?.mounts.find(({ containerPath }) => containerPath === "/etc/hosts");
    const lines = readFileSync(hosts?.hostPath ?? "", "utf8").split("\n");
    assert.deepEqual(
      lines.filter((line) => line.endsWith("\tp")),
      ["fd00::2\tp", "10.1.0.2\tp"],
    );
  });

  test("a pod on the node's network has the node's addresses", async () => {
    const both = { hostIP: "10.0.0.1", secondHostIP: "fd00::1" };
    const h = harness(podOf({ hostNetwork: true, containers: [main] }), { address: "" }, both);
    await h.begin();
    assert.deepEqual(h.status().podIPs, [{ ip: "10.0.0.1" }, { ip: "fd00::1" }]);
    const began = { address: "10.0.0.1", hostNetwork: true };
    assert.deepEqual(podIPsOf(began, both), { podIP: "10.0.0.1", secondPodIP: "fd00::1" });
    const turned = { hostIP: "fd00::1", secondHostIP: "10.0.0.1" };
    assert.deepEqual(podIPsOf(began, turned), { podIP: "10.0.0.1", secondPodIP: "fd00::1" });
    assert.deepEqual(podIPsOf({ ...began, hostNetwork: false }, both), { podIP: "10.0.0.1" });
  });

  test("restarts at once, then after 10 s, 20 s, … 300 s, and from the start after 10 minutes", async () => {
    const h = harness(podOf({ containers: [main] }));
    await h.begin();
    const crash = async () => {
      h.runtime.end("main", 1);
      await settle();
    };
    await crash();
    assert.deepEqual(h.starts(), ["start main/0", "start main/1"]);
    for (const [round, seconds] of [10, 20, 40, 80, 160, 300, 300].entries()) {
      await crash();
      const { waiting } = h.state()?.state ?? {};
      assert.equal(waiting?.reason, "CrashLoopBackOff");
      assert.match(waiting?.message ?? "", /restarting failed container=main pod=p_d\(u1\)/);
      assert.equal(h.state()?.lastState?.terminated?.exitCode, 1);
      assert.equal(h.condition("Ready"), "False");
      assert.equal(h.status().phase, "Running");
      await h.clock.advance(seconds * 1000 - 1);
      assert.equal(h.starts().length, round + 2, `not before ${seconds} s`);
      await h.clock.advance(1);
      assert.equal(h.starts().length, round + 3, `after ${seconds} s`);
    }
    assert.equal(h.state()?.restartCount, 8);
    await h.clock.advance(600_001);
    await crash();
    assert.equal(h.starts().length, 10, "the first restart is immediate again");
  });

  test("restart policies decide the phase", async () => {
    const never = harness(podOf({ restartPolicy: "Never", containers: [main] }));
    await never.begin();
    never.runtime.end("main", 3);
    await settle();
    assert.equal(never.status().phase, "Failed");
    assert.equal(never.state()?.state?.terminated?.exitCode, 3);
    assert.deepEqual(never.starts(), ["start main/0"]);
    assert.ok(never.runtime.calls.includes("stopSandbox"), "the address is given back");

    const onFailure = harness(podOf({ restartPolicy: "OnFailure", containers: [main] }));
    await onFailure.begin();
    onFailure.runtime.end("main", 3);
    await settle();
    assert.deepEqual(onFailure.starts(), ["start main/0", "start main/1"]);
    onFailure.runtime.end("main", 0);
    await settle();
    assert.equal(onFailure.status().phase, "Succeeded");
    const ready = onFailure.status().conditions?.find(({ type }) => type === "Ready");
    assert.equal(ready?.reason, "PodCompleted");
  });

  test("init containers run one after another, sidecars stay, then the main ones start", async () => {
    const init = (name: string, more = {}) => ({ ...main, name, ...more });
    const h = harness(
      podOf({
        initContainers: [init("one"), init("side", { restartPolicy: "Always" }), init("two")],
        containers: [main],
      }),
    );
    await h.begin();
    assert.deepEqual(h.starts(), ["start one/0"]);
    assert.equal(h.status().phase, "Pending");
    assert.equal(h.condition("Initialized"), "False");
    assert.equal(h.state()?.state?.waiting?.reason, "PodInitializing");
    h.runtime.end("one", 1);
    await settle();
    assert.deepEqual(h.starts(), ["start one/0", "start one/1"], "a failed one is run again");
    h.runtime.end("one", 0);
    await settle();
    assert.deepEqual(h.starts().slice(2), ["start side/0", "start two/0"]);
    h.runtime.end("two", 0);
    await settle();
    assert.deepEqual(h.starts().slice(4), ["start main/0"]);
    assert.equal(h.status().phase, "Running");
    assert.equal(h.condition("Initialized"), "True");
    h.runtime.end("side", 2);
    await settle();
    assert.deepEqual(h.starts().slice(5), ["start side/1"], "a sidecar is restarted");
  });

  test("a failing init container fails a pod that is never restarted", async () => {
    const h = harness(
      podOf({
        restartPolicy: "Never",
        initContainers: [{ ...main, name: "one" }],
        containers: [main],
      }),
    );
    await h.begin();
    h.runtime.end("one", 1);
    await settle();
    assert.equal(h.status().phase, "Failed");
    assert.deepEqual(h.starts(), ["start one/0"]);
  });

  test("sidecars end when the work is done, and do not spoil the result", async () => {
    const side = { ...main, name: "side", restartPolicy: "Always" };
    const h = harness(
      podOf({ restartPolicy: "Never", initContainers: [side], containers: [main] }),
    );
    await h.begin();
    h.runtime.stubborn.add("side");
    h.runtime.end("main", 0);
    await settle();
    assert.ok(h.runtime.calls.includes("stop side 30000"));
    assert.equal(h.status().phase, "Running", "until the sidecar has ended, too");
    assert.ok(h.state("side")?.state?.running);
    await h.clock.advance(30_000);
    await eventually("the pod is over", () => h.status().phase === "Succeeded");
    assert.equal(h.state("side")?.state?.terminated?.exitCode, 137);
  });

  test("a program that is not there", async () => {
    const h = harness(podOf({ containers: [main] }));
    h.runtime.broken.add("main");
    await h.begin();
    assert.equal(h.state()?.state?.waiting?.reason, "CrashLoopBackOff");
    const last = h.state()?.lastState?.terminated;
    assert.deepEqual(
      [last?.exitCode, last?.reason, last?.message],
      [128, "StartError", "no such program"],
    );
  });

  test("no command, and a missing config map, are said and tried again", async () => {
    const bare = harness(podOf({ containers: [{ name: "main", image: "i" }] }));
    await bare.begin();
    assert.equal(bare.state()?.state?.waiting?.reason, "CreateContainerConfigError");
    assert.match(bare.state()?.state?.waiting?.message ?? "", /command/);

    const env = [{ name: "X", valueFrom: { configMapKeyRef: { name: "cm", key: "key" } } }];
    const h = harness(podOf({ containers: [{ ...main, env }] }));
    h.missing.configMaps.add("cm");
    await h.begin();
    assert.equal(h.state()?.state?.waiting?.message, 'configmap "cm" not found');
    assert.equal(h.status().phase, "Pending");
    h.missing.configMaps.clear();
    await h.clock.advance(1_000);
    assert.equal(h.status().phase, "Running");
    assert.equal([...h.runtime.configs.values()].at(-1)?.env["X"], "value");
  });

  test("readiness and startup probes", async () => {
    const h = harness(
      podOf({
        containers: [
          {
            ...main,
            startupProbe: { exec: { command: ["s"] }, periodSeconds: 2, failureThreshold: 5 },
            readinessProbe: { exec: { command: ["r"] }, periodSeconds: 5, failureThreshold: 2 },
          },
        ],
      }),
    );
    h.probe.outcome = { ok: false, message: "not yet" };
    await h.begin();
    assert.equal(h.state()?.started, false);
    assert.equal(h.condition("Ready"), "False");
    await h.clock.advance(2_000);
    assert.deepEqual(new Set(h.probe.runs), new Set(['["s"]']), "readiness waits for startup");
    h.probe.outcome = { ok: true, message: "" };
    await h.clock.advance(2_000);
    assert.equal(h.state()?.started, true);
    assert.equal(h.state()?.ready, true);
    assert.equal(h.condition("Ready"), "True");
    h.probe.outcome = { ok: false, message: "busy" };
    await h.clock.advance(5_000);
    assert.equal(h.condition("Ready"), "True", "one failure is below the threshold");
    await h.clock.advance(5_000);
    assert.equal(h.condition("Ready"), "False");
    assert.equal(h.starts().length, 1, "readiness never restarts");
    assert.ok(h.events.includes("Warning Unhealthy"));
  });

  test("a failing liveness probe restarts the container with the probe's grace", async () => {
    const h = harness(
      podOf({
        containers: [
          {
            ...main,
            livenessProbe: {
              exec: { command: ["l"] },
              initialDelaySeconds: 5,
              periodSeconds: 1,
              failureThreshold: 3,
              terminationGracePeriodSeconds: 7,
            },
          },
        ],
      }),
    );
    h.probe.outcome = { ok: false, message: "dead" };
    await h.begin();
    await h.clock.advance(4_999);
    assert.equal(h.probe.runs.length, 0);
    await h.clock.advance(2_001);
    assert.ok(h.runtime.calls.includes("stop main 7000"));
    assert.deepEqual(h.starts(), ["start main/0", "start main/1"]);
    assert.equal(h.state()?.restartCount, 1);
  });

  test("hooks: preStop runs within the grace, a failing postStart restarts", async () => {
    const lifecycle = { preStop: { exec: { command: ["bye"] } } };
    const h = harness(podOf({ containers: [{ ...main, lifecycle }] }));
    await h.begin();
    h.worker.update(
      podOf(
        { containers: [{ ...main, lifecycle }] },
        { deletionTimestamp: "x", deletionGracePeriodSeconds: 5 },
      ),
    );
    await settle();
    const order = h.runtime.calls.filter(
      (call) => call.startsWith("exec") || call.startsWith("stop "),
    );
    assert.deepEqual(order, ["exec main bye", "stop main 5000"]);

    const post = harness(
      podOf({ containers: [{ ...main, lifecycle: { postStart: { exec: { command: ["hi"] } } } }] }),
    );
    post.runtime.execResult = { exitCode: 1, output: "no", timedOut: false };
    await post.begin();
    assert.ok(post.events.includes("Warning FailedPostStartHook"));
    assert.ok((post.state()?.restartCount ?? 0) >= 1);
  });

  test("deletion: grace, kill, report of the end, and forgotten once acknowledged", async () => {
    const h = harness(podOf({ containers: [main] }));
    h.runtime.stubborn.add("main");
    await h.begin();
    const leaving = { deletionTimestamp: "2026-01-01T00:00:10Z", deletionGracePeriodSeconds: 10 };
    h.worker.update(podOf({ containers: [main] }, leaving));
    await settle();
    assert.equal(h.condition("Ready"), "False");
    assert.equal(h.reports.at(-1)?.removed, undefined);
    await h.clock.advance(9_999);
    assert.equal(h.worker.removedReported, false);
    await h.clock.advance(1);
    await eventually("the end is reported", () => h.reports.at(-1)?.removed === true);
    assert.equal(h.status().phase, "Failed");
    assert.equal(h.state()?.state?.terminated?.exitCode, 137);
    assert.deepEqual(h.forgotten, []);
    h.worker.acknowledge();
    // Volumes are removed from a real disk, whose answer no fake clock brings.
    await eventually("forgotten", () => h.forgotten[0] === uid);
    assert.deepEqual(h.runtime.sandboxes(), []);
  });

  test("a shorter grace hastens a deletion under way", async () => {
    const h = harness(podOf({ containers: [main] }));
    h.runtime.stubborn.add("main");
    await h.begin();
    const leaving = (seconds: number) =>
      podOf(
        { containers: [main] },
        { deletionTimestamp: "x", deletionGracePeriodSeconds: seconds },
      );
    h.worker.update(leaving(600));
    await settle();
    h.worker.update(leaving(0));
    await eventually("the end is reported", () => h.reports.at(-1)?.removed === true);
  });

  test("an object that is gone takes its containers along", async () => {
    const h = harness(podOf({ containers: [main] }));
    await h.begin();
    h.worker.vanish();
    await eventually("forgotten", () => h.forgotten[0] === uid);
    assert.ok(h.runtime.calls.includes("stop main 2000"));
  });

  test("a pod that runs for too long fails", async () => {
    const h = harness(podOf({ activeDeadlineSeconds: 60, containers: [main] }));
    await h.begin();
    await h.clock.advance(59_000);
    assert.equal(h.status().phase, "Running");
    await h.clock.advance(1_000);
    assert.equal(h.status().phase, "Failed");
    assert.equal(h.status().reason, "DeadlineExceeded");
  });

  test("a refused pod fails with the reason and runs nothing", async () => {
    const h = harness(podOf({ containers: [main] }));
    h.worker.reject("OutOfcpu", "Node didn't have enough resource: cpu");
    await settle();
    assert.equal(h.status().phase, "Failed");
    assert.equal(h.status().reason, "OutOfcpu");
    assert.match(h.status().message ?? "", /^Pod was rejected: Node didn't have/);
    assert.deepEqual(h.starts(), []);
  });

  test("a new kubelet goes on with what runs", async () => {
    const h = harness(podOf({ containers: [main] }));
    await h.begin();
    h.worker.close();
    const again = new PodWorker(
      {
        clock: h.clock,
        log: silent,
        runtime: h.runtime,
        probeRunner: async () => ({ ok: true, message: "" }),
        events: { event: () => undefined },
        config: {
          configMap: async () => undefined,
          secret: async () => undefined,
          claim: async () => undefined,
          volume: async () => undefined,
        },
        askForToken: async () => assert.fail("no token is asked for"),
        services: () => [],
        nodeName: "n",
        hostIP: "127.0.0.1",
        nodeCpuMillis: 1,
        nodeMemoryBytes: 1,
        refusesResize: () => undefined,
        dns: { servers: [], domain: "cluster.local" },
        podsDir,
        addresses: () => assert.fail("the address is kept"),
        report: (report) => h.reports.push(report),
        forgotten: () => undefined,
      },
      { ...podOf({ containers: [main] }), status: h.status() },
    );
    workers.push(again);
    again.wake();
    await settle();
    assert.deepEqual(h.starts(), ["start main/0"]);
    assert.deepEqual(h.reports.at(-1), h.reports[0]);
  });
});
