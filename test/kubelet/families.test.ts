/** A node with addresses of both families, and the addresses of its pods. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { nodeIPList } from "../../services/kubelet/node/node-ips.ts";
import { answersHere, planRanges } from "../../services/kubelet/node/pod-ranges.ts";
import {
  addressesOf,
  knownSandbox,
  sandboxLabels,
} from "../../services/kubelet/runtime/cri/records.ts";
import { KubeletPort } from "../../services/kubelet/serving.ts";
import { FakeRuntime } from "./fake-runtime.ts";
import { FakeClock, silent } from "./support.ts";

describe("ranges of pods' addresses", () => {
  const plan = (cidrs: string[], primary: string, answering: string[]) =>
    planRanges(cidrs, primary, async (address) => answering.includes(address));
  test("of both families, the node's primary one first", async () => {
    const cidrs = ["127.64.3.0/24", "fd00:64:0:3::/64"];
    const both = ["127.64.3.1", "fd00:64:0:3::1"];
    const four = (await plan(cidrs, "127.0.0.1", both)).ranges;
    const six = (await plan(cidrs, "::1", both)).ranges;
    const [v4, v6] = both;
    assert.deepEqual(four.take("a"), { address: v4, secondAddress: v6 });
    assert.deepEqual(six.take("a"), { address: v6, secondAddress: v4 });
    four.release("a");
    four.hold("old", { address: "127.64.3.2", secondAddress: "fd00:64:0:3::2" });
    assert.deepEqual(four.take("b"), { address: "127.64.3.3", secondAddress: "fd00:64:0:3::3" });
  });
  test("a range at which nothing answers is left out", async () => {
    const cidrs = ["fd00:64:0:3::/64", "127.64.3.0/24"];
    const { ranges, leftOut } = await plan(cidrs, "::1", ["127.64.3.1"]);
    assert.deepEqual(ranges.take("a"), { address: "127.64.3.1" });
    assert.deepEqual(leftOut, ["fd00:64:0:3::/64"]);
    const none = await plan(["10.244.3.0/24"], "127.0.0.1", []);
    assert.deepEqual(none.ranges.take("a"), { address: "10.244.3.1" }, "a lone one of IPv4");
    await assert.rejects(plan(["fd00::/64"], "::1", []), /no program .* is reached at fd00::1$/);
  });
  test("whether an address answers is tried", async () => {
    assert.equal(await answersHere("127.64.3.1"), true);
    // Set aside for documentation (RFC 5737).
    assert.equal(await answersHere("203.0.113.1"), false);
  });
});

describe("addresses of the node", () => {
  test("one, or one of each family", () => {
    const of = (text: string) => nodeIPList(text, "--node-ip");
    assert.deepEqual(of("127.0.0.1"), ["127.0.0.1"]);
    assert.deepEqual(of("FD00:0::1, 127.0.0.1"), ["fd00::1", "127.0.0.1"]);
    const pair = "must contain either a single IP or a dual-stack pair of IPs";
    const unspecified = "dual-stack node IP cannot include '0.0.0.0' or '::'";
    const bad = {
      "": 'could not parse ""',
      "127.0.0.1,": 'could not parse ""',
      host: 'could not parse "host"',
      "fe80::1%eth0": 'could not parse "fe80::1%eth0"',
      "127.0.0.1,127.0.0.2": pair,
      "fd00::1,fd00::2": pair,
      "127.0.0.1,fd00::1,fd00::2": pair,
      "0.0.0.0,::1": unspecified,
      "127.0.0.1,::": unspecified,
    };
    for (const [text, why] of Object.entries(bad)) {
      const message = `bad --node-ip ${JSON.stringify(text)}: ${why}`;
      assert.throws(() => of(text), { message });
    }
  });
});

test("a CRI runtime's addresses are taken, and none is invented", () => {
  const asked = { address: "", secondAddress: undefined };
  const network = (ip: string, ...more: string[]) => ({
    ip,
    additionalIps: more.map((each) => ({ ip: each })),
  });
  const given = (...ips: [string, ...string[]]) => addressesOf(network(...ips), asked);
  assert.deepEqual(given("10.1.0.2"), { address: "10.1.0.2", secondAddress: undefined });
  const both = { address: "fd00::2", secondAddress: "10.1.0.2" };
  assert.deepEqual(given("fd00::2", "fd00::3", "10.1.0.2"), both);
  const host = { address: "127.0.0.1", secondAddress: "::1" };
  assert.deepEqual(addressesOf(network(""), host), host, "a pod on the node's network");
  const config = { uid: "u", namespace: "d", name: "p", hostname: "p", hostNetwork: true, ...host };
  const item = {
    id: "s",
    labels: sandboxLabels(config),
    annotations: { "trireme.dev/sandbox": JSON.stringify(config) },
  };
  const known = knownSandbox(item, { address: "" })?.sandbox;
  assert.deepEqual([known?.address, known?.secondAddress], ["127.0.0.1", "::1"]);
  const other = knownSandbox(item, { address: "10.1.0.3" })?.sandbox;
  assert.deepEqual([other?.address, other?.secondAddress], ["10.1.0.3", undefined]);
});

const noIPv6 = !(await answersHere("::1")) && "skipped: this machine has no IPv6";

test("the kubelet serves at the same port of both addresses", { skip: noIPv6 }, async () => {
  const runtime = new FakeRuntime(new FakeClock());
  const source = {
    ...{ runtime, nodeName: "n1", pod: () => undefined, pods: () => [], configuration: {} },
    ...{ stats: () => undefined, cpuMillisTotal: () => 0 },
    machine: async () => assert.fail("the machine is not measured"),
  };
  const served = new KubeletPort(source, ["127.0.0.1", "::1"], silent);
  try {
    const port = await served.listen(0, undefined);
    for (const host of ["127.0.0.1", "[::1]"]) {
      const answer = await fetch(`http://${host}:${port}/healthz`);
      assert.equal(await answer.text(), "ok");
    }
  } finally {
    await served.drain(100);
  }
});
