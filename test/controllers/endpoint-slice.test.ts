import assert from "node:assert/strict";
import { test } from "node:test";
import { endpointSliceController } from "../../services/controllers/endpoint-slice/controller.ts";
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
