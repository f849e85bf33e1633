import assert from "node:assert/strict";
import { test } from "node:test";
import { fieldWarnings } from "../../services/kinds/field-support.ts";
import { systemPriorityClasses } from "../../services/kinds/mod.ts";
import { row } from "./documents.ts";
import { assertFaults, created, documents, faults, updateFaults } from "./tables.ts";

const priorityClass = documents("scheduling.k8s.io/v1", "PriorityClass");
const runtimeClass = documents("node.k8s.io/v1", "RuntimeClass");
const label =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must " +
  "start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for " +
  "validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const reserved =
  "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system " +
  "use only. error: ";

test("a priority class: defaults, faults, columns", () => {
  const { value, preemptionPolicy } = created(priorityClass());
  assert.deepEqual([value, preemptionPolicy], [0, "PreemptLowerPriority"]);
  assertFaults([
    [priorityClass({ value: 1_000_000_000, preemptionPolicy: "Never" }), []],
    [priorityClass({ value: -2_147_483_647 }), []],
    [
      priorityClass({ value: 1_000_000_001 }),
      ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
    ],
    [
      priorityClass({ preemptionPolicy: "Always" }),
      [
        'preemptionPolicy: Unsupported value: "Always": supported values: ' +
          '"PreemptLowerPriority", "Never"',
      ],
    ],
    [priorityClass({ preemptionPolicy: "" }), ["preemptionPolicy: Required value"]],
    [
      priorityClass({ value: 1 }, "system-mine"),
      [`${reserved}system-mine is not a known system priority class`],
    ],
    [
      priorityClass({ value: 1 }, "system-node-critical"),
      [`${reserved}value of system-node-critical PriorityClass must be 2000001000`],
    ],
    [
      priorityClass({ value: 2_000_000_000, globalDefault: true }, "system-cluster-critical"),
      [`${reserved}globalDefault of system-cluster-critical PriorityClass must be false`],
    ],
  ]);
  for (const one of systemPriorityClasses) {
    assert.deepEqual(faults({ ...priorityClass(), ...one }), []);
  }
  const stored = created(priorityClass({ value: 5 }));
  const cells = row(stored, Date.now());
  assert.deepEqual(Object.keys(cells), [
    ...["Name", "Value", "Global-Default", "Age", "PreemptionPolicy"],
  ]);
  const { Value, "Global-Default": isDefault, PreemptionPolicy } = cells;
  assert.deepEqual([Value, isDefault, PreemptionPolicy], ["5", "false", "PreemptLowerPriority"]);
});

test("a priority class keeps its value and its policy", () => {
  const stored = priorityClass({ value: 5 });
  assert.deepEqual(
    updateFaults(stored, (next) => Object.assign(next, { value: 6, preemptionPolicy: "Never" })),
    [
      "value: Forbidden: may not be changed in an update.",
      'preemptionPolicy: Invalid value: "Never": field is immutable',
    ],
  );
  assert.deepEqual(
    updateFaults(stored, (next) => (next.description = "x")),
    [],
  );
});

test("every field of a priority class has its effect: nothing to warn of", () => {
  const message = "trireme.scheduling.v1.PriorityClass";
  assert.deepEqual(fieldWarnings(message, priorityClass({ value: 5 })), []);
  const never = priorityClass({ value: 5, preemptionPolicy: "Never" });
  assert.deepEqual(fieldWarnings(message, never), []);
});

test("a runtime class: faults and update rules", () => {
  assertFaults([
    [runtimeClass({ handler: "gvisor", overhead: { podFixed: { cpu: "250m" } } }), []],
    [runtimeClass(), [`handler: Invalid value: "": ${label}`]],
    [runtimeClass({ handler: "A" }), [`handler: Invalid value: "A": ${label}`]],
    [
      runtimeClass({ handler: "a", overhead: { podFixed: { memory: "-1" } } }),
      ['overhead.limits[memory]: Invalid value: "-1": must be greater than or equal to 0'],
    ],
    [
      runtimeClass({ handler: "a", scheduling: { tolerations: [{ key: "k", operator: "X" }] } }),
      [
        'scheduling.tolerations.tolerations[0].operator: Unsupported value: "X": supported ' +
          'values: "Equal", "Exists"',
      ],
    ],
    [
      runtimeClass({
        handler: "a",
        scheduling: { tolerations: Array(2).fill({ key: "k", operator: "Exists" }) },
      }),
      [
        'scheduling.tolerations[1]: Duplicate value: {"Key":"k","Operator":"Exists","Value":"",' +
          '"Effect":"","TolerationSeconds":null}',
      ],
    ],
  ]);
  const { overhead } = created(
    runtimeClass({ handler: "a", overhead: { podFixed: { memory: "1024Mi" } } }),
  );
  assert.deepEqual(overhead, { podFixed: { memory: "1Gi" } });
  assert.deepEqual(
    updateFaults(runtimeClass({ handler: "a" }), (next) => (next.handler = "b")),
    ['handler: Invalid value: "b": field is immutable'],
  );
  assert.equal(row(runtimeClass({ handler: "a" }), 0)["Handler"], "a");
});
