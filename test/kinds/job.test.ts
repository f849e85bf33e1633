import assert from "node:assert/strict";
import { test } from "node:test";
import { check, created, faults, type Loose, row, updateFaults } from "./documents.ts";
import { condition, ended, indexed, job, started } from "./jobs.ts";
import { registry } from "./registry.ts";

test("defaults of a job", () => {
  const { template: _, ...rest } = check(job()).document.spec;
  assert.deepEqual(rest, {
    completions: 1,
    parallelism: 1,
    backoffLimit: 6,
    completionMode: "NonIndexed",
    suspend: false,
    podReplacementPolicy: "TerminatingOrFailed",
    manualSelector: false,
  });
  const parallel = check(job((spec) => (spec.parallelism = 3))).document.spec;
  assert.deepEqual([parallel.parallelism, parallel.completions], [3, undefined]);
  const perIndex = check(indexed((spec) => (spec.backoffLimitPerIndex = 1))).document.spec;
  assert.equal(perIndex.backoffLimit, 2_147_483_647);
  const policy = { rules: [{ action: "Ignore", onPodConditions: [{ type: "DisruptionTarget" }] }] };
  const failing = check(job((spec) => (spec.podFailurePolicy = policy))).document.spec;
  assert.equal(failing.podReplacementPolicy, "Failed");
  assert.equal(failing.podFailurePolicy.rules[0].onPodConditions[0].status, "True");
});

test("selector and labels are generated from the job's uid and name", () => {
  const { metadata, spec } = created(job());
  const { uid } = metadata;
  const labels = {
    "batch.kubernetes.io/controller-uid": uid,
    "batch.kubernetes.io/job-name": "j",
    "controller-uid": uid,
    "job-name": "j",
  };
  assert.deepEqual(spec.selector, {
    matchLabels: { "batch.kubernetes.io/controller-uid": uid },
  });
  assert.deepEqual(spec.template.metadata.labels, labels);
  assert.deepEqual(metadata.labels, labels);
  assert.deepEqual(faults(job()), []);
});

test("a job's own labels stay, the template's labels are lent to a job without any", () => {
  const labelled = job((spec) => (spec.template.metadata = { labels: { app: "a" } }));
  assert.equal(created(labelled).metadata.labels.app, "a");
  assert.equal(created(labelled).metadata.labels["job-name"], "j");
  labelled.metadata.labels = { app: "a" };
  assert.deepEqual(created(labelled).metadata.labels, { app: "a" });
});

test("a job that is given another name after a collision is labelled anew", () => {
  const kind = registry.required("batch/v1", "Job");
  const document = created(job());
  document.metadata.name = "other";
  kind.prepareForCreate(document);
  const { labels } = document.spec.template.metadata;
  assert.equal(labels["job-name"], "other");
  assert.equal(labels["batch.kubernetes.io/job-name"], "other");
  assert.deepEqual(kind.validate(document), []);
});

test("labels and selectors that contradict the generated ones are refused", () => {
  const { uid } = created(job()).metadata;
  const [first, ...more] = faults(
    job((spec) => (spec.template.metadata = { labels: { "job-name": "x" } })),
  );
  assert.match(
    first ?? "",
    /^spec\.template\.metadata\.labels\[job-name\]: Invalid value: \{.*\}: must be 'j'$/,
  );
  assert.deepEqual(more, []);
  const selecting = job((spec) => (spec.selector = { matchLabels: { app: "a" } }));
  assert.deepEqual(
    faults(selecting).map((fault) => fault.replace(/\{.*\}/, "{}")),
    [
      "spec.selector: Invalid value: {}: `selector` not auto-generated",
      "spec.template.metadata.labels: Invalid value: {}: `selector` does not match template `labels`",
    ],
  );
  assert.ok(uid);
});

test("a manual selector is the author's affair, but there must be one", () => {
  const manual = job((spec) => (spec.manualSelector = true));
  assert.deepEqual(faults(manual), [
    "spec.selector: Required value",
    "spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`",
  ]);
  manual.spec.selector = { matchLabels: { app: "a" } };
  manual.spec.template.metadata = { labels: { app: "a" } };
  assert.deepEqual(faults(manual), []);
});

const rule = (value: Loose) => (spec: Loose) => {
  spec.podFailurePolicy = { rules: [value] };
};
const success = (value: Loose) => (spec: Loose) => {
  spec.successPolicy = { rules: [value] };
};
const first = "spec.podFailurePolicy.rules[0]";
const won = "spec.successPolicy.rules[0]";

