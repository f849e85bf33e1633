/** `trireme explain pod`: a dry scheduling cycle over what the apiserver holds. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, Pod } from "../../proto/gen/core.ts";
import { explain } from "../../services/cli/commands/explain.ts";
import { fails } from "../apiserver/harness.ts";
import { RealApi } from "../client/real-api.ts";
import { written } from "./written.ts";

const flags = { namespace: "default" };

const node = (name: string, cpu: string, spec: Node["spec"] = {}): Node => ({
  metadata: { name, labels: { "kubernetes.io/hostname": name } },
  spec,
  status: { allocatable: { cpu, memory: "8Gi", pods: "10" } },
});
const pod = (name: string, cpu: string, spec: Pod["spec"] = {}): Pod => ({
  metadata: { name, namespace: "default", labels: { app: name } },
  spec: { containers: [{ name: "c", image: "i", resources: { requests: { cpu } } }], ...spec },
});

async function world() {
  const api = await RealApi.open();
  const client = api.client();
  await client.nodes.create(node("small", "1"));
  await client.nodes.create(node("large", "8"));
  const taints = [{ key: "gpu", value: "yes", effect: "NoSchedule" }];
  await client.nodes.create(node("tainted", "1", { taints }));
  return { api, client };
}

test("a waiting pod: every node's reasons, and the scores of those that would do", async () => {
  const { api, client } = await world();
  await client.pods.create(pod("web", "2"));
  const { out } = await written(() => explain(client, "pod", "web", flags));
  assert.match(out, /^default\/web waits for a node; it would fit on 1 of 3 nodes now\.\n/);
  assert.match(out, /\nNODE +VERDICT +SCORE +WHY\nlarge +fits +\d+ +.*NodeResourcesFit \d+×1/);
  assert.match(out, /\nsmall +no +- +NodeResourcesFit: Insufficient cpu\n/);
  const both =
    /\ntainted +no +- +TaintToleration: node\(s\) had untolerated taint \{gpu: yes\}; NodeResourcesFit: Insufficient cpu\n/;
  assert.match(out, both);
  await api.close();
});

test("a bound pod does not stand in its own way, and its node is marked", async () => {
  const { api, client } = await world();
  await client.pods.create(pod("web", "6", { nodeName: "large" }));
  const { out } = await written(() => explain(client, "po", "web", flags));
  assert.match(out, /^default\/web is on large; it would fit on 1 of 3 nodes now\.\n/);
  assert.match(out, /\nlarge\* +fits +/);
  await api.close();
});

test("what keeps a pod from being tried is told", async () => {
  const { api, client } = await world();
  await client.pods.create(pod("web", "1", { schedulingGates: [{ name: "example.com/later" }] }));
  const { out } = await written(() => explain(client, "pods", "web", flags));
  assert.match(out, /\nIt is not tried: waiting for scheduling gates: \[example\.com\/later\]\.\n/);
  await client.pods.create({
    ...pod("data", "1"),
    spec: {
      ...pod("data", "1").spec,
      volumes: [{ name: "v", persistentVolumeClaim: { claimName: "none" } }],
    },
  });
  const data = await written(() => explain(client, "pod", "data", flags));
  assert.match(data.out, /\n0\/3 nodes are available: persistentvolumeclaim "none" not found\.\n$/);
  await api.close();
});

test("as JSON, and what is no pod", async () => {
  const { api, client } = await world();
  await client.pods.create(pod("web", "2"));
  const { out } = await written(() => explain(client, "pod", "web", { ...flags, output: "json" }));
  const { nodes } = JSON.parse(out) as { nodes: { node: string; refusals: unknown[] }[] };
  assert.deepEqual(nodes.map((each) => each.node).sort(), ["large", "small", "tainted"]);
  await fails(
    explain(client, "deployment", "web", flags),
    "invalidArgument",
    '"deployment": only pods are scheduled; say explain pod NAME',
  );
  await fails(explain(client, "pod", "gone", flags), "notFound", 'pods "gone" not found');
  await api.close();
});
