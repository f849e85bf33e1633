import assert from "node:assert/strict";
import { test } from "node:test";
import { check, faults, type Loose, meta, row, updateFaults } from "./documents.ts";
import { registry } from "./registry.ts";

const budget = (spec: Loose = { minAvailable: 1, selector: {} }): Loose => ({
  apiVersion: "policy/v1",
  kind: "PodDisruptionBudget",
  metadata: meta("b"),
  spec,
});

test("a budget starts with nothing allowed, and an update names its version", () => {
  assert.deepEqual(check(budget()).document.status, {
    disruptionsAllowed: 0,
    currentHealthy: 0,
    desiredHealthy: 0,
    expectedPods: 0,
  });
  const { allowUnconditionalUpdate, shortNames } = registry.required(
    "policy/v1",
    "PodDisruptionBudget",
  );
  assert.equal(allowUnconditionalUpdate, false);
  assert.deepEqual(shortNames, ["pdb"]);
});

test("what is wrong with a budget, in upstream's words", () => {
  const percent =
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or " +
    "'93%', regex used for validation is '[0-9]+%')";
  const rows: [string[], Loose][] = [
    [[], { minAvailable: "50%" }],
    [[], { maxUnavailable: 0 }],
    [
      [
        'spec: Invalid value: {"MinAvailable":1,"Selector":null,"MaxUnavailable":1,' +
          '"UnhealthyPodEvictionPolicy":null}: minAvailable and maxUnavailable cannot be both set',
      ],
      { minAvailable: 1, maxUnavailable: 1 },
    ],
    [
      ["spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"],
      { minAvailable: -1 },
    ],
    [[`spec.maxUnavailable: Invalid value: "half": ${percent}`], { maxUnavailable: "half" }],
    [
      ['spec.maxUnavailable: Invalid value: "101%": must not be greater than 100%'],
      { maxUnavailable: "101%" },
    ],
    [
      [
        'spec.unhealthyPodEvictionPolicy: Unsupported value: "x": supported values: ' +
          '"AlwaysAllow", "IfHealthyBudget"',
      ],
      { unhealthyPodEvictionPolicy: "x" },
    ],
  ];
  for (const [expected, spec] of rows) assert.deepEqual(faults(budget(spec)), expected);
});

test("the spec of a budget may change, its status counts and has sound conditions", () => {
  assert.deepEqual(
    updateFaults(budget(), (next) => (next.spec = { maxUnavailable: 2 })),
    [],
  );
  const at = "status.conditions[0]";
  assert.deepEqual(
    updateFaults(budget(), (next) => {
      next.status.currentHealthy = -1;
      next.status.conditions = [
        { type: "DisruptionAllowed", status: "Yes", observedGeneration: -1, reason: "no reason" },
        { type: "DisruptionAllowed", status: "True", lastTransitionTime: "t" },
      ];
    }).map((fault) => fault.replace(/a condition reason .*/, "…")),
    [
      `${at}.status: Unsupported value: "Yes": supported values: "False", "True", "Unknown"`,
      `${at}.observedGeneration: Invalid value: -1: must be greater than or equal to zero`,
      `${at}.lastTransitionTime: Required value`,
      `${at}.reason: Invalid value: "no reason": …`,
      'status.conditions[1].type: Duplicate value: "DisruptionAllowed"',
      "status.conditions[1].reason: Required value",
      "status.currentHealthy: Invalid value: -1: must be greater than or equal to 0",
    ],
  );
});

test("columns of a budget", () => {
  const cells = (spec: Loose) => {
    const shown = row({ ...budget(spec), status: { disruptionsAllowed: 2 } }, 0);
    return [shown["Min Available"], shown["Max Unavailable"], shown["Allowed Disruptions"]];
  };
  assert.deepEqual(cells({ minAvailable: 1 }), ["1", "N/A", "2"]);
  assert.deepEqual(cells({ maxUnavailable: "25%" }), ["N/A", "25%", "2"]);
});
