import assert from "node:assert/strict";
import { test } from "node:test";

import { check, deploymentDocument, type Loose, meta, podDocument } from "./documents.ts";
import { registry } from "./registry.ts";

/** What is wrong with a document, as kubectl prints it. */
function problems(document: Loose): string[] {
  const kind = registry.required(document.apiVersion, document.kind);
  return kind.validate(check(document).document).map((each) => `${each.field}: ${each.message}`);
}

const exec = { exec: { command: ["a"] } };
const first = "spec.containers[0]";
const resource = `${first}.env[0].valueFrom.resourceFieldRef`;
const variable = (container: Loose, valueFrom: Loose) => {
  container.env = [{ name: "A", valueFrom }];
};

const rows: [string, (spec: Loose, container: Loose) => void][] = [
  [
    `${first}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: must not be set for readinessProbes`,
    (_, c) => (c.readinessProbe = { ...exec, terminationGracePeriodSeconds: 5 }),
  ],
  [
    `${first}.ports[0].hostPort: Invalid value: 81: must match \`containerPort\` when \`hostNetwork\` is true`,
    (spec, c) => {
      spec.hostNetwork = true;
      c.ports = [{ containerPort: 80, hostPort: 81 }];
    },
  ],
  [
    "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared",
    (spec) => Object.assign(spec, { nodeName: "n", schedulingGates: [{ name: "a" }] }),
  ],
  [
    "spec.ephemeralContainers: Forbidden: cannot be set on create",
    (spec) => (spec.ephemeralContainers = [{ name: "debug", image: "i" }]),
  ],
  [
    `${first}.env[0].valueFrom.fieldRef.fieldPath: Invalid value: "metadata.nope": error converting fieldPath: field label not supported: metadata.nope`,
    (_, c) => variable(c, { fieldRef: { fieldPath: "metadata.nope" } }),
  ],
  [
    `${first}.env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.x['a']": error converting fieldPath: field label does not support subscript: spec.x['a']`,
    (_, c) => variable(c, { fieldRef: { fieldPath: "spec.x['a']" } }),
  ],
  [
    `${first}.env[0].valueFrom.fieldRef.fieldPath: Invalid value: "metadata.name": error converting fieldPath: unsupported pod version: v2`,
    (_, c) => variable(c, { fieldRef: { apiVersion: "v2", fieldPath: "metadata.name" } }),
  ],
  [
    `${first}.env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "metadata.labels": supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"`,
    (_, c) => variable(c, { fieldRef: { fieldPath: "metadata.labels" } }),
  ],
  [
    `${resource}.resource: Unsupported value: "limits.disk": supported values: "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"`,
    (_, c) => variable(c, { resourceFieldRef: { resource: "limits.disk" } }),
  ],
  [
    `${resource}.divisor: Invalid value: "limits.cpu": only divisor's values 1m and 1 are supported with the cpu resource`,
    (_, c) => variable(c, { resourceFieldRef: { resource: "limits.cpu", divisor: "2" } }),
  ],
  [
    "spec.volumes[0].downwardAPI.resourceFieldRef.containerName: Required value",
    (spec) =>
      (spec.volumes = [
        {
          name: "v",
          downwardAPI: { items: [{ path: "a", resourceFieldRef: { resource: "limits.cpu" } }] },
        },
      ]),
  ],
  [
    "spec.volumes[0].downwardAPI: Required value: one of fieldRef and resourceFieldRef is required",
    (spec) => (spec.volumes = [{ name: "v", downwardAPI: { items: [{ path: "a" }] } }]),
  ],
  [
    `${first}.resources.limits: Required value: Limit must be set for non overcommitable resources`,
    (_, c) => (c.resources = { requests: { "example.com/gpu": "1" } }),
  ],
  [
    `${first}.resources.requests: Invalid value: "1": must be equal to example.com/gpu limit of 2`,
    (_, c) =>
      (c.resources = { requests: { "example.com/gpu": "1" }, limits: { "example.com/gpu": "2" } }),
  ],
  [
    `${first}.resources: Forbidden: HugePages require cpu or memory`,
    (_, c) => (c.resources = { limits: { "hugepages-2Mi": "2Mi" } }),
  ],
  [
    `${first}.resources.claims[0]: Not found: "gpu": must be one of the names in pod.spec.resourceClaims which is empty`,
    (_, c) => (c.resources = { claims: [{ name: "gpu" }] }),
  ],
  [
    `${first}.lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)`,
    (_, c) => (c.lifecycle = { preStop: { sleep: { seconds: 31 } } }),
  ],
  [
    `${first}.lifecycle.stopSignal: Forbidden: may not be set for containers with empty \`spec.os.name\``,
    (_, c) => (c.lifecycle = { stopSignal: "SIGINT" }),
  ],
  [
    'spec.os: Unsupported value: "windows": supported values: "linux"',
    (spec) => (spec.os = { name: "windows" }),
  ],
  [
    'spec.resources.requests[ephemeral-storage]: Unsupported value: "ephemeral-storage": supported values: "cpu", "memory"',
    (spec) => (spec.resources = { requests: { "ephemeral-storage": "1Gi" } }),
  ],
  [
    'spec.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
    (spec) => (spec.resources = { requests: { cpu: "2" }, limits: { cpu: "1" } }),
  ],
  [
    "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
    (spec) => (spec.dnsPolicy = "None"),
  ],
  [
    'spec.dnsConfig.nameservers: Invalid value: ["1.1.1.1","1.1.1.2","1.1.1.3","1.1.1.4"]: must not have more than 3 nameservers',
    (spec) => (spec.dnsConfig = { nameservers: ["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"] }),
  ],
];

