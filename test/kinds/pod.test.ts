import assert from "node:assert/strict";
import { test } from "node:test";
import { pullPolicyOf } from "../../services/kinds/mod.ts";
import { check, type Loose, podDocument, row, updateProblems } from "./documents.ts";
import { registry } from "./registry.ts";

const now = Date.parse("2026-01-01T00:10:00Z");

test("defaults", () => {
  const pod = podDocument();
  const container = pod.spec.containers[0];
  container.image = "nginx";
  container.ports = [{ containerPort: 80 }];
  container.livenessProbe = { httpGet: { port: 80 } };
  container.resources = { limits: { cpu: "1000m", memory: "1Gi" }, requests: { cpu: "0.5" } };
  pod.spec.volumes = [{ name: "v" }, { name: "c", configMap: { name: "m" } }];
  const { document, problems } = check(pod);
  assert.deepEqual(problems, []);
  const { spec } = document;
  assert.equal(spec.restartPolicy, "Always");
  assert.equal(spec.terminationGracePeriodSeconds, 30);
  assert.equal(spec.dnsPolicy, "ClusterFirst");
  assert.equal(spec.schedulerName, "default-scheduler");
  const [web] = spec.containers;
  assert.equal(web.imagePullPolicy, "Always");
  assert.equal(web.ports[0].protocol, "TCP");
  assert.deepEqual(web.resources.limits, { cpu: "1", memory: "1Gi" });
  assert.deepEqual(web.resources.requests, { cpu: "500m", memory: "1Gi" });
  assert.equal(web.livenessProbe.periodSeconds, 10);
  assert.equal(web.livenessProbe.httpGet.path, "/");
  assert.deepEqual(spec.volumes, [
    { name: "v", emptyDir: {} },
    { name: "c", configMap: { name: "m", defaultMode: 420 } },
  ]);
  assert.equal(document.status.phase, "Pending");
  assert.equal(document.status.qosClass, "Burstable");
});

test("pull policy by tag", () => {
  const rows: [string, string][] = [
    ["nginx", "Always"],
    ["nginx:latest", "Always"],
    ["nginx:1.27", "IfNotPresent"],
    ["host:5000/nginx", "Always"],
    ["host:5000/nginx:1", "IfNotPresent"],
    ["nginx@sha256:0", "IfNotPresent"],
    ["localhost/nginx", "Always"],
    ["Host/nginx", "Always"],
    ["No_Image", "IfNotPresent"],
    ["../x", "IfNotPresent"],
    ["-host.example/nginx", "IfNotPresent"],
    ["x".repeat(300), "IfNotPresent"],
    ["a".repeat(64), "IfNotPresent"],
  ];
  for (const [image, policy] of rows) assert.equal(pullPolicyOf(image), policy, image);
});

