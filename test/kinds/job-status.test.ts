import assert from "node:assert/strict";
import { test } from "node:test";
import { type Loose, updateFaults } from "./documents.ts";
import { condition, ended, indexed, job, started } from "./jobs.ts";

test("what a job's status may become", () => {
  const write = (before: Loose, after: Loose, document = job()) =>
    updateFaults({ ...document, status: before }, (next) => (next.status = after));
  const done = {
    startTime: started,
    completionTime: ended,
    succeeded: 1,
    conditions: [condition("SuccessCriteriaMet"), condition("Complete")],
  };
  assert.deepEqual(write({ startTime: started }, done), []);
  const rows: [string[], Loose, Loose, Loose?][] = [
    [
      [
        "status.conditions: Invalid value: cannot set Complete=True condition without the " +
          "SuccessCriteriaMet=true condition",
      ],
      { startTime: started },
      { ...done, conditions: [condition("Complete")] },
    ],
    [
      ["status.completionTime: Required value: completionTime is required for Complete jobs"],
      { startTime: started },
      { ...done, completionTime: undefined },
    ],
    [
      [
        `status.completionTime: Invalid value: "${started}": cannot set completionTime when there ` +
          "is no Complete=True condition",
      ],
      { startTime: started },
      { startTime: started, completionTime: started },
    ],
    [
      [
        "status.conditions: Invalid value: cannot set Failed=True condition without the " +
          "FailureTarget=true condition",
      ],
      { startTime: started },
      { startTime: started, conditions: [condition("Failed")] },
    ],
    [
      ["status.active: Invalid value: 1: active>0 is invalid for finished job"],
      { startTime: started },
      { ...done, active: 1 },
    ],
    [
      ["status.startTime: Required value: startTime is required for finished job"],
      {},
      { ...done, startTime: undefined },
    ],
    [
      ["status.ready: Invalid value: 2: cannot set more ready pods than active"],
      {},
      { active: 1, ready: 2 },
    ],
    [
      ["status.failed: Invalid value: 1: cannot decrease the failed counter"],
      { failed: 2 },
      { failed: 1 },
    ],
    [
      [
        "status.conditions: Invalid value: cannot disable the terminal Complete=True condition",
        "status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition",
      ],
      done,
      { ...done, completionTime: undefined, conditions: [] },
    ],
    [
      [`status.completionTime: Invalid value: "2026-01-01T00:02:00Z": field is immutable`],
      done,
      { ...done, completionTime: "2026-01-01T00:02:00Z" },
    ],
    [
      ["status.startTime: Required value: startTime cannot be removed for unsuspended job"],
      { startTime: started },
      {},
    ],
    [
      [
        'status.completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when ' +
          "non-indexed completion mode",
      ],
      {},
      { completedIndexes: "0" },
    ],
    [
      [
        'status.failedIndexes: Invalid value: "2-3": failedIndexes and completedIndexes overlap ' +
          "at index: 2",
      ],
      {},
      { completedIndexes: "0-2", failedIndexes: "2-3" },
      indexed((spec) => (spec.backoffLimitPerIndex = 1)),
    ],
    [
      [
        'status.uncountedTerminatedPods.failed[0]: Duplicate value: "a"',
        'status.uncountedTerminatedPods.failed[1]: Invalid value: "": must not be empty',
      ],
      {},
      { uncountedTerminatedPods: { succeeded: ["a"], failed: ["a", ""] } },
    ],
  ];
  for (const [expected, before, after, document] of rows) {
    assert.deepEqual(write(before, after, document), expected);
  }
});
