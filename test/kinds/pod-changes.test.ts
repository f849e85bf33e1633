/** What of a pod may change, and how its defaults differ from those of a template. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { pullPolicyOf, resizePart } from "../../services/kinds/mod.ts";
import {
  check,
  created,
  deploymentDocument,
  faults,
  type Loose,
  podDocument,
  updateFaults,
} from "./documents.ts";
import { registry } from "./registry.ts";

const pod = (change: (spec: Loose, container: Loose) => void = () => {}): Loose => {
  const document = podDocument();
  change(document.spec, document.spec.containers[0]);
  return document;
};

test("a template leaves to its pods what follows from the rest", () => {
  const fill = (spec: Loose) => {
    spec.hostNetwork = true;
    Object.assign(spec.containers[0], {
      ports: [{ containerPort: 80 }],
      resources: { limits: { cpu: "1000m" } },
    });
  };
  const deployment = deploymentDocument();
  fill(deployment.spec.template.spec);
  const template = check(deployment).document.spec.template.spec;
  assert.equal(template.enableServiceLinks, undefined);
  assert.deepEqual(template.containers[0].ports, [{ containerPort: 80, protocol: "TCP" }]);
  assert.deepEqual(template.containers[0].resources, { limits: { cpu: "1" } });
  const { spec } = check(pod(fill)).document;
  assert.equal(spec.enableServiceLinks, true);
  assert.deepEqual(spec.containers[0].ports, [
    { containerPort: 80, protocol: "TCP", hostPort: 80 },
  ]);
  assert.deepEqual(spec.containers[0].resources, { limits: { cpu: "1" }, requests: { cpu: "1" } });
});

test("the tag of an image decides when it is pulled", () => {
  const rows: [string, string][] = [
    ["nginx", "Always"],
    ["registry:5000/nginx", "Always"],
    ["nginx:latest", "Always"],
    ["nginx:1.27", "IfNotPresent"],
    ["nginx@sha256:abc", "IfNotPresent"],
    ["nginx:latest@sha256:abc", "Always"],
  ];
  for (const [image, policy] of rows) assert.equal(pullPolicyOf(image), policy, image);
});

test("resize policies and resource claims are checked", () => {
  const at = "spec.containers[0].resizePolicy";
  const cpu = { resourceName: "cpu", restartPolicy: "RestartContainer" };
  const rows: [string[], (spec: Loose, container: Loose) => void][] = [
    [[], (_, container) => (container.resizePolicy = [cpu])],
    [[`${at}[1]: Duplicate value: "cpu"`], (_, container) => (container.resizePolicy = [cpu, cpu])],
    [
      [
        `${at}: Unsupported value: "disk": supported values: "cpu", "memory"`,
        `${at}: Required value`,
      ],
      (_, container) => (container.resizePolicy = [{ resourceName: "disk" }]),
    ],
    [
      [
        `${at}: Invalid value: "RestartContainer": must be 'NotRequired' when \`restartPolicy\` ` +
          "is 'Never'",
      ],
      (spec, container) => {
        spec.restartPolicy = "Never";
        container.resizePolicy = [cpu];
      },
    ],
    [
      [
        'spec.resourceClaims[0]: Invalid value: {"Name":"a","ResourceClaimName":null,' +
          '"ResourceClaimTemplateName":null}: must specify one of: ' +
          "`resourceClaimName`, `resourceClaimTemplateName`",
        'spec.resourceClaims[1].name: Duplicate value: "a"',
      ],
      (spec) => (spec.resourceClaims = [{ name: "a" }, { name: "a", resourceClaimName: "c" }]),
    ],
  ];
  for (const [expected, change] of rows) assert.deepEqual(faults(pod(change)), expected);
});

test("an update that changes more than it may is told what", () => {
  assert.deepEqual(
    updateFaults(pod(), (next) => (next.spec.hostname = "other")),
    [
      "spec: Forbidden: pod updates may not change fields other than " +
        "`spec.containers[*].image`,`spec.initContainers[*].image`," +
        "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing " +
        "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was " +
        'previously negative)\n+ hostname: "other"',
    ],
  );
});

const required = "requiredDuringSchedulingIgnoredDuringExecution";
const affinity = (...matchExpressions: Loose[]) => ({
  nodeAffinity: { [required]: { nodeSelectorTerms: [{ matchExpressions }] } },
});
const zone = { key: "zone", operator: "In", values: ["a"] };
const disk = { key: "disk", operator: "Exists" };

test("a pod that waits for its gates may be sent to fewer nodes", () => {
  const gated = pod((spec) => {
    spec.schedulingGates = [{ name: "a.io/b" }];
    spec.nodeSelector = { disk: "ssd" };
    spec.affinity = affinity(zone);
  });
  const change = (update: (spec: Loose) => void) =>
    updateFaults(gated, (next) => update(next.spec));
  assert.deepEqual(
    change((spec) => {
      spec.nodeSelector.zone = "a";
      spec.affinity = affinity(zone, disk);
      spec.schedulingGates = [];
    }),
    [],
  );
  assert.deepEqual(
    change((spec) => (spec.nodeSelector = { disk: "hdd" })),
    [
      'spec.nodeSelector: Invalid value: {"disk":"hdd"}: only additions to spec.nodeSelector are ' +
        "allowed (no mutations or deletions)",
    ],
  );
  const path = `spec.affinity.nodeAffinity.${required}.nodeSelectorTerms`;
  assert.deepEqual(
    change((spec) => delete spec.affinity),
    [
      `${path}: Invalid value: []: no additions/deletions to non-empty NodeSelectorTerms list are ` +
        "allowed",
    ],
  );
  assert.deepEqual(
    change((spec) => (spec.affinity = affinity(disk, zone))).map((fault) =>
      fault.replace(/\{.*\}/, "{}"),
    ),
    [`${path}[0]: Invalid value: {}: only additions are allowed (no mutations or deletions)`],
  );
  assert.equal(updateFaults(pod(), (next) => (next.spec.nodeSelector = { a: "b" })).length, 1);
});

/** What is wrong with a resize to `change`, and what would be stored. */
function resized(stored: Loose, change: (incoming: Loose) => void) {
  const before = created(stored);
  Object.assign(before.status, stored.status);
  const incoming = structuredClone(before);
  change(incoming);
  const next = structuredClone(before);
  resizePart.take(next, incoming);
  registry.required("v1", "Pod").setDefaults(next);
  const causes = resizePart.validate(next, before);
  return { next, faults: causes.map(({ field, message }) => `${field}: ${message}`) };
}

