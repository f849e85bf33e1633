import assert from "node:assert/strict";
import { test } from "node:test";
import { check, faults, type Loose, meta, row, updateFaults } from "./documents.ts";
import { registry } from "./registry.ts";

const autoscaler = (change: (spec: Loose) => void = () => {}): Loose => {
  const spec = {
    scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
    maxReplicas: 5,
  };
  change(spec);
  return {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: meta("h"),
    spec,
  };
};

test("an autoscaler looks at the CPU by default", () => {
  const { spec, status } = check(autoscaler()).document;
  assert.equal(spec.minReplicas, 1);
  assert.deepEqual(spec.metrics, [
    {
      type: "Resource",
      resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } },
    },
  ]);
  assert.equal(spec.behavior, undefined);
  assert.deepEqual(status, { desiredReplicas: 0 });
  const { shortNames, categories } = registry.required("autoscaling/v2", "HorizontalPodAutoscaler");
  assert.deepEqual([shortNames, categories], [["hpa"], ["all"]]);
});

test("a behavior is filled in for both directions", () => {
  const percent = { type: "Percent", value: 100, periodSeconds: 15 };
  const pods = { type: "Pods", value: 4, periodSeconds: 15 };
  const behavior = (given: Loose) =>
    check(autoscaler((spec) => (spec.behavior = given))).document.spec.behavior;
  assert.deepEqual(behavior({}), {
    scaleUp: { stabilizationWindowSeconds: 0, selectPolicy: "Max", policies: [pods, percent] },
    scaleDown: { selectPolicy: "Max", policies: [percent] },
  });
  assert.deepEqual(
    behavior({ scaleDown: { selectPolicy: "Disabled", tolerance: "0.100" } }).scaleDown,
    { selectPolicy: "Disabled", policies: [percent], tolerance: "100m" },
  );
});

const metric = (value: Loose) => (spec: Loose) => {
  spec.metrics = [value];
};
const at = "spec.metrics[0]";
const types = 'supported values: "ContainerResource", "External", "Object", "Pods", "Resource"';

