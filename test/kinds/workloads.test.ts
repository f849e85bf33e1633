import assert from "node:assert/strict";
import { test } from "node:test";
import { check, deploymentDocument, faults, type Loose, row, updateProblems } from "./documents.ts";
import { registry } from "./registry.ts";

test("defaults of a deployment and a replica set", () => {
  const { document, problems } = check(deploymentDocument());
  assert.deepEqual(problems, []);
  const { replicas, strategy, revisionHistoryLimit, progressDeadlineSeconds, template } =
    document.spec;
  assert.equal(replicas, 1);
  assert.deepEqual(strategy, {
    type: "RollingUpdate",
    rollingUpdate: { maxUnavailable: "25%", maxSurge: "25%" },
  });
  assert.deepEqual([revisionHistoryLimit, progressDeadlineSeconds], [10, 600]);
  assert.equal(template.spec.restartPolicy, "Always");
  const set = check(deploymentDocument("ReplicaSet"));
  assert.deepEqual(set.problems, []);
  assert.equal(set.document.spec.replicas, 1);
});

const rolling = (maxUnavailable: Loose, maxSurge: Loose) => ({
  type: "RollingUpdate",
  rollingUpdate: { maxUnavailable, maxSurge },
});

const both: [string, (spec: Loose) => void][] = [
  ["FieldValueInvalid spec.selector", (spec) => (spec.selector = {})],
  [
    "FieldValueInvalid spec.template.metadata.labels",
    (spec) => (spec.template.metadata.labels = { app: "other" }),
  ],
  ["FieldValueInvalid spec.replicas", (spec) => (spec.replicas = -1)],
  [
    "FieldValueNotSupported spec.template.spec.restartPolicy",
    (spec) => (spec.template.spec.restartPolicy = "Never"),
  ],
  [
    "FieldValueForbidden spec.template.spec.activeDeadlineSeconds",
    (spec) => (spec.template.spec.activeDeadlineSeconds = 5),
  ],
  [
    "FieldValueRequired spec.template.spec.containers[0].image",
    (spec) => delete spec.template.spec.containers[0].image,
  ],
];
const deploymentOnly: [string, (spec: Loose) => void][] = [
  [
    "FieldValueInvalid spec.strategy.rollingUpdate.maxUnavailable",
    (spec) => (spec.strategy = rolling(0, "0%")),
  ],
  [
    "FieldValueInvalid spec.strategy.rollingUpdate.maxUnavailable",
    (spec) => (spec.strategy = rolling("101%", 1)),
  ],
  [
    "FieldValueInvalid spec.strategy.rollingUpdate.maxSurge",
    (spec) => (spec.strategy = rolling(1, "many")),
  ],
  [
    "FieldValueForbidden spec.strategy.rollingUpdate",
    (spec) => (spec.strategy = { ...rolling(1, 1), type: "Recreate" }),
  ],
  ["FieldValueNotSupported spec.strategy", (spec) => (spec.strategy = { type: "Blue" })],
  ["FieldValueInvalid spec.revisionHistoryLimit", (spec) => (spec.revisionHistoryLimit = -1)],
  ["FieldValueInvalid spec.progressDeadlineSeconds", (spec) => (spec.minReadySeconds = 600)],
];

test("selectors, templates and strategies that are none, in upstream's words", () => {
  const said = (kind: string, spoil: (spec: Loose) => void) => {
    const document = deploymentDocument(kind);
    spoil(document.spec);
    return faults(document);
  };
  const withoutTemplate = [
    "spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`",
    "spec.template.spec.containers: Required value",
  ];
  for (const kind of ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"]) {
    assert.deepEqual(
      said(kind, (spec) => delete spec.template),
      withoutTemplate,
    );
  }
  const noValues = (spec: Loose) =>
    (spec.selector = { matchExpressions: [{ key: "app", operator: "In" }] });
  const selector = '{"matchExpressions":[{"key":"app","operator":"In"}]}';
  const values =
    "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` " +
    "is 'In' or 'NotIn'";
  const invalid = `spec.selector: Invalid value: ${selector}`;
  assert.deepEqual(said("Deployment", noValues), [values, `${invalid}: invalid label selector`]);
  assert.deepEqual(said("StatefulSet", noValues), [values, invalid]);
  assert.deepEqual(said("DaemonSet", noValues), [values]);
  assert.deepEqual(
    said("DaemonSet", (spec) => delete spec.selector),
    [
      'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match ' +
        "template `labels`",
    ],
  );
  assert.deepEqual(
    said("Deployment", (spec) => (spec.strategy = { ...rolling(1, "25%"), type: "Blue" })),
    [
      'spec.strategy: Unsupported value: {"Type":"Blue","RollingUpdate":{"MaxUnavailable":1,' +
        '"MaxSurge":"25%"}}: supported values: "Recreate", "RollingUpdate"',
    ],
  );
  assert.deepEqual(
    said("Deployment", (spec) => (spec.strategy = { type: "" })),
    [],
  );
});

