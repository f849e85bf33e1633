/** What stands for the pods behind a Service, as upstream documents it: one row a case. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, Pod, Service, ServiceSpec } from "../../proto/gen/core.ts";
import { slicesOf } from "../../services/controllers/endpoint-slice/slices.ts";
import { subsetsOf } from "../../services/controllers/endpoints.ts";

/**
 * The last number of its address, then how it is: `*` ready, `-` not ready, `f` failed, `s` succeeded;
 * `x`: being deleted; `@a`: on a node in zone a.
 */
function podFrom(text: string): Pod {
  const [, number, state, going, zone] = /^(\d+)([*\-fs])(x?)(?:@(\w+))?$/.exec(text) ?? [];
  const phases: Record<string, string> = { f: "Failed", s: "Succeeded" };
  return {
    metadata: {
      ...{ name: `p${number}`, namespace: "default", uid: `u${number}`, labels: { app: "web" } },
      ...(going && { deletionTimestamp: "2026-03-01T12:00:00Z" }),
    },
    spec: {
      ...(zone && { nodeName: zone }),
      containers: [
        {
          name: "c",
          ports: [
            { name: "http", containerPort: 8080 },
            { name: "dns", containerPort: 5353, protocol: "UDP" },
          ],
        },
      ],
    },
    status: {
      phase: phases[state ?? ""] ?? "Running",
      podIP: `10.0.0.${number}`,
      conditions: [{ type: "Ready", status: state === "*" ? "True" : "False" }],
    },
  };
}
const podsFrom = (text: string) => (text === "" ? [] : text.split(" ").map(podFrom));
const serviceOf = (spec: ServiceSpec): Service => ({
  metadata: { name: "web", namespace: "default", labels: { tier: "front" } },
  spec: { selector: { app: "web" }, clusterIP: "10.96.0.1", ports: [{ port: 80 }], ...spec },
});
const nodeOf = (name: string): Node => ({
  metadata: { name, labels: { "topology.kubernetes.io/zone": name } },
});
const ports = (given: object[]): ServiceSpec => ({ ports: given });
const all: ServiceSpec = { publishNotReadyAddresses: true };

const sliceRows: readonly [string, ServiceSpec, string, string][] = [
  ["no pods: one slice, without anything", {}, "", "[]"],
  ["a ready pod", {}, "1*", "[1 ready serving] 80/TCP"],
  ["one that is not ready", {}, "1-", "[1] 80/TCP"],
  ["one that goes serves on, but is not ready", {}, "1*x", "[1 serving terminating] 80/TCP"],
  ["one that goes and does not serve", {}, "1-x", "[1 terminating] 80/TCP"],
  ["published whatever its state", all, "1- 2-x", "[1 ready][2 ready terminating] 80/TCP"],
  ["ended pods are none", {}, "1f 2s 3*", "[3 ready serving] 80/TCP"],
  ["a named port", ports([{ port: 80, targetPort: "http" }]), "1*", "[1 ready serving] 8080/TCP"],
  ["a name of another protocol is none", ports([{ port: 53, targetPort: "dns" }]), "1*", "[]"],
  [
    "the same port for two protocols",
    ports([
      { name: "u", port: 53, targetPort: "dns", protocol: "UDP" },
      { name: "t", port: 53, targetPort: 53, protocol: "TCP" },
    ]),
    "1*",
    "[1 ready serving] t:53/TCP u:5353/UDP",
  ],
  ["headless without ports", { clusterIP: "None", ports: [] }, "1*", "[1 ready serving]"],
  ["without ports, not headless", { ports: [] }, "1*", "[]"],
  [
    "near ones by zone",
    { trafficDistribution: "PreferClose" },
    "1*@a 2*@b 3*",
    "[1 ready serving →a][2 ready serving →b][3 ready serving] 80/TCP",
  ],
  [
    "near ones by node",
    { trafficDistribution: "PreferSameNode" },
    "1*@a",
    "[1 ready serving →a →a] 80/TCP",
  ],
];
for (const [title, spec, pods, expected] of sliceRows) {
  test(`endpoint slice: ${title}`, () => {
    const shown = slicesOf(serviceOf(spec), podsFrom(pods), nodeOf).map((slice) => {
      const endpoints = (slice.endpoints ?? []).map(({ addresses, conditions, hints }) => {
        const near = [...(hints?.forZones ?? []), ...(hints?.forNodes ?? [])];
        return `[${[
          addresses?.[0]?.split(".").at(-1),
          ...Object.entries(conditions ?? {}).flatMap(([name, is]) => (is ? [name] : [])),
          ...near.map(({ name }) => `→${name}`),
        ].join(" ")}]`;
      });
      const told = (slice.ports ?? []).map(
        ({ name, port, protocol }) => `${name ? `${name}:` : ""}${port}/${protocol}`,
      );
      return [endpoints.join("") || "[]", ...told].join(" ");
    });
    assert.equal(shown.join(" & "), expected);
  });
}