const invalidPods: [string, (spec: Loose, container: Loose) => void][] = [
  ["FieldValueRequired spec.containers", (spec) => (spec.containers = [])],
  ["FieldValueRequired spec.containers[0].name", (_, c) => delete c.name],
  ["FieldValueInvalid spec.containers[0].name", (_, c) => (c.name = "X_")],
  ["FieldValueRequired spec.containers[0].image", (_, c) => delete c.image],
  ["FieldValueDuplicate spec.containers[1].name", (spec, c) => spec.containers.push({ ...c })],
  [
    "FieldValueDuplicate spec.initContainers[0].name",
    (spec, c) => (spec.initContainers = [{ ...c }]),
  ],
  ["FieldValueNotSupported spec.restartPolicy", (spec) => (spec.restartPolicy = "Sometimes")],
  ["FieldValueNotSupported spec.dnsPolicy", (spec) => (spec.dnsPolicy = "X")],
  [
    "FieldValueNotSupported spec.containers[0].imagePullPolicy",
    (_, c) => (c.imagePullPolicy = "X"),
  ],
  [
    "FieldValueInvalid spec.containers[0].ports[0].containerPort",
    (_, c) => (c.ports = [{ containerPort: 70000 }]),
  ],
  ["FieldValueRequired spec.containers[0].ports[0].containerPort", (_, c) => (c.ports = [{}])],
  [
    "FieldValueNotSupported spec.containers[0].ports[0].protocol",
    (_, c) => (c.ports = [{ containerPort: 1, protocol: "tcp" }]),
  ],
  ["FieldValueInvalid spec.containers[0].env[0].name", (_, c) => (c.env = [{ name: "A=B" }])],
  ["FieldValueRequired spec.containers[0].env[0].name", (_, c) => (c.env = [{ value: "x" }])],
  [
    "FieldValueInvalid spec.containers[0].env[0].valueFrom",
    (_, c) => (c.env = [{ name: "A", valueFrom: {} }]),
  ],
  [
    "FieldValueNotFound spec.containers[0].volumeMounts[0].name",
    (_, c) => (c.volumeMounts = [{ name: "v", mountPath: "/x" }]),
  ],
  [
    "FieldValueInvalid spec.containers[0].resources.limits[cpu]",
    (_, c) => (c.resources = { limits: { cpu: "x" }, requests: { cpu: "1" } }),
  ],
  [
    "FieldValueInvalid spec.containers[0].resources.requests[cpu]",
    (_, c) => (c.resources = { requests: { cpu: "-1" } }),
  ],
  [
    "FieldValueInvalid spec.containers[0].resources.requests",
    (_, c) => (c.resources = { limits: { cpu: "1" }, requests: { cpu: "2" } }),
  ],
  ["FieldValueRequired spec.containers[0].livenessProbe", (_, c) => (c.livenessProbe = {})],
  [
    "FieldValueInvalid spec.containers[0].livenessProbe.successThreshold",
    (_, c) => (c.livenessProbe = { exec: { command: ["a"] }, successThreshold: 2 }),
  ],
  [
    "FieldValueForbidden spec.containers[0].livenessProbe.grpc",
    (_, c) => (c.livenessProbe = { exec: { command: ["a"] }, grpc: { port: 1 } }),
  ],
  [
    "FieldValueForbidden spec.initContainers[0].readinessProbe",
    (spec) =>
      (spec.initContainers = [
        { name: "i", image: "i", readinessProbe: { exec: { command: ["a"] } } },
      ]),
  ],
  [
    "FieldValueDuplicate spec.volumes[1].name",
    (spec) => (spec.volumes = [{ name: "v" }, { name: "v" }]),
  ],
  [
    "FieldValueForbidden spec.volumes[0].secret",
    (spec) => (spec.volumes = [{ name: "v", emptyDir: {}, secret: { secretName: "s" } }]),
  ],
  [
    "FieldValueRequired spec.volumes[0].hostPath.path",
    (spec) => (spec.volumes = [{ name: "v", hostPath: {} }]),
  ],
  [
    "FieldValueNotSupported spec.tolerations[0].operator",
    (spec) => (spec.tolerations = [{ key: "a", operator: "Near" }]),
  ],
  [
    "FieldValueNotSupported spec.tolerations[0].effect",
    (spec) => (spec.tolerations = [{ key: "a", effect: "X" }]),
  ],
  [
    "FieldValueInvalid spec.tolerations[0].operator",
    (spec) => (spec.tolerations = [{ operator: "Equal" }]),
  ],
  ["FieldValueInvalid spec.nodeSelector", (spec) => (spec.nodeSelector = { "a b": "c" })],
  ["FieldValueInvalid spec.activeDeadlineSeconds", (spec) => (spec.activeDeadlineSeconds = 0)],
  [
    "FieldValueInvalid spec.topologySpreadConstraints[0].maxSkew",
    (spec) =>
      (spec.topologySpreadConstraints = [{ topologyKey: "z", whenUnsatisfiable: "DoNotSchedule" }]),
  ],
  [
    "FieldValueInvalid spec.topologySpreadConstraints[0].minDomains",
    (spec) =>
      (spec.topologySpreadConstraints = [
        spread({ whenUnsatisfiable: "ScheduleAnyway", minDomains: 2 }),
      ]),
  ],
  [
    "FieldValueDuplicate spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}",
    (spec) => (spec.topologySpreadConstraints = [spread(), spread({ maxSkew: 2 })]),
  ],
  [
    "FieldValueNotSupported spec.topologySpreadConstraints[0].nodeTaintsPolicy",
    (spec) => (spec.topologySpreadConstraints = [spread({ nodeTaintsPolicy: "Maybe" })]),
  ],
  [
    "FieldValueForbidden spec.topologySpreadConstraints[0].matchLabelKeys",
    (spec) => (spec.topologySpreadConstraints = [spread({ matchLabelKeys: ["rev"] })]),
  ],
  [
    "FieldValueInvalid spec.topologySpreadConstraints[0].matchLabelKeys[0]",
    (spec) =>
      (spec.topologySpreadConstraints = [
        spread({ matchLabelKeys: ["rev"], labelSelector: { matchLabels: { rev: "1" } } }),
      ]),
  ],
  [
    "FieldValueForbidden spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys",
    (spec) => (spec.affinity = near({ topologyKey: "z", matchLabelKeys: ["rev"] })),
  ],
  [
    "FieldValueInvalid spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys[0]",
    (spec) =>
      (spec.affinity = near({
        topologyKey: "z",
        labelSelector: {},
        matchLabelKeys: ["rev"],
        mismatchLabelKeys: ["rev"],
      })),
  ],
];

