import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeIpamController } from "../../services/controllers/node-ipam/controller.ts";
import type { NodeIpamOptions } from "../../services/controllers/node-ipam/options.ts";
import { NodeRanges, parseBlock } from "../../services/controllers/node-ipam/ranges.ts";
import { harness, node } from "./harness.ts";

const ipam = (clusterCidr: string, sizes: Omit<NodeIpamOptions, "clusterCidr"> = {}) =>
  nodeIpamController({ clusterCidr, ...sizes });

test("every node gets a range of its own; a freed one is given again", async () => {
  const { api, client, clock, end } = await harness(ipam("127.64.0.0/23"));
  await client.nodes.create(node("a"));
  await client.nodes.create(node("b"));
  await client.nodes.create(node("c"));
  await clock.advance(1_000);
  const rangeOf = (name: string) => api.get("Node", name)?.spec?.podCIDR;
  assert.deepEqual(["a", "b", "c"].map(rangeOf), ["127.64.0.0/24", "127.64.1.0/24", undefined]);
  assert.deepEqual(api.get("Node", "a")?.spec?.podCIDRs, ["127.64.0.0/24"]);
  await client.nodes.delete("a");
  await clock.until(() => rangeOf("c") === "127.64.0.0/24", "the freed range");
  await end();
});

test("of two families every node gets both or none, the cluster's first one first", async () => {
  const sizes = { nodeMaskSizeIPv4: 28 };
  const { api, client, clock, end } = await harness(ipam("fd00:10::/62,10.128.0.0/26", sizes));
  const given = { ...node("given"), spec: { podCIDRs: ["10.128.0.16/28", "fd00:10::/64"] } };
  await client.nodes.create(given);
  for (const name of ["a", "b", "c", "d"]) await client.nodes.create(node(name));
  await clock.advance(1_000);
  const rangesOf = (name: string) => api.get("Node", name)?.spec?.podCIDRs;
  assert.deepEqual(rangesOf("given"), ["10.128.0.16/28", "fd00:10::/64"]);
  assert.deepEqual(rangesOf("a"), ["fd00:10:0:1::/64", "10.128.0.0/28"]);
  assert.equal(api.get("Node", "a")?.spec?.podCIDR, "fd00:10:0:1::/64");
  assert.deepEqual(rangesOf("c"), ["fd00:10:0:3::/64", "10.128.0.48/28"]);
  assert.equal(rangesOf("d"), undefined);
  await client.nodes.delete("b");
  await clock.until(() => rangesOf("d")?.[1] === "10.128.0.32/28", "both freed ranges");
  await end();
});

test("ranges that nodes have are kept, whoever gave them and whatever their size", () => {
  const whole = parseBlock("127.64.0.0/21");
  assert.ok(whole);
  const ranges = new NodeRanges(whole, 24);
  ranges.note("large", ["127.64.0.0/23"]);
  ranges.note("small", ["fd00::/64", "127.64.3.128/25"]);
  ranges.note("foreign", ["10.0.0.0/24"]);
  assert.deepEqual(
    ["a", "b", "a", "foreign"].map((name) => ranges.claim(name)),
    ["127.64.2.0/24", "127.64.4.0/24", "127.64.2.0/24", "127.64.5.0/24"],
  );
  // Another gave the node another one: the first is free again.
  ranges.note("a", ["127.64.7.0/24"]);
  ranges.release("large");
  assert.deepEqual(
    ["c", "d", "e", "f", "g"].map((name) => ranges.claim(name)),
    ["127.64.0.0/24", "127.64.1.0/24", "127.64.2.0/24", "127.64.6.0/24", undefined],
  );
});

const size = (nodeMaskSize: number) => ({ nodeMaskSize });
const refusals: [string, Omit<NodeIpamOptions, "clusterCidr">, RegExp][] = [
  ["10.0.0.0", {}, /--cluster-cidr: "10.0.0.0" is not a range such as 127.64.0.0\/10/],
  ["10.0.0.300/8", {}, /--cluster-cidr: "10.0.0.300\/8" is not a range/],
  ["fd00::/200", {}, /--cluster-cidr: "fd00::\/200" is not a range such as fd00:10::\/48/],
  ["10.0.0.0/31", {}, /--cluster-cidr: "10.0.0.0\/31" must be of \/1 to \/29/],
  ["10.0.0.0/8,10.1.0.0/16", {}, /of two ranges one must be of IPv6/],
  ["10.0.0.0/8,fd00::/48,fd01::/48", {}, /at most two ranges/],
  ["10.0.0.0/24", size(24), /--node-cidr-mask-size: 24 must be from 25 to 30/],
  ["fd00::/40", {}, /--node-cidr-mask-size-ipv6: 64 must be from 41 to 56/],
  ["10.0.0.0/8,fd00::/48", size(24), /--node-cidr-mask-size may not be used with ranges of two/],
  ["10.0.0.0/8", { nodeMaskSizeIPv6: 64 }, /-ipv6: --cluster-cidr has no range of IPv6/],
  [
    "10.0.0.0/8",
    { ...size(24), nodeMaskSizeIPv4: 24 },
    /-ipv4 may not be used with --node-cidr-mask-size/,
  ],
];
for (const [clusterCidr, sizes, problem] of refusals) {
  test(`${clusterCidr} ${JSON.stringify(sizes)} is refused by the flag's name`, () => {
    assert.throws(() => ipam(clusterCidr, sizes), problem);
  });
}
