/** What a pod worker does about images, last words, changed containers and what it cannot enforce. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { eventually } from "../patience.ts";
import { settle } from "./support.ts";
import { harness, main, podOf, podsDir, uid } from "./worker-harness.ts";

const once = { restartPolicy: "Never" };
const messagePath = (attempt = 0) => join(podsDir, uid, "containers", "main", String(attempt));
const endOf = (h: ReturnType<typeof harness>) => h.state()?.state?.terminated;

describe("termination messages", () => {
  test("the file is mounted at terminationMessagePath, and its end is told", async () => {
    const terminationMessagePath = "/words/last";
    const h = harness(podOf({ ...once, containers: [{ ...main, terminationMessagePath }] }));
    await h.begin();
    const [config] = [...h.runtime.configs.values()];
    assert.deepEqual(
      config?.mounts.find((mount) => mount.containerPath === terminationMessagePath),
      { hostPath: messagePath(), containerPath: terminationMessagePath, readOnly: false },
    );
    assert.equal(config?.env["TERMINATION_MESSAGE_PATH"], terminationMessagePath);
    writeFileSync(messagePath(), `${"x".repeat(5_000)}end`);
    h.runtime.end("main", 0);
    await settle();
    assert.equal(endOf(h)?.message?.length, 4_096);
    assert.match(endOf(h)?.message ?? "", /xend$/);
  });

  test("by default it is /dev/termination-log; without private mounts a variable names the file", async () => {
    const h = harness(podOf({ containers: [main] }));
    await h.begin();
    const mounts = [...h.runtime.configs.values()][0]?.mounts ?? [];
    assert.ok(mounts.some(({ containerPath }) => containerPath === "/dev/termination-log"));
    const bare = harness(podOf({ containers: [main] }));
    bare.runtime.featureSet = { ...bare.runtime.featureSet, privateMounts: false };
    await bare.begin();
    const [config] = [...bare.runtime.configs.values()];
    assert.deepEqual(config?.mounts, []);
    assert.equal(config?.env["TERMINATION_MESSAGE_PATH"], messagePath());
  });

  test("a volume at the same path is the container's own", async () => {
    const volumeMounts = [{ name: "v", mountPath: "/dev/termination-log" }];
    const h = harness(
      podOf({ volumes: [{ name: "v", emptyDir: {} }], containers: [{ ...main, volumeMounts }] }),
    );
    await h.begin();
    await eventually("it has started", () => h.starts().length > 0);
    const mounts = [...h.runtime.configs.values()][0]?.mounts ?? [];
    const there = mounts.filter(({ containerPath }) => containerPath === "/dev/termination-log");
    assert.deepEqual(
      there.map(({ hostPath }) => hostPath),
      [join(podsDir, uid, "volumes", "v")],
    );
  });

  const policies = [
    ["FallbackToLogsOnError", 1, "", "said\n"],
    ["FallbackToLogsOnError", 1, "written", "written"],
    ["FallbackToLogsOnError", 0, "", undefined],
    ["File", 1, "", undefined],
  ] as const;
  for (const [terminationMessagePolicy, code, file, told] of policies) {
    test(`${terminationMessagePolicy}, exit ${code}, file "${file}": ${told}`, async () => {
      const h = harness(podOf({ ...once, containers: [{ ...main, terminationMessagePolicy }] }));
      h.runtime.output.set("main", "said\n");
      await h.begin();
      writeFileSync(messagePath(), file);
      h.runtime.end("main", code);
      await settle();
      assert.equal(endOf(h)?.message, told);
    });
  }

  test("output in place of a message is cut at 2,048 bytes", async () => {
    const policy = { terminationMessagePolicy: "FallbackToLogsOnError" };
    const h = harness(podOf({ ...once, containers: [{ ...main, ...policy }] }));
    h.runtime.output.set("main", `${"y".repeat(3_000)}z`);
    await h.begin();
    h.runtime.end("main", 1);
    await settle();
    assert.equal(endOf(h)?.message, `${"y".repeat(2_047)}z`);
  });

  test("a link in place of the file is not followed", async () => {
    const h = harness(podOf({ ...once, containers: [main] }));
    await h.begin();
    rmSync(messagePath());
    symlinkSync("/etc/passwd", messagePath());
    h.runtime.end("main", 1);
    await settle();
    assert.match(endOf(h)?.message ?? "", /^Error on reading termination log: ELOOP/);
  });

  test("all containers of a pod share 12 KiB", async () => {
    const names = ["main", "b", "c", "d", "e", "f"];
    const containers = names.map((name) => ({ ...main, name }));
    const h = harness(podOf({ ...once, containers }));
    await h.begin();
    for (const name of names) {
      const path = join(podsDir, uid, "containers", name, "0");
      mkdirSync(join(path, ".."), { recursive: true });
      writeFileSync(path, "m".repeat(4_096));
      h.runtime.end(name, 0);
    }
    await settle();
    for (const name of names) {
      assert.equal(h.state(name)?.state?.terminated?.message?.length, 2_048);
    }
  });
});

describe("a changed container", () => {
  for (const restartPolicy of ["Always", "Never"]) {
    test(`with another image is ended and starts again at once (${restartPolicy})`, async () => {
      const pod = (image: string) =>
        podOf({
          restartPolicy,
          containers: [
            { ...main, image },
            { ...main, name: "other" },
          ],
        });
      const h = harness(pod("one"));
      await h.begin();
      h.worker.update(pod("two"));
      await settle();
      assert.deepEqual(h.starts(), ["start main/0", "start other/0", "start main/1"]);
      assert.ok(h.runtime.calls.includes("stop main 30000"));
      assert.equal(h.state()?.image, "two");
      assert.equal(h.state()?.imageID, "sha256:two");
      assert.equal(h.state()?.restartCount, 1);
      assert.equal(h.status().phase, "Running");
      h.worker.update(pod("two"));
      await settle();
      assert.equal(h.starts().length, 3, "and is left alone then");
    });
  }

  test("one that ended by itself does not run again under Never", async () => {
    const pod = (image: string) => podOf({ ...once, containers: [{ ...main, image }] });
    const h = harness(pod("one"));
    await h.begin();
    h.runtime.end("main", 0);
    await settle();
    h.worker.update(pod("two"));
    await settle();
    assert.deepEqual(h.starts(), ["start main/0"]);
    assert.equal(h.status().phase, "Succeeded");
  });

  test("a sidecar is replaced, too", async () => {
    const side = (image: string) => ({ ...main, name: "side", image, restartPolicy: "Always" });
    const pod = (image: string) => podOf({ initContainers: [side(image)], containers: [main] });
    const h = harness(pod("one"));
    await h.begin();
    h.worker.update(pod("two"));
    await settle();
    assert.deepEqual(h.starts(), ["start side/0", "start main/0", "start side/1"]);
  });
});

describe("images", () => {
  const policy = (imagePullPolicy: string) =>
    harness(podOf({ containers: [{ ...main, imagePullPolicy }] }));
  const pulls = (h: ReturnType<typeof harness>) =>
    h.runtime.calls.filter((call) => call.startsWith("pull ")).length;

  test("Always pulls each time, IfNotPresent once", async () => {
    for (const [name, count] of [
      ["Always", 2],
      ["IfNotPresent", 1],
    ] as const) {
      const h = policy(name);
      await h.begin();
      h.runtime.end("main", 1);
      await settle();
      assert.deepEqual([h.starts().length, pulls(h)], [2, count], name);
    }
  });

  test("Never waits until the image is there", async () => {
    const h = policy("Never");
    await h.begin();
    assert.equal(h.state()?.state?.waiting?.reason, "ErrImageNeverPull");
    assert.match(h.state()?.state?.waiting?.message ?? "", /"i" is not present with pull policy/);
    h.runtime.pulled.add("i");
    await h.clock.advance(1_000);
    assert.equal(h.status().phase, "Running");
    assert.equal(pulls(h), 0);
  });

  test("a failed pull is told, then backed off from", async () => {
    const h = policy("IfNotPresent");
    h.runtime.unknownImages.add("i");
    await h.begin();
    assert.equal(h.state()?.state?.waiting?.reason, "ErrImagePull");
    await h.clock.advance(1_000);
    assert.equal(h.state()?.state?.waiting?.reason, "ImagePullBackOff");
    assert.match(h.state()?.state?.waiting?.message ?? "", /no image i/);
  });
});

describe("what cannot be enforced", () => {
  test("is named by an event, and the container runs", async () => {
    const seccompProfile = { type: "RuntimeDefault" };
    const h = harness(podOf({ securityContext: { seccompProfile }, containers: [main] }));
    await h.begin();
    assert.equal(h.status().phase, "Running");
    const told = h.messages.filter((text) => text.startsWith("FieldNotEnforced"));
    assert.deepEqual(told, [
      "FieldNotEnforced: spec.securityContext.seccompProfile: seccomp profiles are not loaded on this node; " +
        "the containers run unconfined",
    ]);
  });

  test("or refuses the container, naming the field", async () => {
    const sysctls = [{ name: "net.core.somaxconn", value: "1" }];
    const h = harness(podOf({ securityContext: { sysctls }, containers: [main] }));
    await h.begin();
    const { waiting } = h.state()?.state ?? {};
    assert.equal(waiting?.reason, "CreateContainerConfigError");
    assert.match(waiting?.message ?? "", /^spec\.securityContext\.sysctls: pods share/);
    assert.deepEqual(h.starts(), []);
  });
});

describe("the end of a pod", () => {
  test("after a restart the kubelet tells nothing old of a pod that is over", async () => {
    const status = { phase: "Succeeded", conditions: [{ type: "Mine", status: "True" }] };
    const h = harness({ ...podOf({ ...once, containers: [main] }), status });
    await h.begin();
    assert.deepEqual(h.reports, []);
  });

  test("an emptyDir over its sizeLimit evicts the pod", async () => {
    const volumes = [{ name: "v", emptyDir: { sizeLimit: "64Ki" } }];
    const h = harness(podOf({ volumes, containers: [main] }));
    await h.begin();
    await eventually("it runs", () => h.status().phase === "Running");
    writeFileSync(join(podsDir, uid, "volumes", "v", "big"), Buffer.alloc(100_000, 1));
    await h.clock.advance(10_000);
    await eventually("it is over", () => h.status().phase === "Failed");
    assert.equal(h.status().reason, "Evicted");
    assert.equal(h.status().message, 'Usage of EmptyDir volume "v" exceeds the limit "64Ki". ');
  });

  test("the pod's hosts file has its name and its aliases", async () => {
    const hostAliases = [{ ip: "127.0.0.9", hostnames: ["alias-a", "alias-b"] }];
    const h = harness(podOf({ hostAliases, subdomain: "sub", containers: [main] }));
    await h.begin();
    const mounts = [...h.runtime.configs.values()][0]?.mounts ?? [];
    const hosts = mounts.find(({ containerPath }) => containerPath === "/etc/hosts");
    const text = readFileSync(hosts?.hostPath ?? "", "utf8");
    assert.match(text, /^127\.64\.0\.1\tp\.sub\.d\.svc\.cluster\.local\tp$/m);
    assert.match(text, /^127\.0\.0\.9\talias-a\talias-b$/m);
  });
});
