import assert from "node:assert/strict";
import { test } from "node:test";
import { endpointSliceController } from "../../services/controllers/endpoint-slice/controller.ts";
import { endpointsController } from "../../services/controllers/endpoints.ts";
import type { RealApi } from "../client/real-api.ts";
import { harness, putPod } from "./harness.ts";

const service = {
  metadata: { name: "web", namespace: "default", labels: { tier: "front" } },
  spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
};
const slices = (api: RealApi) =>
  api
    .all("EndpointSlice")
    .filter(({ metadata }) => metadata?.labels?.["kubernetes.io/service-name"] === "web");
const putReady = (client: Parameters<typeof putPod>[0], name: string, ip: string) =>
  putPod(client, {
    metadata: { name, namespace: "default", labels: { app: "web" } },
    status: { phase: "Running", podIP: ip, conditions: [{ type: "Ready", status: "True" }] },
  });

test("the pods behind a service stand in a slice, with what state they are in", async () => {
  const { api, client, clock, end } = await harness(endpointSliceController(1));
  await client.services.create(service);
  await clock.advance(100);
  const [empty] = slices(api);
  assert.deepEqual(empty?.endpoints ?? [], []);
  assert.equal(empty?.metadata?.labels?.["tier"], "front");
  assert.equal(empty?.metadata?.ownerReferences?.[0]?.kind, "Service");
  await putReady(client, "a", "127.64.0.1");
  await clock.advance(100);
  const [slice] = slices(api);
  assert.equal(slices(api).length, 1);
  assert.equal(slice?.metadata?.name, empty?.metadata?.name);
  assert.deepEqual(slice?.ports, [{ name: "http", protocol: "TCP", port: 8080 }]);
  assert.deepEqual(slice?.endpoints?.[0]?.addresses, ["127.64.0.1"]);
  assert.deepEqual(slice?.endpoints?.[0]?.conditions, {
    ready: true,
    serving: true,
    terminating: false,
  });
  await api.change("Pod", "default/a", (pod) => {
    pod.status = { ...pod.status, conditions: [{ type: "Ready", status: "False" }] };
  });
  await clock.advance(100);
  assert.equal(slices(api)[0]?.endpoints?.[0]?.conditions?.ready, false);
  await end();
});

test("what another client changes is put right", async () => {
  const { api, client, clock, end } = await harness(endpointSliceController(1));
  await client.services.create(service);
  for (let index = 0; index < 3; index++) {
    await putReady(client, `p${index}`, `127.64.1.${index + 1}`);
  }
  await clock.advance(100);
  const [slice] = slices(api);
  assert.equal(slice?.endpoints?.length, 3);
  await api.change("EndpointSlice", `default/${slice?.metadata?.name}`, (each) => {
    each.endpoints = [];
  });
  await clock.advance(100);
  assert.equal(slices(api)[0]?.endpoints?.length, 3);
  await client.endpointSlices.delete(slice?.metadata?.name ?? "", "default");
  await clock.advance(100);
  assert.equal(slices(api)[0]?.endpoints?.length, 3);
  await end();
});

test("what keeps the addresses of a service from being written is told", async () => {
  const { api, client, clock, end } = await harness(
    endpointsController(1),
    endpointSliceController(1),
  );
  const hard = { "count/endpoints": "0", "count/endpointslices.discovery.k8s.io": "0" };
  const quota = { metadata: { name: "none", namespace: "default" }, spec: { hard } };
  const { metadata } = await client.resourceQuotas.create(quota);
  await client.resourceQuotas.updateStatus({ ...quota, metadata, status: { hard, used: hard } });
  await client.services.create(service);
  await clock.advance(100);
  const events = api.all("Event").map(({ source, involvedObject, reason, message }) => {
    const [text = ""] = message?.split(" is forbidden: ") ?? [];
    // Each attempt makes up a name of its own for the slice.
    const told = `${reason}: ${text.replace(/web-\w{5}/, "web-…")}`;
    return `${source?.component} of ${involvedObject?.kind} ${involvedObject?.name}: ${told}`;
  });
  assert.deepEqual([...new Set(events)].sort(), [
    "endpoint-controller of Endpoints web: FailedToCreateEndpoint: " +
      'Failed to create endpoint for service default/web: endpoints "web"',
    "endpoint-slice-controller of Service web: FailedToUpdateEndpointSlices: Error updating " +
      'Endpoint Slices for Service default/web: endpointslices.discovery.k8s.io "web-…"',
  ]);
  await end();
});
