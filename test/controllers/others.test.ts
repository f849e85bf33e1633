import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod, Service } from "../../proto/gen/core.ts";
import { endpointsController } from "../../services/controllers/endpoints.ts";
import { nodeIpamController } from "../../services/controllers/node-ipam/controller.ts";
import { NodeRanges } from "../../services/controllers/node-ipam/ranges.ts";
import { podGcController } from "../../services/controllers/pod-gc.ts";
import { settle } from "../client/fake-clock.ts";
import { harness, node, putPod } from "./harness.ts";

const ipam = (clusterCidr = "127.64.0.0/10", nodeMaskSize = 24) =>
  nodeIpamController({ clusterCidr, nodeMaskSize });

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

test("ranges that nodes have are kept, whoever gave them and whatever their size", () => {
  const ranges = new NodeRanges({ clusterCidr: "127.64.0.0/21", nodeMaskSize: 24 });
  ranges.note("large", "127.64.0.0/23");
  ranges.note("small", "127.64.3.128/25");
  ranges.note("foreign", "10.0.0.0/24");
  assert.deepEqual(
    ["a", "b", "a", "foreign"].map((name) => ranges.claim(name)),
    ["127.64.2.0/24", "127.64.4.0/24", "127.64.2.0/24", "127.64.5.0/24"],
  );
  // Another gave the node another one: the first is free again.
  ranges.note("a", "127.64.7.0/24");
  ranges.release("large");
  assert.deepEqual(
    ["c", "d", "e", "f", "g"].map((name) => ranges.claim(name)),
    ["127.64.0.0/24", "127.64.1.0/24", "127.64.2.0/24", "127.64.6.0/24", undefined],
  );
});

test("ranges that cannot be are refused by the flag's name", () => {
  assert.throws(() => ipam("10.0.0.0"), /--cluster-cidr: "10.0.0.0" is not an IPv4 range/);
  assert.throws(() => ipam("10.0.0.300/8"), /--cluster-cidr/);
  assert.throws(() => ipam("10.0.0.0/24", 24), /--node-cidr-mask-size: 24 must be from 25 to 30/);
});

const serving = (name: string, ip: string | undefined, ready: boolean, http = 8080): Pod => ({
  metadata: { name, namespace: "default", labels: { app: "web" } },
  spec: {
    nodeName: "n1",
    containers: [{ name: "c", ports: [{ name: "http", containerPort: http }] }],
  },
  status: {
    phase: "Running",
    podIP: ip,
    conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
  },
});
const service = (change: Service["spec"] = {}): Service => ({
  metadata: { name: "web", namespace: "default", labels: { team: "x" } },
  spec: {
    selector: { app: "web" },
    ports: [{ name: "web", port: 80, targetPort: "http" }],
    ...change,
  },
});

test("endpoints list ready and other pods, by named port, sorted, and follow changes", async () => {
  const { api, client, clock, end } = await harness(endpointsController(2));
  await client.services.create(service());
  await putPod(client, serving("b", "127.64.0.3", true));
  await putPod(client, serving("a", "127.64.0.2", true));
  await putPod(client, serving("odd", "127.64.0.4", true, 9090));
  await putPod(client, serving("lame", "127.64.0.5", false));
  await putPod(client, serving("starting", undefined, false));
  await clock.advance(200);
  const read = () => api.get("Endpoints", "default/web");
  const ips = (list: { ip?: string | undefined }[] = []) => list.map(({ ip }) => ip);
  const view = () =>
    read()?.subsets?.map(({ addresses, notReadyAddresses, ports }) => [
      ips(addresses),
      ips(notReadyAddresses),
      ports?.map(({ name, port, protocol }) => `${name}:${port}/${protocol}`),
    ]);
  assert.deepEqual(view(), [
    [["127.64.0.2", "127.64.0.3"], ["127.64.0.5"], ["web:8080/TCP"]],
    [["127.64.0.4"], [], ["web:9090/TCP"]],
  ]);
  assert.deepEqual(read()?.metadata?.labels, {
    ...{ team: "x", "endpoints.kubernetes.io/managed-by": "endpoint-controller" },
  });
  assert.equal(read()?.subsets?.[0]?.addresses?.[0]?.targetRef?.name, "a");
  const writes = api.written.length;
  await clock.advance(60_000);
  assert.equal(api.written.length, writes, "nothing is written twice");
  for (const name of ["a", "odd"]) {
    await client.pods.delete(name, "default");
    await api.finishPod(`default/${name}`);
  }
  await clock.advance(200);
  assert.deepEqual(view(), [[["127.64.0.3"], ["127.64.0.5"], ["web:8080/TCP"]]]);
  await client.services.delete("web", "default");
  await clock.advance(200);
  assert.equal(read(), undefined);
  await end();
});

test("headless services may do without ports; without a selector endpoints are left alone", async () => {
  const { api, client, clock, end } = await harness(endpointsController(2));
  await client.services.create(service({ clusterIP: "None", ports: [] }));
  const manual = service({ selector: {} });
  await client.services.create({ ...manual, metadata: { name: "manual", namespace: "default" } });
  await putPod(client, serving("a", "127.64.0.2", true));
  await clock.advance(200);
  const headless = api.get("Endpoints", "default/web");
  assert.equal(headless?.subsets?.[0]?.ports, undefined);
  assert.equal(headless?.metadata?.labels?.["service.kubernetes.io/headless"], "");
  assert.equal(api.get("Endpoints", "default/manual"), undefined);
  await end();
});

test("Endpoints that stand for no service are their author's", async () => {
  const { api, client, clock, end } = await harness(endpointsController(1));
  await client.endpoints.create({ metadata: { name: "own", namespace: "default" } });
  await clock.advance(100);
  await api.change("Endpoints", "default/own", (endpoints) => {
    endpoints.subsets = [{ addresses: [{ ip: "10.9.8.7" }], ports: [{ port: 80 }] }];
  });
  await clock.advance(100);
  assert.ok(api.get("Endpoints", "default/own"));
  await end();
});

test("pods that no kubelet will remove are removed", async () => {
  const options = { terminatedThreshold: 1, periodMillis: 20_000, quarantineMillis: 40_000 };
  const { api, client, clock, end } = await harness(podGcController(options));
  await client.nodes.create(node("n1"));
  const make = (
    name: string,
    nodeName: string | undefined,
    phase: string,
    finalizers: string[] = [],
  ) =>
    putPod(client, {
      metadata: { name, namespace: "default", finalizers },
      spec: { nodeName },
      status: { phase },
    });
  await make("kept", "n1", "Running");
  await make("lost", "vanished", "Running");
  await make("done1", "n1", "Succeeded");
  await clock.advance(2_000);
  await make("done2", "n1", "Failed");
  await settle();
  await clock.advance(30_000);
  assert.ok(api.get("Pod", "default/lost"), "a missing node is given time");
  await clock.advance(60_000);
  assert.deepEqual(
    api.all("Pod").map(({ metadata }) => metadata?.name),
    ["done2", "kept"],
  );
  await end();
});