test("what is wrong with a job, in upstream's words", () => {
  const rows: [string[], Loose][] = [
    [
      ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
      job((spec) => delete spec.template.spec.restartPolicy),
    ],
    [
      ["spec.parallelism: Invalid value: -1: must be greater than or equal to 0"],
      job((spec) => (spec.parallelism = -1)),
    ],
    [
      [
        "spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0",
        "spec.ttlSecondsAfterFinished: Invalid value: -2: must be greater than or equal to 0",
      ],
      job((spec) => Object.assign(spec, { backoffLimit: -1, ttlSecondsAfterFinished: -2 })),
    ],
    [
      ['spec.completionMode: Unsupported value: "x": supported values: "NonIndexed", "Indexed"'],
      job((spec) => (spec.completionMode = "x")),
    ],
    [
      ["spec.completions: Required value: when completion mode is Indexed"],
      indexed((spec) => Object.assign(spec, { completions: undefined, parallelism: 1 })),
    ],
    [
      [
        "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when " +
          "completion mode is Indexed",
      ],
      indexed((spec) => (spec.parallelism = 100_001)),
    ],
    [
      ["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
      job((spec) => (spec.backoffLimitPerIndex = 1)),
    ],
    [
      [
        "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
        "spec.maxFailedIndexes: Invalid value: 6: must be less than or equal to completions",
      ],
      indexed((spec) => (spec.maxFailedIndexes = 6)),
    ],
    [
      ["spec.maxFailedIndexes: Required value: must be specified when completions is above 100000"],
      indexed((spec) => Object.assign(spec, { completions: 100_001, backoffLimitPerIndex: 1 })),
    ],
    [
      [
        'spec.managedBy: Invalid value: "me": must be a domain-prefixed path (such as "acme.io/foo")',
      ],
      job((spec) => (spec.managedBy = "me")),
    ],
    [
      [
        'spec.podReplacementPolicy: Unsupported value: "x": supported values: "Failed", ' +
          '"TerminatingOrFailed"',
      ],
      job((spec) => (spec.podReplacementPolicy = "x")),
    ],
    [
      [
        `${first}.action: Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]`,
        `${first}: Invalid value: specifying one of OnExitCodes and OnPodConditions is required`,
      ],
      job(rule({})),
    ],
    [
      [
        `${first}.action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set`,
        `${first}.onExitCodes.operator: Required value: valid values: ["In" "NotIn"]`,
        `${first}.onExitCodes.containerName: Invalid value: "x": must be one of the container or ` +
          "initContainer names in the pod template",
        `${first}.onExitCodes.values: Invalid value: null: at least one value is required`,
      ],
      job(rule({ action: "FailIndex", onExitCodes: { containerName: "x" } })),
    ],
    [
      [
        `${first}.onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator`,
        `${first}.onExitCodes.values[2]: Duplicate value: 3`,
        `${first}.onExitCodes.values: Invalid value: [3,0,3]: must be ordered`,
      ],
      job(rule({ action: "FailJob", onExitCodes: { operator: "In", values: [3, 0, 3] } })),
    ],
    [
      [
        'spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is ' +
          "supported when podFailurePolicy is specified",
      ],
      job((spec) => {
        rule({ action: "FailJob", onExitCodes: { operator: "In", values: [1] } })(spec);
        spec.template.spec.restartPolicy = "OnFailure";
      }),
    ],
    [
      [
        'spec.successPolicy: Invalid value: {"Rules":[{"SucceededIndexes":null,"SucceededCount":null}]}: requires indexed completion mode',
      ],
      job(success({})),
    ],
    [
      [
        `${won}: Required value: at least one of succeededCount or succeededIndexes must be ` +
          "specified",
      ],
      indexed(success({})),
    ],
    [
      [
        `${won}.succeededIndexes: Invalid value: "3-1": error parsing succeededIndexes: ` +
          "non-increasing order, previous: 3, current: 1",
      ],
      indexed(success({ succeededIndexes: "3-1" })),
    ],
    [
      [
        `${won}.succeededIndexes: Invalid value: "0,9": error parsing succeededIndexes: ` +
          'too large index: "9"',
      ],
      indexed(success({ succeededIndexes: "0,9" })),
    ],
    [
      [
        `${won}.succeededCount: Invalid value: 3: must be less than or equal to 2 (the number of ` +
          "indexes in the specified succeededIndexes field)",
      ],
      indexed(success({ succeededIndexes: "0,2", succeededCount: 3 })),
    ],
  ];
  for (const [expected, document] of rows) assert.deepEqual(faults(document), expected);
});

test("an indexed job's name leaves room for the index", () => {
  const document = indexed();
  document.metadata.name = "a".repeat(62);
  assert.deepEqual(faults(document), [
    `metadata.name: Invalid value: "${"a".repeat(62)}": will not able to create pod with invalid ` +
      `DNS label: ${"a".repeat(62)}-4`,
  ]);
});

test("what of a job may change", () => {
  const changed = (stored: Loose, change: (spec: Loose) => void) =>
    updateFaults(stored, (next) => change(next.spec)).map((fault) => fault.replace(/\{.*\}/, "{}"));
  assert.deepEqual(
    changed(job(), (spec) => Object.assign(spec, { parallelism: 0, suspend: true })),
    [],
  );
  assert.deepEqual(
    changed(job(), (spec) => (spec.completions = 2)),
    ["spec.completions: Invalid value: 2: field is immutable"],
  );
  assert.deepEqual(
    changed(indexed(), (spec) => (spec.completions = 4)),
    ["spec.completions: Invalid value: 4: can only be modified in tandem with spec.parallelism"],
  );
  assert.deepEqual(
    changed(indexed(), (spec) => Object.assign(spec, { completions: 4, parallelism: 4 })),
    [],
  );
  assert.deepEqual(
    changed(job(), (spec) => (spec.template.spec.containers[0].image = "other")),
    ["spec.template: Invalid value: {}: field is immutable"],
  );
  assert.deepEqual(
    changed(job(), (spec) => (spec.completionMode = "Indexed")),
    ['spec.completionMode: Invalid value: "Indexed": field is immutable'],
  );
  assert.deepEqual(
    changed(job(), (spec) => (spec.managedBy = "a.io/b")),
    ['spec.managedBy: Invalid value: "a.io/b": field is immutable'],
  );
});

test("a suspended job that never ran may be sent elsewhere", () => {
  const suspended = job((spec) => (spec.suspend = true));
  const elsewhere = (next: Loose) => {
    const { spec, metadata } = next.spec.template;
    metadata.annotations = { queue: "a" };
    spec.nodeSelector = { zone: "a" };
    spec.tolerations = [{ operator: "Exists" }];
    spec.affinity = { nodeAffinity: {} };
    spec.schedulingGates = [{ name: "a.io/b" }];
  };
  assert.deepEqual(updateFaults(suspended, elsewhere), []);
  const fault = (stored: Loose) =>
    updateFaults(stored, elsewhere).map((each) => each.split(":")[0]);
  assert.deepEqual(fault(job()), ["spec.template"]);
  const ran = { ...suspended, status: { startTime: "2026-01-01T00:00:00Z" } };
  assert.deepEqual(fault(ran), ["spec.template"]);
  assert.deepEqual(
    updateFaults(suspended, (next) => (next.spec.template.spec.nodeName = "n")).length,
    1,
  );
});

test("columns of a job", () => {
  const now = Date.parse(ended);
  const shown = (document: Loose) => {
    const cells = row(document, now);
    return [cells["Status"], cells["Completions"], cells["Duration"]];
  };
  const conditions = (...types: string[]) => types.map(condition);
  assert.deepEqual(shown(created(job())), ["Running", "0/1", ""]);
  const running = { ...created(job()), status: { startTime: started } };
  assert.deepEqual(shown(running), ["Running", "0/1", "60s"]);
  const complete = {
    ...running,
    status: {
      startTime: started,
      completionTime: "2026-01-01T00:00:05Z",
      succeeded: 1,
      conditions: conditions("SuccessCriteriaMet", "Complete"),
    },
  };
  assert.deepEqual(shown(complete), ["Complete", "1/1", "5s"]);
  const parallel = { spec: { parallelism: 3 } };
  assert.deepEqual(shown({ ...running, ...parallel, status: {} }), ["Running", "0/1 of 3", ""]);
  const suspended = { ...running, status: { conditions: conditions("Suspended") } };
  assert.equal(shown(suspended)[0], "Suspended");
  const leaving = { ...running, metadata: { ...running.metadata, deletionTimestamp: ended } };
  assert.equal(shown(leaving)[0], "Terminating");
  const { selectableFields } = registry.required("batch/v1", "Job");
  assert.equal(selectableFields["status.successful"]?.(complete), "1");
});
