/** The events of a pod's life, in upstream's words. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { settle } from "./support.ts";
import { harness, main, podOf } from "./worker-harness.ts";

describe("pod events", () => {
  test("a start: Pulling, Pulled, Created, Started, each about its container", async () => {
    const h = harness(podOf({ containers: [main] }));
    await h.begin();
    assert.deepEqual(h.messages, [
      'Pulling: Pulling image "i"',
      'Pulled: Successfully pulled image "i" in 0s (0s including waiting). Image size: 0 bytes.',
      "Created: Created container: main",
      "Started: Started container main",
    ]);
    assert.deepEqual(new Set(h.fieldPaths), new Set(["spec.containers{main}"]));
  });

  test("an image that is there, a crash, and the pause after the next one", async () => {
    const h = harness(podOf({ containers: [{ ...main, imagePullPolicy: "IfNotPresent" }] }));
    h.runtime.pulled.add("i");
    await h.begin();
    assert.equal(h.messages[0], 'Pulled: Container image "i" already present on machine');
    h.runtime.end("main", 1);
    await settle();
    h.runtime.end("main", 1);
    await settle();
    const told = "BackOff: Back-off restarting failed container main in pod p_d(u1)";
    assert.equal(h.messages.at(-1), told);
    h.worker.wake();
    await settle();
    assert.equal(h.messages.filter((text) => text === told).length, 1, "once for each run");
  });

  test("a failed pull: Failed twice, then BackOff until the next attempt after 10 s", async () => {
    const h = harness(podOf({ containers: [main] }));
    h.runtime.unknownImages.add("i");
    await h.begin();
    assert.deepEqual(h.messages.splice(0), [
      'Pulling: Pulling image "i"',
      'Failed: Failed to pull image "i": no image i',
      "Failed: Error: ErrImagePull",
    ]);
    const waiting = () => h.state()?.state?.waiting;
    assert.deepEqual(waiting(), { reason: "ErrImagePull", message: "no image i" });
    await h.clock.advance(1_000);
    assert.deepEqual(h.messages.splice(0), [
      'BackOff: Back-off pulling image "i"',
      "Failed: Error: ImagePullBackOff",
    ]);
    assert.deepEqual(waiting(), {
      reason: "ImagePullBackOff",
      message: 'Back-off pulling image "i": ErrImagePull: no image i',
    });
    await h.clock.advance(8_999);
    assert.deepEqual(h.messages, []);
    await h.clock.advance(1);
    assert.equal(waiting()?.reason, "ErrImagePull");
    h.messages.splice(0);
    await h.clock.advance(19_999);
    assert.equal(waiting()?.reason, "ImagePullBackOff", "the pause has doubled");
    h.runtime.unknownImages.delete("i");
    await h.clock.advance(1);
    assert.equal(h.status().phase, "Running");
  });

  test("a sandbox that cannot be made", async () => {
    const h = harness(podOf({ containers: [main] }));
    h.runtime.runSandbox = async () => {
      throw new Error("no room");
    };
    await h.begin();
    assert.deepEqual(h.messages, ["FailedCreatePodSandBox: Failed to create pod sandbox: no room"]);
    assert.equal(h.state()?.state?.waiting?.reason, "ContainerCreating");
  });

  test("a probe that fails, and the end that it brings", async () => {
    const livenessProbe = { exec: { command: ["l"] }, periodSeconds: 1, failureThreshold: 1 };
    const h = harness(podOf({ containers: [{ ...main, livenessProbe }] }));
    h.probe.outcome = { ok: false, message: "dead" };
    await h.begin();
    h.messages.splice(0);
    await h.clock.advance(0);
    assert.deepEqual(h.messages.slice(0, 2), [
      "Unhealthy: Liveness probe failed: dead",
      "Killing: Container main failed liveness probe, will be restarted",
    ]);
  });
});