test("a service of both families has slices of each, and Endpoints of its first one", () => {
  const podIPs = [{ ip: "10.0.0.1" }, { ip: "fd00::1" }];
  const [dual, single] = podsFrom("1* 2*");
  const pods = [{ ...dual, status: { ...dual?.status, podIP: "10.0.0.1", podIPs } }, single ?? {}];
  const shown = (ipFamilies: string[]) =>
    slicesOf(serviceOf({ ipFamilies }), pods, nodeOf).map(({ addressType, endpoints }) => [
      addressType,
      ...(endpoints ?? []).flatMap(({ addresses = [] }) => addresses),
    ]);
  const four = ["IPv4", "10.0.0.1", single?.status?.podIP];
  assert.deepEqual(shown(["IPv6", "IPv4"]), [["IPv6", "fd00::1"], four]);
  assert.deepEqual(shown(["IPv4"]), [four]);
  const { subsets } = subsetsOf(serviceOf({ ipFamilies: ["IPv6", "IPv4"] }), pods);
  assert.deepEqual(
    subsets.flatMap(({ addresses = [] }) => addresses.map(({ ip }) => ip)),
    ["fd00::1"],
  );
});

test("endpoint slice: labels, and how many endpoints one has", () => {
  const many = Array.from({ length: 250 }, (_, index) => podFrom(`${index + 1}*`));
  const slices = slicesOf(serviceOf({ clusterIP: "None" }), many, nodeOf);
  assert.deepEqual(
    slices.map(({ endpoints }) => endpoints?.length),
    [100, 100, 50],
  );
  assert.deepEqual(slices[0]?.metadata?.labels, {
    tier: "front",
    "kubernetes.io/service-name": "web",
    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    "service.kubernetes.io/headless": "",
  });
});

const subsetRows: readonly [string, ServiceSpec, string, string][] = [
  ["no pods", {}, "", ""],
  ["ready and not ready", {}, "1* 2-", "1 !2 80"],
  ["one that goes is none", {}, "1* 2*x", "1 80"],
  ["published whatever its state", all, "1- 2*x", "1 2 80"],
  ["ended pods are none", {}, "1f 2s", ""],
  ["a named port", ports([{ port: 80, targetPort: "http" }]), "1*", "1 8080"],
  ["a port that no container has", ports([{ port: 80, targetPort: "nope" }]), "1*", ""],
  ["headless without ports", { clusterIP: "None", ports: [] }, "1*", "1"],
];
for (const [title, spec, pods, expected] of subsetRows) {
  test(`endpoints: ${title}`, () => {
    const last = ({ ip = "" }) => ip.split(".").at(-1);
    const shown = subsetsOf(serviceOf(spec), podsFrom(pods)).subsets.map((subset) => [
      ...(subset.addresses ?? []).map(last),
      ...(subset.notReadyAddresses ?? []).map((each) => `!${last(each)}`),
      ...(subset.ports ?? []).map(({ port }) => port),
    ]);
    assert.equal(shown.map((each) => each.join(" ")).join(" & "), expected);
  });
}

test("endpoints: no more than a thousand, ready ones first", () => {
  const many = Array.from({ length: 1_200 }, (_, index) =>
    podFrom(`${index}${index < 900 ? "-" : "*"}`),
  );
  const { subsets, cut } = subsetsOf(serviceOf({}), many);
  const [{ addresses = [], notReadyAddresses = [] } = {}] = subsets;
  assert.deepEqual([addresses.length, notReadyAddresses.length, cut], [300, 700, true]);
});