const burstable = () =>
  pod((spec, container) => {
    container.resources = { requests: { cpu: "1", memory: "1Gi" }, limits: { cpu: "2" } };
    spec.initContainers = [
      { name: "setup", image: "i", resources: { requests: { cpu: "1" } } },
      { name: "side", image: "i", restartPolicy: "Always", resources: { requests: { cpu: "1" } } },
    ];
  });

test("a resize takes resources and resize policies, and nothing else", () => {
  const { next, faults: found } = resized(burstable(), ({ metadata, spec }) => {
    metadata.labels = { a: "b" };
    spec.hostname = "other";
    spec.containers[0].image = "other";
    spec.containers[0].resources = { requests: { cpu: "3", memory: "2Gi" }, limits: { cpu: "4" } };
    spec.initContainers[1].resources.requests.cpu = "2";
  });
  assert.deepEqual(found, []);
  assert.deepEqual(
    [next.metadata.labels, next.spec.hostname, next.spec.containers[0].image],
    [undefined, undefined, "nginx:1.27"],
  );
  assert.deepEqual(next.spec.containers[0].resources, {
    requests: { cpu: "3", memory: "2Gi" },
    limits: { cpu: "4" },
  });
  assert.equal(next.spec.initContainers[1].resources.requests.cpu, "2");
});

test("what a resize may not do, in upstream's words", () => {
  const at = "spec.containers[0].resources";
  const running = () => ({
    ...burstable(),
    status: { containerStatuses: [{ name: "web", state: { running: {} } }] },
  });
  const rows: [string[], (incoming: Loose) => void, Loose?][] = [
    [
      [`${at}.requests: Forbidden: resource requests cannot be removed`],
      ({ spec }) => delete spec.containers[0].resources.requests.memory,
    ],
    [
      [`${at}.limits: Forbidden: resource limits cannot be removed`],
      ({ spec }) => delete spec.containers[0].resources.limits,
    ],
    [
      ["spec: Forbidden: only cpu and memory resources are mutable"],
      ({ spec }) => (spec.containers[0].resources.requests["example.com/gpu"] = "1"),
    ],
    [
      ["spec: Forbidden: resources for non-sidecar init containers are immutable"],
      ({ spec }) => (spec.initContainers[0].resources.requests.cpu = "2"),
    ],
    [
      ["spec.containers: Forbidden: containers may not be added or removed on resize"],
      ({ spec }) => spec.containers.push({ name: "more", image: "i" }),
    ],
    [
      ["spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize"],
      ({ spec }) => (spec.containers[0].name = "other"),
    ],
    [
      ["spec: Forbidden: Pod running on node without support for resize"],
      ({ spec }) => (spec.containers[0].resources.requests.cpu = "2"),
      running(),
    ],
    [
      ['spec: Invalid value: "BestEffort": Pod QOS Class may not change as a result of resizing'],
      ({ spec }) => (spec.containers[0].resources = { requests: { cpu: "1" } }),
      pod(),
    ],
    [
      [": Forbidden: pods with pod-level resources cannot be resized"],
      () => undefined,
      pod((spec) => (spec.resources = { requests: { cpu: "1" } })),
    ],
  ];
  for (const [expected, change, stored = burstable()] of rows) {
    assert.deepEqual(resized(stored, change).faults, expected);
  }
});
