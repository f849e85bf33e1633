import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod, Service } from "../../proto/gen/core.ts";
import { endpointsController } from "../../services/controllers/endpoints.ts";
import { podGcController } from "../../services/controllers/pod-gc.ts";
import { settle } from "../client/fake-clock.ts";
import { harness, node, putPod } from "./harness.ts";

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

test("a pod that was told to go is removed where an administrator has given its node up", async () => {
  const options = { terminatedThreshold: 0, periodMillis: 20_000, quarantineMillis: 40_000 };
  const { api, client, clock, end } = await harness(podGcController(options));
  const names = () => api.all("Pod").map(({ metadata }) => metadata?.name);
  for (const nodeName of ["well", "silent"]) {
    await client.nodes.create(node(nodeName));
    for (const name of [`stays-${nodeName}`, `goes-${nodeName}`]) {
      await putPod(client, {
        metadata: { name, namespace: "default" },
        spec: { nodeName },
        status: { phase: "Running" },
      });
    }
    await client.pods.delete(`goes-${nodeName}`, "default", { gracePeriodSeconds: 30 });
  }
  const all = ["goes-silent", "goes-well", "stays-silent", "stays-well"];
  await api.change("Node", "silent", ({ status }) => {
    status!.conditions = [{ type: "Ready", status: "Unknown" }];
  });
  await clock.advance(120_000);
  assert.deepEqual(names(), all, "a node that is silent may still run them");
  const key = "node.kubernetes.io/out-of-service";
  for (const nodeName of ["well", "silent"]) {
    await api.change("Node", nodeName, (each) => {
      each.spec = { taints: [{ key, value: "nodeshutdown", effect: "NoExecute" }] };
    });
  }
  await clock.advance(30_000);
  assert.deepEqual(
    names(),
    all.filter((name) => name !== "goes-silent"),
  );
  await end();
});
