/** What a pod's class and the node's rules make of it: OOM scores, and kernel parameters. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { PodSpec } from "../../proto/gen/core.ts";
import { forbiddenSysctl, parseUnsafeSysctls } from "../../services/kubelet/node/sysctls.ts";
import { oomScoreOf } from "../../services/kubelet/pod/oom-score.ts";
import { harness, podOf } from "./worker-harness.ts";

const gibibyte = 2 ** 30;

describe("OOM scores", () => {
  const scoreOf = (resources: object, more: PodSpec = {}) => {
    const container = { name: "c", resources };
    return oomScoreOf(podOf({ containers: [container], ...more }), container, 10 * gibibyte);
  };
  const all = { cpu: "1", memory: "1Gi" };

  test("follow the class, and of a burstable pod the share of memory it requests", () => {
    assert.equal(scoreOf({}), 1_000);
    assert.equal(scoreOf({ limits: all, requests: all }), -997);
    assert.equal(scoreOf({ requests: { memory: "1Gi" } }), 900);
    assert.equal(scoreOf({ requests: { memory: "1Ki" } }), 999);
    assert.equal(scoreOf({ requests: { memory: "10Gi" } }), 3);
    assert.equal(scoreOf({}, { priority: 2_000_000_000 }), -997);
  });

  test("reach the runtime", async () => {
    const h = harness(podOf({ containers: [{ name: "main", image: "i", command: ["run"] }] }));
    await h.begin();
    assert.equal([...h.runtime.configs.values()][0]?.oomScore, 1_000);
  });
});

describe("kernel parameters", () => {
  const verdict = (name: string, unsafe: readonly string[] = []) =>
    forbiddenSysctl(podOf({ securityContext: { sysctls: [{ name, value: "1" }] } }), unsafe);

  test("safe ones are allowed, others where a flag says so", () => {
    assert.equal(verdict("net.ipv4.tcp_syncookies"), undefined);
    assert.equal(verdict("net/ipv4/tcp_syncookies"), undefined);
    assert.equal(verdict("kernel.msgmax"), 'forbidden sysctl: "kernel.msgmax" not allowlisted');
    const unsafe = parseUnsafeSysctls("kernel.msg*,net.core.somaxconn", "--allowed");
    assert.equal(verdict("kernel.msgmax", unsafe), undefined);
    assert.equal(verdict("net.core.somaxconn", unsafe), undefined);
    assert.match(verdict("vm.swappiness", unsafe) ?? "", /vm.swappiness/);
    for (const bad of ["vm.swappiness", "*", "kernel.msg**"]) {
      assert.throws(() => parseUnsafeSysctls(bad, "--allowed"), /--allowed: "/, bad);
    }
  });
});
