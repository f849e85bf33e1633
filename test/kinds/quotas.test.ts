/** Resource quotas and limit ranges. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkSchema } from "../../services/kinds/mod.ts";
import { check, faults, type Loose, meta, row, updateFaults } from "./documents.ts";

const quota = (spec: Loose): Loose => ({
  apiVersion: "v1",
  kind: "ResourceQuota",
  metadata: meta("q"),
  spec,
});
const range = (...limits: Loose[]): Loose => ({
  apiVersion: "v1",
  kind: "LimitRange",
  metadata: meta("l"),
  spec: { limits },
});

test("quantities may be numbers and are written in their canonical form", () => {
  const message = "trireme.core.v1.ResourceQuota";
  const { document, errors } = checkSchema(message, quota({ hard: { pods: 4 } }), "strict");
  assert.deepEqual(errors, []);
  assert.deepEqual((document as Loose).spec.hard, { pods: "4" });
  const { spec } = check(quota({ hard: { "requests.memory": "2048Mi" } })).document;
  assert.deepEqual(spec.hard, { "requests.memory": "2Gi" });
});

test("what may be bounded by a quota", () => {
  const hard = Object.fromEntries(
    [
      ...["cpu", "requests.cpu", "limits.memory", "requests.ephemeral-storage", "pods"],
      ...["services.loadbalancers", "persistentvolumeclaims", "requests.storage"],
      ...["count/deployments.apps", "requests.nvidia.com/gpu", "hugepages-2Mi"],
      "gold.storageclass.storage.k8s.io/requests.storage",
    ].map((name) => [name, "4"]),
  );
  assert.deepEqual(faults(quota({ hard })), []);
  assert.deepEqual(faults(quota({ hard: { storage: "1Gi" } })), [
    'spec.hard[storage]: Invalid value: "storage": must be a standard resource for quota',
  ]);
  assert.deepEqual(faults(quota({ hard: { disks: "1" } })), [
    'spec.hard[disks]: Invalid value: "disks": must be a standard resource type or fully qualified',
    'spec.hard[disks]: Invalid value: "disks": must be a standard resource for quota',
  ]);
  assert.deepEqual(faults(quota({ hard: { pods: "500m", cpu: "-1" } })), [
    'spec.hard[pods]: Invalid value: "500m": must be an integer',
    'spec.hard[cpu]: Invalid value: "-1": must be greater than or equal to 0',
  ]);
});

test("scopes fit each other and what they bound", () => {
  const path = "spec.scopes: Invalid value:";
  const rows: [string[], Loose][] = [
    [[`${path} ["x"]: unsupported scope`], { hard: { pods: "1" }, scopes: ["x"] }],
    [
      [`${path} ["BestEffort"]: unsupported scope applied to resource`],
      { hard: { pods: "1", cpu: "1" }, scopes: ["BestEffort"] },
    ],
    [
      [`${path} ["Terminating","NotTerminating"]: conflicting scopes`],
      { hard: { pods: "1" }, scopes: ["Terminating", "NotTerminating"] },
    ],
    [
      [
        "spec.scopeSelector.matchExpressions.operator: Invalid value: \"In\": must be 'Exists' " +
          "when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, " +
          "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or " +
          "ResourceQuotaScopeCrossNamespacePodAffinity",
        "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value " +
          "when `operator` is 'In' or 'NotIn' for scope selector",
      ],
      {
        hard: { pods: "1" },
        scopeSelector: { matchExpressions: [{ scopeName: "Terminating", operator: "In" }] },
      },
    ],
    [
      [
        'spec.scopeSelector.matchExpressions.operator: Invalid value: "Is": not a valid selector operator',
      ],
      {
        hard: { pods: "1" },
        scopeSelector: { matchExpressions: [{ scopeName: "PriorityClass", operator: "Is" }] },
      },
    ],
    [
      [
        'spec.scopeSelector.matchExpressions: Invalid value: {"MatchExpressions":[{"ScopeName":' +
          '"PriorityClass","Operator":"Exists","Values":null}]}: unsupported scope applied to resource',
      ],
      {
        hard: { services: "1" },
        scopeSelector: { matchExpressions: [{ scopeName: "PriorityClass", operator: "Exists" }] },
      },
    ],
    [
      [],
      {
        hard: { pods: "1" },
        scopeSelector: {
          matchExpressions: [{ scopeName: "PriorityClass", operator: "In", values: ["high"] }],
        },
      },
    ],
  ];
  for (const [expected, spec] of rows) assert.deepEqual(faults(quota(spec)), expected);
});

test("the scopes of a quota stay, its bounds may change", () => {
  const stored = quota({ hard: { pods: "1" }, scopes: ["BestEffort"] });
  assert.deepEqual(
    updateFaults(stored, (next) => (next.spec.hard.pods = "2")),
    [],
  );
  assert.deepEqual(
    updateFaults(stored, (next) => (next.spec.scopes = [])),
    ["spec.scopes: Invalid value: []: field is immutable"],
  );
  assert.deepEqual(
    updateFaults(stored, (next) => (next.status = { used: { disks: "1" } })),
    [
      'status.used[disks]: Invalid value: "disks": must be a standard resource type or fully qualified',
      'status.used[disks]: Invalid value: "disks": must be a standard resource for quota',
    ],
  );
});

test("columns of a quota tell what is used of it", () => {
  const document = quota({});
  document.status = {
    hard: { pods: "4", "limits.cpu": "2", "requests.cpu": "1" },
    used: { pods: "1", "limits.cpu": "500m" },
  };
  const cells = row(document, 0);
  assert.equal(cells["Request"], "pods: 1/4, requests.cpu: 0/1");
  assert.equal(cells["Limit"], "limits.cpu: 500m/2");
});

test("defaults of a container's limits", () => {
  const { spec } = check(
    range(
      { type: "Container", max: { cpu: "2" }, min: { cpu: "100m", memory: "1024Ki" } },
      { type: "Container", default: { cpu: "1" }, defaultRequest: { cpu: "500m" } },
      { type: "Pod", max: { cpu: "2" } },
    ),
  ).document;
  assert.deepEqual(spec.limits, [
    {
      type: "Container",
      max: { cpu: "2" },
      min: { cpu: "100m", memory: "1Mi" },
      default: { cpu: "2" },
      defaultRequest: { cpu: "2", memory: "1Mi" },
    },
    { type: "Container", default: { cpu: "1" }, defaultRequest: { cpu: "500m" } },
    { type: "Pod", max: { cpu: "2" } },
  ]);
});

test("what is wrong with a limit range, in upstream's words", () => {
  const at = "spec.limits[0]";
  const rows: [string[], Loose[]][] = [
    [
      [`${at}.type: Invalid value: "Node": must be a standard limit type or fully qualified`],
      [{ type: "Node" }],
    ],
    [['spec.limits[1].type: Duplicate value: "Pod"'], [{ type: "Pod" }, { type: "Pod" }]],
    [
      [`${at}.default: Forbidden: may not be specified when \`type\` is 'Pod'`],
      [{ type: "Pod", default: { cpu: "1" } }],
    ],
    [
      [
        `${at}.limits: Required value: either minimum or maximum storage value is required, but ` +
          "neither was provided",
      ],
      [{ type: "PersistentVolumeClaim" }],
    ],
    [
      [`${at}.max[pods]: Invalid value: "pods": must be a standard resource for containers`],
      [{ type: "Pod", max: { pods: "1" } }],
    ],
    [
      [`${at}.min[cpu]: Invalid value: "2": min value 2 is greater than max value 1`],
      [{ type: "Pod", min: { cpu: "2" }, max: { cpu: "1" } }],
    ],
    [
      [
        `${at}.defaultRequest[cpu]: Invalid value: "3": default request value 3 is greater than ` +
          "max value 2",
        `${at}.defaultRequest[cpu]: Invalid value: "3": default request value 3 is greater than ` +
          "default limit value 1",
      ],
      [
        {
          type: "Container",
          max: { cpu: "2" },
          default: { cpu: "1" },
          defaultRequest: { cpu: "3" },
        },
      ],
    ],
    [
      [`${at}.default[cpu]: Invalid value: "2": default value 3 is greater than max value 2`]
        .concat(
          `${at}.defaultRequest[cpu]: Invalid value: "3": default request value 3 is greater than max value 2`,
        )
        .reverse(),
      [{ type: "Container", max: { cpu: "2" }, default: { cpu: "3" } }],
    ],
    [
      [`${at}.maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1`],
      [{ type: "Pod", maxLimitRequestRatio: { cpu: "0.5" } }],
    ],
    [
      [
        `${at}.maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = ` +
          "2.000000",
      ],
      [{ type: "Pod", min: { cpu: "1" }, max: { cpu: "2" }, maxLimitRequestRatio: { cpu: "3" } }],
    ],
    [
      [
        `${at}.defaultRequest[example.com/gpu]: Invalid value: "1": default value 2 must equal to ` +
          "defaultRequest value 1 in example.com/gpu",
      ],
      [
        {
          type: "Container",
          default: { "example.com/gpu": "2" },
          defaultRequest: { "example.com/gpu": "1" },
        },
      ],
    ],
  ];
  for (const [expected, limits] of rows) assert.deepEqual(faults(range(...limits)), expected);
});

test("limit ranges have no columns of their own", () => {
  const document = range();
  document.metadata.creationTimestamp = "2026-01-01T00:00:00Z";
  assert.deepEqual(row(document, 0), { Name: "l", "Created At": "2026-01-01T00:00:00Z" });
});
