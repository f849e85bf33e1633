import assert from "node:assert/strict";
import { test } from "node:test";
import type { Endpoints, Service } from "../../proto/gen/core.ts";
import {
  endpointSliceMirroringController,
  isMirrored,
  mirrored,
} from "../../services/controllers/endpoint-slice/mirroring.ts";
import type { RealApi } from "../client/real-api.ts";
import { harness } from "./harness.ts";

const endpoints = (subsets: Endpoints["subsets"] = [], metadata: object = {}): Endpoints => ({
  metadata: { name: "db", namespace: "default", ...metadata },
  subsets,
});
const ports = [{ name: "sql", port: 5432 }];
const slices = (api: RealApi) =>
  api
    .all("EndpointSlice")
    .filter(({ metadata }) => metadata?.labels?.["kubernetes.io/service-name"] === "db");

const plain = { spec: {} };
const skip = "endpointslice.kubernetes.io/skip-mirror";
const rows: readonly [string, Endpoints | undefined, Service | undefined, boolean][] = [
  ["a service without a selector", endpoints(), plain, true],
  ["a service with one", endpoints(), { spec: { selector: { app: "db" } } }, false],
  ["no service", endpoints(), undefined, false],
  ["no endpoints", undefined, plain, false],
  ["its author does not want it", endpoints([], { labels: { [skip]: "true" } }), plain, false],
  [
    "a record of leader election",
    endpoints([], { annotations: { "control-plane.alpha.kubernetes.io/leader": "{}" } }),
    plain,
    false,
  ],
  ["endpoints that go", endpoints([], { deletionTimestamp: "2026-01-01T00:00:00Z" }), plain, false],
];
for (const [title, given, service, expected] of rows) {
  test(`mirrored: ${title}`, () => assert.equal(isMirrored(given, service), expected));
}

test("each subset and family of addresses is a slice", () => {
  const made = mirrored(
    endpoints([
      {
        addresses: [{ ip: "10.0.0.1", hostname: "a" }, { ip: "fd00::1" }],
        notReadyAddresses: [{ ip: "10.0.0.2" }],
        ports,
      },
      { addresses: [{ ip: "10.0.0.3" }], ports: [{ port: 80 }] },
    ]),
  );
  assert.deepEqual(
    made.map((slice) => [
      slice.addressType,
      slice.endpoints?.map((each) => `${each.addresses?.[0]} ${each.conditions?.ready}`),
      slice.ports?.[0]?.port,
    ]),
    [
      ["IPv4", ["10.0.0.1 true", "10.0.0.2 false"], 5432],
      ["IPv6", ["fd00::1 true"], 5432],
      ["IPv4", ["10.0.0.3 true"], 80],
    ],
  );
  assert.equal(made[0]?.endpoints?.[0]?.hostname, "a");
});

test("a thousand addresses of a subset are mirrored, and what is left out is told", async () => {
  const { api, client, clock, end } = await harness(endpointSliceMirroringController(1));
  await client.services.create({
    metadata: { name: "db", namespace: "default" },
    spec: { ports: [{ port: 5432 }] },
  });
  const many = (prefix: string, count: number) =>
    Array.from({ length: count }, (_, i) => ({ ip: `${prefix}.${i >> 8}.${i & 255}` }));
  await client.endpoints.create(
    endpoints([
      { addresses: many("10.1", 990), notReadyAddresses: [{ ip: "fd00::1" }, ...many("10.2", 14)] },
      { addresses: many("10.3", 3), ports },
    ]),
  );
  await clock.until(() => slices(api).length === 3, "the slices");
  const sizes = slices(api).map((each) => each.endpoints?.length ?? 0);
  assert.deepEqual(
    sizes.sort((a, b) => a - b),
    [1, 3, 999],
  );
  const told = api.all("Event").find(({ reason }) => reason === "TooManyAddressesToMirror");
  assert.equal(told?.involvedObject?.kind, "Endpoints");
  assert.equal(
    told?.message,
    "A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset. " +
      "5 addresses were skipped",
  );
  await end();
});

test("slices follow the endpoints, and go with them", async () => {
  const { api, client, clock, end } = await harness(endpointSliceMirroringController(1));
  await client.services.create({
    metadata: { name: "db", namespace: "default" },
    spec: { ports: [{ port: 5432 }] },
  });
  await client.endpoints.create(endpoints([{ addresses: [{ ip: "10.0.0.1" }], ports }]));
  await clock.advance(500);
  const [slice] = slices(api);
  assert.deepEqual(slice?.endpoints?.[0]?.addresses, ["10.0.0.1"]);
  assert.equal(slice?.metadata?.ownerReferences?.[0]?.kind, "Endpoints");
  const by = slice?.metadata?.labels?.["endpointslice.kubernetes.io/managed-by"];
  assert.equal(by, "endpointslicemirroring-controller.k8s.io");
  await api.change("Endpoints", "default/db", (each) => {
    each.subsets![0]!.addresses = [{ ip: "10.0.0.9" }];
  });
  await clock.advance(500);
  assert.deepEqual(slices(api)[0]?.endpoints?.[0]?.addresses, ["10.0.0.9"]);
  assert.equal(slices(api)[0]?.metadata?.name, slice?.metadata?.name);
  await api.change("Service", "default/db", (each) => {
    each.spec!.selector = { app: "db" };
  });
  await clock.advance(500);
  assert.deepEqual(slices(api), []);
  await end();
});