function spread(change: object = {}) {
  return { maxSkew: 1, topologyKey: "z", whenUnsatisfiable: "DoNotSchedule", ...change };
}

function near(term: object) {
  return { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } };
}

test("each thing wrong with a pod is found, alone, at its field", () => {
  for (const [expected, spoil] of invalidPods) {
    const pod = podDocument();
    spoil(pod.spec, pod.spec.containers[0]);
    assert.deepEqual(check(pod).problems, [expected]);
  }
});

test("messages are upstream's", () => {
  const kind = registry.find("pods")!;
  const pod = check(podDocument()).document;
  pod.spec.containers[0].name = "X_";
  pod.spec.restartPolicy = "x";
  assert.deepEqual(
    kind.validate(pod).map(({ message }) => message),
    [
      "Invalid value: \"X_\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
      'Unsupported value: "x": supported values: "Always", "OnFailure", "Never"',
    ],
  );
});

test("updates", () => {
  const stored = podDocument();
  stored.spec.tolerations = [{ key: "a", operator: "Exists" }];
  stored.spec.activeDeadlineSeconds = 10;
  const rows: [string[], (spec: Loose) => void][] = [
    [[], (spec) => (spec.containers[0].image = "other")],
    [[], (spec) => spec.tolerations.push({ key: "b", operator: "Exists" })],
    [[], (spec) => (spec.activeDeadlineSeconds = 5)],
    [["FieldValueInvalid spec.activeDeadlineSeconds"], (spec) => (spec.activeDeadlineSeconds = 50)],
    [["FieldValueForbidden spec.tolerations"], (spec) => (spec.tolerations = [])],
    [["FieldValueForbidden spec"], (spec) => (spec.nodeName = "n")],
    [["FieldValueForbidden spec"], (spec) => (spec.containers[0].command = ["x"])],
    [["FieldValueForbidden spec.containers"], (spec) => spec.containers.push({ name: "x" })],
  ];
  for (const [expected, change] of rows) {
    assert.deepEqual(
      updateProblems(stored, (next) => change(next.spec)),
      expected,
    );
  }
});

test("grace of a deletion", () => {
  const kind = registry.find("pods")!;
  const pod = check(podDocument()).document;
  const grace = (seconds?: number) => kind.deletionGraceSeconds?.(pod, seconds);
  assert.equal(grace(), undefined, "not yet on a node");
  pod.spec.nodeName = "n";
  assert.equal(grace(), 30);
  assert.equal(grace(5), 5);
  assert.equal(grace(-3), 1);
  assert.equal(grace(0), undefined);
  pod.status.phase = "Succeeded";
  assert.equal(grace(), undefined);
});

