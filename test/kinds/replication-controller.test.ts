/** Replication controllers and pod templates. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  check,
  created,
  faults,
  type Loose,
  meta,
  podSpec,
  row,
  updateFaults,
} from "./documents.ts";
import { registry } from "./registry.ts";

const controller = (change: (spec: Loose) => void = () => {}): Loose => {
  const spec = { template: { metadata: { labels: { app: "web" } }, spec: podSpec() } };
  change(spec);
  return { apiVersion: "v1", kind: "ReplicationController", metadata: meta("r"), spec };
};

test("selector and labels default to the template's", () => {
  const { spec, metadata, status } = check(controller()).document;
  assert.deepEqual([spec.replicas, spec.selector], [1, { app: "web" }]);
  assert.deepEqual(metadata.labels, { app: "web" });
  assert.deepEqual(status, { replicas: 0 });
  assert.deepEqual(faults(controller()), []);
});

test("what is wrong with a replication controller, in upstream's words", () => {
  const rows: [string[], (spec: Loose) => void][] = [
    [
      ["spec.selector: Required value", "spec.template: Required value"],
      (spec) => delete spec.template,
    ],
    [["spec.selector: Required value"], (spec) => delete spec.template.metadata],
    [
      [
        'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match ' +
          "template `labels`",
      ],
      (spec) => (spec.selector = { app: "other" }),
    ],
    [
      [
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
        "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in " +
          "ReplicationController is not Supported",
      ],
      (spec) =>
        Object.assign(spec.template.spec, { restartPolicy: "Never", activeDeadlineSeconds: 1 }),
    ],
    [
      [
        "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
        "spec.replicas: Invalid value: -2: must be greater than or equal to 0",
      ],
      (spec) => Object.assign(spec, { minReadySeconds: -1, replicas: -2 }),
    ],
  ];
  for (const [expected, spoil] of rows) assert.deepEqual(faults(controller(spoil)), expected);
});

test("a replication controller may select other pods later", () => {
  assert.deepEqual(
    updateFaults(controller(), (next) => {
      next.spec.selector = { app: "other" };
      next.spec.template.metadata.labels = { app: "other" };
    }),
    [],
  );
  assert.deepEqual(
    updateFaults(controller(), (next) => {
      next.status = { replicas: 1, fullyLabeledReplicas: 2, availableReplicas: 1 };
    }),
    [
      "status.fullyLabeledReplicas: Invalid value: 2: cannot be greater than status.replicas",
      "status.availableReplicas: Invalid value: 1: cannot be greater than readyReplicas",
    ],
  );
});

test("scale, fields and columns of a replication controller", () => {
  const kind = registry.required("v1", "ReplicationController");
  const { document } = check(controller());
  const { scale } = kind.subresources;
  scale?.setReplicas(document, 3);
  document.status = { replicas: 2, readyReplicas: 1 };
  assert.equal(scale?.replicas(document), 3);
  assert.equal(scale?.currentReplicas(document), 2);
  assert.equal(scale?.selector(document), "app=web");
  assert.equal(kind.selectableFields["status.replicas"]?.(document), "2");
  assert.equal(kind.defaultPropagation, "Orphan");
  assert.deepEqual([kind.shortNames, kind.categories], [["rc"], ["all"]]);
  const cells = row(document, 0);
  assert.deepEqual(
    [cells["Desired"], cells["Current"], cells["Ready"], cells["Images"], cells["Selector"]],
    ["3", "2", "1", "nginx:1.27", "app=web"],
  );
});

test("a pod template is checked like any other", () => {
  const document: Loose = {
    apiVersion: "v1",
    kind: "PodTemplate",
    metadata: meta("t"),
    template: { metadata: { labels: { app: "web" } }, spec: podSpec() },
  };
  const stored = created(document);
  assert.equal(stored.template.spec.restartPolicy, "Always");
  const { metadata: _, ...fields } = stored;
  assert.deepEqual(registry.byKind("v1", "PodTemplate")?.desiredState?.(stored), fields);
  assert.deepEqual(faults(document), []);
  assert.deepEqual(row(document, 0), {
    Name: "t",
    Containers: "web",
    Images: "nginx:1.27",
    "Pod Labels": "app=web",
  });
  document.template.spec.containers = [];
  assert.deepEqual(faults(document), ["template.spec.containers: Required value"]);
});
