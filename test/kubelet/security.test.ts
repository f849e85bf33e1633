/** What a pod's security settings become for a runtime. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Container, Pod, PodSecurityContext, SecurityContext } from "../../proto/gen/core.ts";
import { SecurityProfile_ProfileType as ProfileType } from "../../proto/gen/cri.ts";
import { checkNonRoot } from "../../services/kubelet/pod/start.ts";
import { containerMessage } from "../../services/kubelet/runtime/cri/config.ts";
import { criFeatures } from "../../services/kubelet/runtime/cri/features.ts";
import type { ContainerConfig, Image } from "../../services/kubelet/runtime/types.ts";
import { settle } from "./support.ts";
import { harness, main, podOf } from "./worker-harness.ts";

describe("runAsNonRoot", () => {
  const check = (
    whole: PodSecurityContext,
    own: SecurityContext,
    user: Image["user"],
  ): string | undefined => {
    const container: Container = { name: "c", image: "i", securityContext: own };
    const pod: Pod = {
      metadata: { name: "p", namespace: "d", uid: "u" },
      spec: { securityContext: whole, containers: [container] },
    };
    try {
      checkNonRoot(pod, container, user);
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  };
  const where = '(pod: "p_d(u)", container: c)';

  test("holds against the pod's user, or else the image's", () => {
    const nonRoot = { runAsNonRoot: true };
    assert.equal(check({}, {}, { id: 0 }), undefined);
    assert.equal(check(nonRoot, { runAsNonRoot: false }, { id: 0 }), undefined);
    assert.equal(check(nonRoot, {}, { id: 7 }), undefined);
    assert.equal(check(nonRoot, { runAsUser: 7 }, { name: "app" }), undefined);
    const broken = `container's runAsUser breaks non-root policy ${where}`;
    assert.equal(check({ ...nonRoot, runAsUser: 7 }, { runAsUser: 0 }, { id: 7 }), broken);
    const root = `container has runAsNonRoot and image will run as root ${where}`;
    assert.equal(check({}, nonRoot, { id: 0 }), root);
    assert.equal(check({}, nonRoot, undefined), root);
    assert.equal(
      check({}, nonRoot, { name: "app" }),
      "container has runAsNonRoot and image has non-numeric user (app), cannot verify user is " +
        `non-root ${where}`,
    );
  });
});

describe("profiles", () => {
  const seccompProfile = { type: "Localhost", localhostProfile: "strict.json" };
  const appArmorProfile = { type: "RuntimeDefault" };

  test("reach a runtime that has them, the container's before the pod's", async () => {
    const securityContext = { seccompProfile: { type: "RuntimeDefault" }, appArmorProfile };
    const containers = [main, { ...main, name: "own", securityContext: { seccompProfile } }];
    const h = harness(podOf({ containers, securityContext }));
    h.runtime.featureSet = { ...h.runtime.featureSet, seccomp: true, appArmor: true };
    await h.begin();
    await settle();
    const [first, own] = [...h.runtime.configs.values()].map(({ security }) => security);
    assert.equal(first?.seccomp?.type, "RuntimeDefault");
    assert.deepEqual(own?.seccomp, { type: "Localhost", name: "strict.json" });
    assert.equal(own?.appArmor?.type, "RuntimeDefault");
    assert.ok(!h.events.includes("Warning FieldNotEnforced"));
  });

  test("are named in an event where the node has none, and Localhost does not start", async () => {
    const securityContext = { seccompProfile, appArmorProfile };
    const h = harness(podOf({ containers: [{ ...main, securityContext }] }));
    await h.begin();
    assert.deepEqual(
      h.messages.filter((text) => text.startsWith("FieldNotEnforced")),
      [
        "FieldNotEnforced: spec.containers[0].securityContext.appArmorProfile: AppArmor profiles " +
          "are not loaded on this node; the container runs unconfined",
      ],
    );
    const waiting = h.state()?.state?.waiting;
    assert.equal(waiting?.reason, "CreateContainerConfigError");
    assert.match(waiting?.message ?? "", /container main: securityContext.seccompProfile: /);
  });
});

describe("the message of a CRI container", () => {
  const config: ContainerConfig = {
    ...{ podUid: "u", name: "c", attempt: 0, image: "i", command: [], args: [], env: {} },
    ...{ mounts: [], specHash: "" },
  };
  const sandbox = {
    ...{ uid: "u", namespace: "d", name: "p", hostname: "p", address: "", hostNetwork: false },
  };
  const image: Image = { id: "sha256:1", names: [], sizeBytes: 0, usedAt: 0 };
  const message = (more: Partial<ContainerConfig>) =>
    containerMessage({ ...config, ...more }, sandbox, image, "/seccomp");

  test("names profiles, and images that are volumes", () => {
    const { linux, mounts } = message({
      security: {
        seccomp: { type: "Localhost", name: "a/strict.json" },
        appArmor: { type: "Localhost", name: "k8s-strict" },
      },
      mounts: [
        { hostPath: "", containerPath: "/m", readOnly: true, image: "model:1", subPath: "a" },
      ],
    });
    const { seccomp, apparmor } = linux?.securityContext ?? {};
    const profileType = ProfileType.Localhost;
    assert.deepEqual(seccomp, { profileType, localhostRef: "/seccomp/a/strict.json" });
    assert.deepEqual(apparmor, { profileType, localhostRef: "k8s-strict" });
    assert.equal(mounts?.[0]?.image?.image, "docker.io/library/model:1");
    assert.equal(mounts?.[0]?.imageSubPath, "a");
    const plain = message({}).linux?.securityContext;
    assert.equal(plain?.seccomp?.profileType, ProfileType.Unconfined);
    assert.equal(plain?.apparmor, undefined);
  });

  test("gives cpu shares by the request, the limit in its place, and the kernel's bounds", () => {
    const shares = (more: Partial<ContainerConfig>) =>
      Number(message(more).linux?.resources?.cpuShares);
    assert.equal(shares({}), 2);
    assert.equal(shares({ cpuLimitMillis: 500 }), 512);
    assert.equal(shares({ cpuRequestMillis: 250, cpuLimitMillis: 2_000 }), 256);
    assert.equal(shares({ cpuRequestMillis: 1 }), 2);
    assert.equal(shares({ cpuRequestMillis: 1_000_000 }), 262_144);
  });

  test("a container's own stop signal is passed on, and heeded by newer runtimes", () => {
    const signal = (stopSignal?: string) => message({ stopSignal }).stopSignal;
    assert.deepEqual(
      [undefined, "SIGABRT", "SIGTERM", "SIGUSR1", "SIGRTMIN", "SIGRTMIN+3", "SIGRTMAX-14"].map(
        signal,
      ),
      [0, 1, 23, 29, 35, 38, 51],
    );
    assert.equal(signal("SIGRTMAX"), 65);
    const can = (name: string, version: string) => criFeatures(name, version).stopSignals;
    assert.equal(can("containerd", "1.7.28"), false);
    assert.equal(can("containerd", "v2.2.1"), false);
    assert.equal(can("containerd", "v2.3.0"), true);
    assert.equal(can("cri-o", "1.34.0"), true);
    assert.equal(can("other", "9.9"), false);
  });

  test("images are volumes where the runtime is new enough", () => {
    const can = (name: string, version: string) => criFeatures(name, version).imageVolumes;
    assert.equal(can("containerd", "1.6.20~ds1"), false);
    assert.equal(can("containerd", "v2.0.4"), false);
    assert.equal(can("containerd", "v2.1.0"), true);
    assert.equal(can("containerd", "v3.0.0"), true);
    assert.equal(can("cri-o", "1.30.2"), false);
    assert.equal(can("cri-o", "1.33.0"), true);
    assert.equal(can("other", "9.9"), false);
  });
});

describe("image volumes", () => {
  const volumes = [{ name: "model", image: { reference: "model:1", pullPolicy: "IfNotPresent" } }];
  const volumeMounts = [{ name: "model", mountPath: "/model", subPath: "a" }];

  test("are pulled for the containers that mount them, and mounted read-only", async () => {
    const h = harness(podOf({ containers: [{ ...main, volumeMounts }], volumes }));
    h.runtime.featureSet = { ...h.runtime.featureSet, imageVolumes: true };
    await h.begin();
    assert.ok(h.runtime.calls.includes("pull model:1"));
    const [config] = [...h.runtime.configs.values()];
    assert.deepEqual(
      config?.mounts.find(({ image }) => image !== undefined),
      { hostPath: "", readOnly: true, image: "model:1", subPath: "a", containerPath: "/model" },
    );
  });

  test("do not start where the runtime mounts none", async () => {
    const h = harness(podOf({ containers: [{ ...main, volumeMounts }], volumes }));
    await h.begin();
    const waiting = h.state()?.state?.waiting;
    assert.equal(waiting?.reason, "CreateContainerConfigError");
    assert.match(waiting?.message ?? "", /spec.volumes\[\].image: .*mounts no images/);
  });
});