test("what upstream refuses of a pod is refused, in its words", () => {
  for (const [expected, spoil] of rows) {
    const pod = podDocument();
    spoil(pod.spec, pod.spec.containers[0]);
    assert.deepEqual(problems(pod), [expected]);
  }
});

test("what upstream accepts of a pod is accepted", () => {
  const accepted: ((spec: Loose, container: Loose) => void)[] = [
    (_, c) => variable(c, { fieldRef: { fieldPath: "metadata.annotations['A/b']" } }),
    (_, c) => variable(c, { resourceFieldRef: { resource: "limits.memory", divisor: "1Mi" } }),
    (_, c) => (c.resources = { limits: { "example.com/gpu": "1" } }),
    (_, c) => (c.lifecycle = { preStop: { sleep: { seconds: 30 } } }),
    (spec, c) => {
      spec.os = { name: "linux" };
      c.lifecycle = { stopSignal: "SIGRTMIN+3" };
    },
    (spec, c) => {
      spec.hostNetwork = true;
      c.ports = [{ containerPort: 80, hostPort: 0 }];
    },
    (spec) => (spec.dnsConfig = { searches: ["_a.b.", "."], options: [{ name: "ndots" }] }),
  ];
  for (const change of accepted) {
    const pod = podDocument();
    change(pod.spec, pod.spec.containers[0]);
    assert.deepEqual(problems(pod), []);
  }
});

test("a template holds no ephemeral containers", () => {
  const deployment = deploymentDocument();
  deployment.spec.template.spec.ephemeralContainers = [{ name: "debug", image: "i" }];
  assert.deepEqual(problems(deployment), [
    "spec.template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template",
  ]);
});

const secret = (type: string, data: Loose) => ({
  apiVersion: "v1",
  kind: "Secret",
  metadata: meta("s"),
  type,
  data,
});

test("registry credentials are JSON objects, and never shown", () => {
  const type = "kubernetes.io/dockerconfigjson";
  const encoded = (text: string) => Buffer.from(text).toString("base64");
  const told = (text: string) => problems(secret(type, { ".dockerconfigjson": encoded(text) }));
  assert.deepEqual(told('{"auths":{}}'), []);
  const start = 'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": ';
  assert.deepEqual(told("["), [
    `${start}invalid JSON at line 1 column 2: expected a value, found the end of the text`,
  ]);
  assert.deepEqual(told("[1]"), [`${start}must be a JSON object`]);
});

test("line ends in base64 are no fault, and are not stored", () => {
  const { document, problems: found } = check(secret("Opaque", { a: "YWJj\nZGVm\n" }));
  assert.deepEqual(found, []);
  assert.deepEqual(document.data, { a: "YWJjZGVm" });
});

test("an object too large says so with upstream's path", () => {
  const data = { a: "x".repeat(1_048_577) };
  const map = { apiVersion: "v1", kind: "ConfigMap", metadata: meta("m"), data };
  assert.deepEqual(problems(map), ["[]: Too long: may not be more than 1048576 bytes"]);
});
