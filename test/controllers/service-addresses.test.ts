import assert from "node:assert/strict";
import { test } from "node:test";
import type { Service } from "../../proto/gen/core.ts";
import type { IPAddress } from "../../proto/gen/networking.ts";
import {
  addressesOf,
  addressOf,
  planAddress,
  serviceAddressController,
} from "../../services/controllers/service-addresses.ts";
import { harness } from "./harness.ts";

const service = (name: string): Service => ({ metadata: { name, namespace: "default" } });
const ip = "10.0.0.1";
const foreign: IPAddress = { metadata: { name: ip }, spec: { parentRef: { resource: "pods" } } };
const withoutGroup: IPAddress = {
  ...addressOf(ip, service("a")),
  spec: { parentRef: { resource: "services", namespace: "default", name: "a" } },
};
const rows: readonly [string, IPAddress | undefined, Service | undefined, string | undefined][] = [
  ["free and unknown", undefined, undefined, undefined],
  ["a service has it", undefined, service("a"), "create"],
  ["as it is", addressOf(ip, service("a")), service("a"), undefined],
  ["as other apiservers write it", withoutGroup, service("a"), undefined],
  ["another service has it", addressOf(ip, service("a")), service("b"), "delete"],
  ["no service has it any more", addressOf(ip, service("a")), undefined, "delete"],
  ["a person has written it", foreign, undefined, undefined],
];
for (const [title, known, owner, expected] of rows) {
  test(`address: ${title}`, () => assert.equal(planAddress(ip, known, owner), expected));
}

test("addresses: one of each family, by one name however it is written", () => {
  const clusterIPs = ["10.96.0.5", "FD00:0096::0:5"];
  assert.deepEqual(addressesOf({ spec: { clusterIP: "10.96.0.5", clusterIPs } }), [
    "10.96.0.5",
    "fd00:96::5",
  ]);
  assert.deepEqual(addressesOf({ spec: { clusterIP: "None", clusterIPs: ["None"] } }), []);
});

test("addresses come and go with their services, and the range is ready", async () => {
  const { api, client, clock, end } = await harness(serviceAddressController(1));
  await client.services.create({ ...service("a"), spec: { ports: [{ port: 80 }] } });
  await clock.advance(500);
  const { clusterIP = "" } = api.get("Service", "default/a")?.spec ?? {};
  assert.deepEqual(api.get("IPAddress", clusterIP)?.spec?.parentRef, {
    group: "",
    resource: "services",
    namespace: "default",
    name: "a",
  });
  const [ready] = api.get("ServiceCIDR", "kubernetes")?.status?.conditions ?? [];
  assert.deepEqual(
    [ready?.type, ready?.status, ready?.message],
    ["Ready", "True", "Kubernetes Service CIDR is ready"],
  );
  await client.services.delete("a", "default");
  await clock.until(() => api.get("IPAddress", clusterIP) === undefined, "the address is free");
  await end();
});