test("what is wrong with an autoscaler, in upstream's words", () => {
  const rows: [string[], (spec: Loose) => void][] = [
    [
      [
        "spec.maxReplicas: Invalid value: 0: must be greater than 0",
        "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
        "spec.scaleTargetRef.kind: Required value",
        "spec.scaleTargetRef.name: Required value",
        'spec.scaleTargetRef.apiVersion: Invalid value: "": apiVersion must specify API group',
      ],
      (spec) => {
        delete spec.maxReplicas;
        delete spec.scaleTargetRef;
      },
    ],
    [
      [
        "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
        "spec.metrics: Forbidden: must specify at least one Object or External metric to support " +
          "scaling to zero replicas",
      ],
      (spec) => (spec.minReplicas = 0),
    ],
    [
      [],
      (spec) =>
        (spec.scaleTargetRef = { apiVersion: "v1", kind: "ReplicationController", name: "a" }),
    ],
    [
      [
        'spec.scaleTargetRef.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: ' +
          "a/b/c",
      ],
      (spec) => (spec.scaleTargetRef.apiVersion = "a/b/c"),
    ],
    [
      [
        `${at}.type: Required value: must specify a metric source type`,
        `${at}.type: Unsupported value: "": ${types}`,
        `${at}.type: Unsupported value: "": ${types}`,
      ],
      metric({}),
    ],
    [
      [`${at}.pods: Required value: must populate information for the given metric source`],
      metric({ type: "Pods" }),
    ],
    [
      [
        `${at}.resource: Required value: must populate information for the given metric source`,
        `${at}.external: Forbidden: must populate the given metric source only`,
        `${at}.pods: Forbidden: must populate the given metric source only`,
      ],
      metric({
        type: "Resource",
        external: { metric: { name: "q" }, target: { type: "Value", value: "1" } },
        pods: {},
      }),
    ],
    [
      [
        `${at}.resource.name: Required value: must specify a resource name`,
        `${at}.resource.target.type: Required value: must specify a metric target type`,
        `${at}.resource.target.type: Invalid value: "": must be either Utilization, Value, or ` +
          "AverageValue",
        `${at}.resource.target.averageUtilization: Required value: must set either a target raw ` +
          "value or a target utilization",
      ],
      metric({ type: "Resource", resource: {} }),
    ],
    [
      [
        `${at}.resource.target.averageValue: Invalid value: "0": must be positive`,
        `${at}.resource.target.averageUtilization: Invalid value: 0: must be greater than 0`,
        `${at}.resource.target.averageValue: Forbidden: may not set both a target raw value and a ` +
          "target utilization",
      ],
      metric({
        type: "Resource",
        resource: {
          name: "cpu",
          target: { type: "Utilization", averageValue: "0", averageUtilization: 0 },
        },
      }),
    ],
    [
      [
        `${at}.containerResource.name: Invalid value: "disk": must be a standard resource type ` +
          "or fully qualified",
        `${at}.containerResource.name: Invalid value: "disk": must be a standard resource for ` +
          "containers",
        `${at}.containerResource.container: Required value: must specify a container`,
      ],
      metric({
        type: "ContainerResource",
        containerResource: { name: "disk", target: { type: "Utilization", averageUtilization: 1 } },
      }),
    ],
    [
      [
        `${at}.object.describedObject.kind: Required value`,
        `${at}.object.describedObject.name: Required value`,
        `${at}.object.metric.name: Required value: must specify a metric name`,
        `${at}.object.target.averageValue: Required value: must set either a target value or ` +
          "averageValue",
      ],
      metric({ type: "Object", object: { target: { type: "Value" } } }),
    ],
    [
      [
        `${at}.external.target.value: Forbidden: may not set both a target value for metric and a ` +
          "per-pod target",
      ],
      metric({
        type: "External",
        external: {
          metric: { name: "q" },
          target: { type: "Value", value: "1", averageValue: "1" },
        },
      }),
    ],
    [
      [
        "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than " +
          "or equal to 3600",
        'spec.behavior.scaleUp.selectPolicy: Unsupported value: "x": supported values: ' +
          '"Disabled", "Max", "Min"',
        "spec.behavior.scaleUp.policies: Required value: must specify at least one Policy",
        'spec.behavior.scaleUp.tolerance: Invalid value: "-1": must be greater than or equal to 0',
      ],
      (spec) =>
        (spec.behavior = {
          scaleUp: {
            stabilizationWindowSeconds: 3601,
            selectPolicy: "x",
            policies: [],
            tolerance: "-1",
          },
        }),
    ],
    [
      [
        'spec.behavior.scaleDown.policies[0].type: Unsupported value: "x": supported values: ' +
          '"Percent", "Pods"',
        "spec.behavior.scaleDown.policies[0].value: Invalid value: 0: must be greater than zero",
        "spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value: 1801: must be less " +
          "than or equal to 1800",
      ],
      (spec) => (spec.behavior = { scaleDown: { policies: [{ type: "x", periodSeconds: 1801 }] } }),
    ],
  ];
  for (const [expected, spoil] of rows) assert.deepEqual(faults(autoscaler(spoil)), expected);
});

test("the status of an autoscaler counts", () => {
  assert.deepEqual(
    updateFaults(autoscaler(), (next) => (next.status.currentReplicas = -1)),
    ["status.currentReplicas: Invalid value: -1: must be greater than or equal to 0"],
  );
});

test("columns of an autoscaler", () => {
  const document = check(
    autoscaler((spec) => {
      spec.metrics = [
        { type: "Resource", resource: { name: "cpu", target: { averageUtilization: 80 } } },
        { type: "External", external: { target: { averageValue: "5" } } },
        { type: "Pods", pods: { target: { averageValue: "1" } } },
        { type: "Object", object: { target: { value: "2" } } },
      ];
    }),
  ).document;
  const targets = () => row(document, 0)["Targets"];
  assert.equal(targets(), "cpu: <unknown>/80%, <unknown>/5 (avg) + 2 more...");
  document.status = {
    currentReplicas: 2,
    currentMetrics: [
      { type: "Resource", resource: { name: "cpu", current: { averageUtilization: 12 } } },
      { type: "External", external: { current: { averageValue: "3" } } },
    ],
  };
  assert.equal(targets(), "cpu: 12%/80%, 3/5 (avg) + 2 more...");
  document.spec.metrics = document.spec.metrics.slice(2);
  assert.equal(targets(), "<unknown>/1, <unknown>/2");
  const cells = row(document, 0);
  assert.deepEqual(
    [cells["Reference"], cells["MinPods"], cells["MaxPods"], cells["Replicas"]],
    ["Deployment/web", "1", "5", "2"],
  );
});
