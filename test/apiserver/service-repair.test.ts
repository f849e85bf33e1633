/** What services hold and what the store keeps of it: one row a fault, and how it is put right. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Event, Service, ServiceSpec } from "../../proto/gen/core.ts";
import { parseAddressRange } from "../../services/apiserver/address-range.ts";
import { parsePortRange } from "../../services/apiserver/admission/port-range.ts";
import { repairServiceAllocations } from "../../services/apiserver/service-allocations.ts";
import { planRepairs } from "../../services/apiserver/service-repairs.ts";
import {
  keyBytes,
  serviceAddressKey,
  serviceNodePortKey,
} from "../../services/apiserver/storage/keys.ts";
import { createSelection } from "../../services/apiserver/storage/selection.ts";
import { kind, make, service, world } from "./harness.ts";

const ranges = {
  addresses: [parseAddressRange("10.96.0.0/24")],
  ports: parsePortRange("30000-30009"),
};
const held = (name: string, spec: ServiceSpec, second = 0): Service => ({
  metadata: { name, namespace: "n", creationTimestamp: `2026-03-01T12:00:0${second}Z` },
  spec,
});
const at = (clusterIP: string): ServiceSpec => ({ type: "ClusterIP", clusterIP });
const on = (...nodePorts: number[]): ServiceSpec => ({
  type: "NodePort",
  ports: nodePorts.map((nodePort) => ({ nodePort })),
});
const address = (last: number, owner = "n/a") => [serviceAddressKey(`10.96.0.${last}`), owner];
const port = (number: number, owner = "n/a") => [serviceNodePortKey(number), owner];

const rows: readonly [string, Service[], string[][], string[]][] = [
  ["nothing wrong", [held("a", at("10.96.0.1"))], [address(1)], []],
  ["nothing at all", [], [], []],
  ["headless services hold nothing", [held("a", at("None"))], [], []],
  ["nor do names", [held("a", { type: "ExternalName", clusterIP: "10.96.0.1" })], [], []],
  ["a lost address", [held("a", at("10.96.0.1"))], [], ["a ClusterIPNotAllocated, from 0"]],
  [
    "an address of another's",
    [held("a", at("10.96.0.1"))],
    [address(1, "n/z")],
    ["a ClusterIPNotAllocated, from 7"],
  ],
  ["an address of no one", [], [address(1)], ["free 10.96.0.1"]],
  [
    "an address twice: the older one keeps it",
    [held("b", at("10.96.0.1"), 1), held("a", at("10.96.0.1"), 0)],
    [address(1)],
    ["b ClusterIPAlreadyAllocated"],
  ],
  [
    "an address outside the range is kept, and told",
    [held("a", at("10.97.0.1"))],
    [[serviceAddressKey("10.97.0.1"), "n/a"]],
    ["a ClusterIPOutOfRange"],
  ],
  ["a lost port", [held("a", on(30_001))], [], ["a PortNotAllocated, from 0"]],
  ["a port for two protocols of one service", [held("a", on(30_001, 30_001))], [port(30_001)], []],
  [
    "a port twice",
    [held("a", on(30_001)), held("b", on(30_001), 1)],
    [port(30_001)],
    ["b PortAlreadyAllocated"],
  ],
  ["a port outside the range", [held("a", on(80))], [port(80)], ["a PortOutOfRange"]],
  [
    "a port of a service that is exposed no longer",
    [held("a", { ...on(30_001), type: "ClusterIP" })],
    [port(30_001)],
    ["free 30001"],
  ],
  [
    "the port for health checks",
    [held("a", { type: "LoadBalancer", healthCheckNodePort: 30_002 })],
    [],
    ["a PortNotAllocated, from 0"],
  ],
];
for (const [title, services, keys, expected] of rows) {
  test(`service repair: ${title}`, () => {
    const allocations = new Map(
      keys.map(([key = "", owner = ""]) => [key, { owner, revision: 7 }] as const),
    );
    const { faults, leaks } = planRepairs(services, allocations, ranges);
    const shown = [
      ...faults.map(({ service: { metadata }, event, claim }) => {
        const from = claim === undefined ? "" : `, from ${claim.revision}`;
        return `${metadata?.name} ${event.reason}${from}`;
      }),
      ...leaks.map(({ key }) => `free ${key.split("/").at(-1)}`),
    ];
    assert.deepEqual(shown, expected);
  });
}

test("service repair: a lost key is written again with an event, a stray one goes", async () => {
  await using w = await world();
  const { store, cache, registry } = w.backend;
  const real = {
    addresses: [parseAddressRange("127.32.0.0/12")],
    ports: parsePortRange("30000-32767"),
  };
  const made = await make(w.backend, service("web", { type: "NodePort", ports: [{ port: 80 }] }));
  const { spec } = made.document as Service;
  const lost = keyBytes(serviceAddressKey(spec?.clusterIP ?? ""));
  const stray = keyBytes(serviceNodePortKey(30_000));
  const operations = [
    { op: "delete", key: lost },
    { op: "put", key: stray, value: Buffer.from("default/gone") },
  ] as const;
  await store.txn({ compares: [], success: operations, failure: [] });
  assert.equal(await repairServiceAllocations(w.backend, real), 2);
  assert.equal(await repairServiceAllocations(w.backend, real), 0);
  const { kvs } = await store.range({ key: lost });
  assert.equal(Buffer.from(kvs[0]?.value ?? []).toString("utf8"), "default/web");
  assert.equal((await store.range({ key: stray })).kvs.length, 0);
  await cache.waitFor(await store.readRevision());
  const events = cache.of(registry.required("v1", "Event"));
  const told = [...events.select(createSelection(kind("events"), { namespace: "default" }))];
  assert.deepEqual(
    told.map(({ document }) => (document as Event).message),
    [`Cluster IP [IPv4]:${spec?.clusterIP} is not allocated; repairing`],
  );
});