test("each thing wrong with a workload is found, alone, at its field", () => {
  const rows: [string, string, (spec: Loose) => void][] = [
    ...both.flatMap(([expected, spoil]) =>
      ["Deployment", "ReplicaSet"].map((kind): [string, string, (spec: Loose) => void] => [
        kind,
        expected,
        spoil,
      ]),
    ),
    ...deploymentOnly.map(([expected, spoil]): [string, string, (spec: Loose) => void] => [
      "Deployment",
      expected,
      spoil,
    ]),
  ];
  for (const [kind, expected, spoil] of rows) {
    const document = deploymentDocument(kind);
    spoil(document.spec);
    assert.deepEqual(check(document).problems, [expected], kind);
  }
});

test("without a selector, no template matches either", () => {
  for (const kind of ["Deployment", "ReplicaSet"]) {
    const document = deploymentDocument(kind);
    delete document.spec.selector;
    assert.deepEqual(check(document).problems, [
      "FieldValueRequired spec.selector",
      "FieldValueInvalid spec.template.metadata.labels",
    ]);
  }
});

test("the selector is immutable", () => {
  for (const kind of ["Deployment", "ReplicaSet"]) {
    const stored = deploymentDocument(kind);
    const change = (next: Loose) => (next.spec.selector.matchLabels.app = "x");
    assert.deepEqual(updateProblems(stored, change), ["FieldValueInvalid spec.selector"]);
    assert.deepEqual(
      updateProblems(stored, (next) => (next.spec.replicas = 5)),
      [],
    );
  }
});

test("scale and columns", () => {
  const { document } = check(deploymentDocument());
  const { scale } = registry.required("apps/v1", "Deployment").subresources;
  scale?.setReplicas(document, 4);
  document.status = { replicas: 3, readyReplicas: 2, updatedReplicas: 3, availableReplicas: 1 };
  assert.equal(scale?.replicas(document), 4);
  assert.equal(scale?.currentReplicas(document), 3);
  assert.equal(scale?.selector(document), "app=web");
  const cells = row(document, 0);
  assert.deepEqual(
    [cells.Ready, cells["Up-to-date"], cells.Available, cells.Images, cells.Selector],
    ["2/4", "3", "1", "nginx:1.27", "app=web"],
  );
});

test("the status of a deployment and a replica set is coherent", () => {
  const problems = (kind: string, status: Loose) =>
    updateProblems(deploymentDocument(kind), (next) => (next.status = status));
  for (const kind of ["Deployment", "ReplicaSet"]) {
    assert.deepEqual(problems(kind, { replicas: 3, readyReplicas: 2, availableReplicas: 1 }), []);
    assert.deepEqual(problems(kind, { replicas: 1, readyReplicas: -1 }), [
      "FieldValueInvalid status.readyReplicas",
      "FieldValueInvalid status.availableReplicas",
    ]);
    assert.deepEqual(problems(kind, { replicas: 1, readyReplicas: 2 }), [
      "FieldValueInvalid status.readyReplicas",
    ]);
    assert.deepEqual(problems(kind, { replicas: 1, availableReplicas: 1 }), [
      "FieldValueInvalid status.availableReplicas",
    ]);
  }
  const stored = { ...deploymentDocument(), status: { collisionCount: 2 } };
  assert.deepEqual(
    updateProblems(stored, (next) => (next.status = { collisionCount: 1 })),
    ["FieldValueInvalid status.collisionCount"],
  );
});
