import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Container, PodSpec, Taint, Toleration } from "../../proto/gen/core.ts";
import {
  hostPortsConflict,
  hostPortsOf,
  podRequests,
  qosClassOf,
  tolerates,
} from "../../services/kinds/mod.ts";

describe("requests of a pod", () => {
  const one = (cpu: string, more: Container = {}): Container => ({
    resources: { requests: { cpu } },
    ...more,
  });
  const always: Container = { restartPolicy: "Always" };
  const table: [string, PodSpec, Record<string, number>][] = [
    ["nothing", {}, {}],
    ["containers add up", { containers: [one("100m"), one("200m")] }, { cpu: 300 }],
    [
      "the largest init container counts",
      { containers: [one("100m")], initContainers: [one("1"), one("400m")] },
      { cpu: 1000 },
    ],
    [
      "an init container counts beside the sidecars before it",
      {
        containers: [one("100m"), one("200m")],
        initContainers: [one("50m", always), one("400m")],
      },
      { cpu: 450 },
    ],
    [
      "sidecars run beside the containers",
      { containers: [one("100m"), one("200m")], initContainers: [one("50m", always)] },
      { cpu: 350 },
    ],
    [
      "overhead comes on top, of every resource",
      { containers: [one("100m")], overhead: { cpu: "10m", memory: "1Ki" } },
      { cpu: 110, memory: 1024 },
    ],
    [
      "requests of the whole pod replace the sum",
      { containers: [one("100m")], resources: { requests: { cpu: "2" } } },
      { cpu: 2000 },
    ],
    [
      "a limit without a request is one",
      { containers: [{ resources: { limits: { "ephemeral-storage": "1Ki" } } }] },
      { "ephemeral-storage": 1024 },
    ],
    ["amounts are rounded up", { containers: [one("0.0001")] }, { cpu: 1 }],
  ];
  for (const [name, spec, expected] of table) {
    test(name, () => assert.deepEqual(podRequests({ spec }), expected));
  }
});

describe("quality of service", () => {
  const full = { cpu: "1", memory: "1Gi" };
  const of = (...resources: Container["resources"][]) =>
    qosClassOf({ spec: { containers: resources.map((each) => ({ resources: each })) } });
  test("by containers", () => {
    assert.equal(of(undefined), "BestEffort");
    assert.equal(of({ limits: { "example.com/gpu": "1" } }), "BestEffort");
    assert.equal(of({ limits: full }), "Guaranteed");
    assert.equal(of({ limits: full, requests: { cpu: "1000m", memory: "1024Mi" } }), "Guaranteed");
    assert.equal(of({ limits: full, requests: { cpu: "500m", memory: "1Gi" } }), "Burstable");
    assert.equal(of({ limits: full }, undefined), "Burstable");
    assert.equal(of({ requests: { cpu: "1m" } }), "Burstable");
  });
  test("by the pod as a whole", () => {
    const containers = [{ resources: { requests: { cpu: "1m" } } }];
    assert.equal(qosClassOf({ spec: { containers, resources: { limits: full } } }), "Guaranteed");
  });
});

describe("host ports", () => {
  const port = (hostPort: number, hostIP?: string, protocol?: string) => ({
    containerPort: 80,
    hostPort,
    hostIP,
    protocol,
  });
  const text = (spec: PodSpec) =>
    hostPortsOf({ spec }).map((each) => `${each.protocol} ${each.address}:${each.port}`);
  test("of containers and sidecars, not of init containers that end", () => {
    const spec: PodSpec = {
      containers: [{ ports: [port(1), { containerPort: 9 }] }],
      initContainers: [
        { ports: [port(2)] },
        { restartPolicy: "Always", ports: [port(3, "127.0.0.1", "UDP")] },
      ],
    };
    assert.deepEqual(text(spec), ["TCP 0.0.0.0:1", "UDP 127.0.0.1:3"]);
  });
  test("on the host network every port is one", () => {
    const spec = { hostNetwork: true, containers: [{ ports: [{ containerPort: 9 }] }] };
    assert.deepEqual(text(spec), ["TCP 0.0.0.0:9"]);
  });
  test("conflicts need the same port, the same protocol and a common address", () => {
    const rows: [ReturnType<typeof port>, ReturnType<typeof port>, boolean][] = [
      [port(1), port(1), true],
      [port(1), port(2), false],
      [port(1), port(1, "127.0.0.1"), true],
      [port(1, "127.0.0.2"), port(1, "127.0.0.1"), false],
      [port(1, "127.0.0.1"), port(1, "127.0.0.1", "UDP"), false],
    ];
    for (const [a, b, expected] of rows) {
      const [left, right] = [a, b].map(
        (one) => hostPortsOf({ spec: { containers: [{ ports: [one] }] } })[0]!,
      );
      assert.equal(hostPortsConflict(left!, right!), expected, JSON.stringify([a, b]));
    }
  });
});

test("tolerations", () => {
  const taint: Taint = { key: "k", value: "v", effect: "NoSchedule" };
  const rows: [Toleration, boolean][] = [
    [{ operator: "Exists" }, true],
    [{ key: "k", operator: "Exists" }, true],
    [{ key: "other", operator: "Exists" }, false],
    [{ key: "k", value: "v" }, true],
    [{ key: "k", operator: "Equal", value: "v" }, true],
    [{ key: "k", value: "w" }, false],
    [{ key: "k", operator: "Gt", value: "v" }, false],
    [{ key: "k", operator: "Exists", effect: "NoSchedule" }, true],
    [{ key: "k", operator: "Exists", effect: "NoExecute" }, false],
    [{}, false],
  ];
  for (const [toleration, expected] of rows) {
    assert.equal(tolerates([toleration], taint), expected, JSON.stringify(toleration));
  }
  assert.equal(tolerates(undefined, taint), false);
});