test("the status that kubectl shows", () => {
  const running = { state: { running: {} }, ready: true };
  const waiting = (reason: string) => ({ state: { waiting: { reason } } });
  const ended = (terminated: Loose) => ({ state: { terminated } });
  const init = (status: Loose) => ({ initContainerStatuses: [status] });
  const rows: [Loose, string, string][] = [
    [{ phase: "Pending" }, "Pending", "0/1"],
    [{ phase: "Running", containerStatuses: [running] }, "Running", "1/1"],
    [
      { phase: "Running", containerStatuses: [waiting("CrashLoopBackOff")] },
      "CrashLoopBackOff",
      "0/1",
    ],
    [
      { phase: "Succeeded", containerStatuses: [ended({ exitCode: 0, reason: "Completed" })] },
      "Completed",
      "0/1",
    ],
    [{ phase: "Failed", containerStatuses: [ended({ exitCode: 3 })] }, "ExitCode:3", "0/1"],
    [{ phase: "Failed", containerStatuses: [ended({ signal: 9 })] }, "Signal:9", "0/1"],
    [{ phase: "Failed", reason: "Evicted" }, "Evicted", "0/1"],
    [{ phase: "Pending", ...init({ state: { running: {} } }) }, "Init:0/1", "0/1"],
    [{ phase: "Pending", ...init(ended({ exitCode: 1, reason: "Error" })) }, "Init:Error", "0/1"],
    [{ phase: "Pending", ...init(waiting("CrashLoopBackOff")) }, "Init:CrashLoopBackOff", "0/1"],
    [
      { phase: "Pending", conditions: [{ type: "PodScheduled", reason: "SchedulingGated" }] },
      "SchedulingGated",
      "0/1",
    ],
  ];
  for (const [status, text, ready] of rows) {
    const pod = { ...podDocument(), status };
    if (status.initContainerStatuses) pod.spec.initContainers = [{ name: "i" }];
    const cells = row(pod, now);
    assert.deepEqual([cells.Status, cells.Ready], [text, ready]);
    pod.metadata.deletionTimestamp = "2026-01-01T00:00:00Z";
    const over = status.phase === "Succeeded" || status.phase === "Failed";
    assert.equal(row(pod, now).Status, over ? text : "Terminating");
  }
});

test("restarts, age and the wide columns", () => {
  const pod = podDocument();
  pod.metadata.creationTimestamp = "2026-01-01T00:00:00Z";
  pod.spec.nodeName = "n1";
  pod.status = {
    podIP: "127.64.0.2",
    containerStatuses: [
      { restartCount: 2, lastState: { terminated: { finishedAt: "2026-01-01T00:07:57Z" } } },
    ],
  };
  const cells = row(pod, now);
  assert.equal(cells.Restarts, "2 (2m3s ago)");
  assert.equal(cells.Age, "10m");
  assert.deepEqual([cells.IP, cells.Node, cells["Nominated Node"]], ["127.64.0.2", "n1", "<none>"]);
});

test("keys of labels are added to the selectors of a new pod's affinity", () => {
  const kind = registry.find("pods")!;
  const pod = podDocument();
  pod.metadata.labels = { rev: "7", tenant: "x" };
  const labelSelector = { matchLabels: { app: "web" } };
  const term = { topologyKey: "z", matchLabelKeys: ["rev", "none"], mismatchLabelKeys: ["tenant"] };
  pod.spec.affinity = {
    podAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [{ ...term, labelSelector }],
    },
    podAntiAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [
        { weight: 1, podAffinityTerm: { topologyKey: "z", matchLabelKeys: ["rev"] } },
      ],
    },
  };
  kind.prepareForCreate?.(pod);
  assert.deepEqual(
    pod.spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector,
    {
      matchLabels: { app: "web" },
      matchExpressions: [
        { key: "rev", operator: "In", values: ["7"] },
        { key: "tenant", operator: "NotIn", values: ["x"] },
      ],
    },
  );
  const [other] = pod.spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution;
  assert.equal(other.podAffinityTerm.labelSelector, undefined);
});
