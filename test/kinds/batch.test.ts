import assert from "node:assert/strict";
import { test } from "node:test";
import { Cron } from "croner";
import { parseSchedule } from "../../services/kinds/batch/schedule.ts";
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

const job = (change: (spec: Loose) => void = () => {}): Loose => {
  const spec = { template: { spec: { ...podSpec(), restartPolicy: "Never" } } };
  change(spec);
  return { apiVersion: "batch/v1", kind: "Job", metadata: meta("j"), spec };
};
const indexed = (change: (spec: Loose) => void = () => {}): Loose =>
  job((spec) => {
    Object.assign(spec, { completionMode: "Indexed", completions: 5 });
    change(spec);
  });
const cronJob = (change: (spec: Loose) => void = () => {}): Loose => {
  const spec = { schedule: "*/5 * * * *", jobTemplate: { spec: job().spec } };
  change(spec);
  return { apiVersion: "batch/v1", kind: "CronJob", metadata: meta("c"), spec };
};

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
    "spec.template.metadata.labels: Invalid value: {}: `selector` does not match template `labels`",
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
      ['spec.completionMode: Unsupported value: "x": supported values: "Indexed", "NonIndexed"'],
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
        `${first}.onExitCodes.values: Invalid value: []: at least one value is required`,
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
      ['spec.successPolicy: Invalid value: {"rules":[{}]}: requires indexed completion mode'],
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

const condition = (type: string) => ({ type, status: "True" });
const started = "2026-01-01T00:00:00Z";
const ended = "2026-01-01T00:01:00Z";

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

test("defaults of a cron job leave the job to its own defaults", () => {
  const { spec, status } = check(cronJob()).document;
  const { jobTemplate, ...rest } = spec;
  assert.deepEqual(rest, {
    schedule: "*/5 * * * *",
    concurrencyPolicy: "Allow",
    suspend: false,
    successfulJobsHistoryLimit: 3,
    failedJobsHistoryLimit: 1,
  });
  assert.deepEqual(Object.keys(jobTemplate.spec), ["template"]);
  assert.equal(jobTemplate.spec.template.spec.dnsPolicy, "ClusterFirst");
  assert.deepEqual(status, {});
});

test("what is wrong with a cron job, in upstream's words", () => {
  const rows: [string[], Loose][] = [
    [["spec.schedule: Required value"], cronJob((spec) => delete spec.schedule)],
    [
      ['spec.schedule: Invalid value: "* * * *": expected exactly 5 fields, found 4: [* * * *]'],
      cronJob((spec) => (spec.schedule = "* * * *")),
    ],
    [
      [
        'spec.schedule: Invalid value: "TZ=UTC 0 0 * * *": cannot use TZ or CRON_TZ in schedule, ' +
          "use timeZone field instead",
      ],
      cronJob((spec) => (spec.schedule = "TZ=UTC 0 0 * * *")),
    ],
    [
      ['spec.timeZone: Invalid value: "Mars/Base": unknown time zone Mars/Base'],
      cronJob((spec) => (spec.timeZone = "Mars/Base")),
    ],
    [
      ['spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string'],
      cronJob((spec) => (spec.timeZone = "")),
    ],
    [
      [
        'spec.timeZone: Invalid value: "Local": timeZone must be an explicit time zone as defined ' +
          "in https://www.iana.org/time-zones",
      ],
      cronJob((spec) => (spec.timeZone = "Local")),
    ],
    [
      [
        'spec.concurrencyPolicy: Unsupported value: "x": supported values: "Allow", "Forbid", ' +
          '"Replace"',
      ],
      cronJob((spec) => (spec.concurrencyPolicy = "x")),
    ],
    [
      [
        "spec.startingDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0",
        "spec.failedJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0",
      ],
      cronJob((spec) =>
        Object.assign(spec, { startingDeadlineSeconds: -1, failedJobsHistoryLimit: -1 }),
      ),
    ],
    [
      [
        "spec.jobTemplate.spec.selector: Invalid value: {}: `selector` will be auto-generated",
        "spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: " +
          '"false", "nil"',
      ],
      cronJob((spec) =>
        Object.assign(spec.jobTemplate.spec, { selector: {}, manualSelector: true }),
      ),
    ],
    [
      ["spec.jobTemplate.spec.template: Required value"],
      cronJob((spec) => delete spec.jobTemplate),
    ],
  ];
  for (const [expected, document] of rows) assert.deepEqual(faults(document), expected);
  const long = cronJob();
  long.metadata.name = "a".repeat(53);
  assert.deepEqual(faults(long), [
    `metadata.name: Invalid value: "${"a".repeat(53)}": must be no more than 52 characters`,
  ]);
  assert.deepEqual(faults(cronJob((spec) => (spec.timeZone = "Europe/Berlin"))), []);
});

test("schedules are read as robfig/cron reads them", () => {
  const rows: [string, string][] = [
    ["*/15 * * * *", "0,15,30,45 * * * *"],
    ["50/4 1-3 ? jan-MAR Mon,fri", "50,54,58 1,2,3 * 1,2,3 1,5"],
    ["  0   0 * * 0 ", "0 0 * * 0"],
    ["@hourly", "0 * * * *"],
    ["@weekly", "0 0 * * 0"],
    ["*/1 * * * *", "* * * * *"],
  ];
  for (const [text, pattern] of rows) {
    assert.deepEqual(parseSchedule(text), { pattern }, text);
    assert.ok(new Cron(pattern, { mode: "5-part", paused: true }).nextRun(), pattern);
  }
  assert.deepEqual(parseSchedule("@every 1h30m"), { everySeconds: 5_400 });
  assert.deepEqual(parseSchedule("@every 1ms"), { everySeconds: 1 });
});

test("schedules that cannot be read are refused in robfig/cron's words", () => {
  const rows: [string, string][] = [
    ["60 * * * *", "end of range (60) above maximum (59): 60"],
    ["* * 0 * *", "beginning of range (0) below minimum (1): 0"],
    ["* * * * 7", "end of range (7) above maximum (6): 7"],
    ["5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"],
    ["*/0 * * * *", "step of range should be a positive number: */0"],
    ["1-2-3 * * * *", "too many hyphens: 1-2-3"],
    ["1/2/3 * * * *", "too many slashes: 1/2/3"],
    ["x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'],
    ["* * L * *", 'failed to parse int from L: strconv.Atoi: parsing "L": invalid syntax'],
    ["@reboot", "unrecognized descriptor: @reboot"],
    ["@every x", 'failed to parse duration @every x: time: invalid duration "x"'],
    ["@every 5", 'failed to parse duration @every 5: time: missing unit in duration "5"'],
    ["* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]"],
    ["TZ=Mars 0 0 * * *", "provided bad location Mars: unknown time zone Mars"],
    [`${"1,".repeat(600)} * * * *`, "may not be more than 1024 characters"],
  ];
  for (const [text, problem] of rows) assert.deepEqual(parseSchedule(text), { problem }, text);
});

test("columns of a cron job", () => {
  const document = check(cronJob((spec) => (spec.timeZone = "Etc/UTC"))).document;
  document.status = { active: [{ name: "a" }], lastScheduleTime: started };
  const { columns } = registry.required("batch/v1", "CronJob");
  assert.deepEqual(
    columns.map(({ value }) => value(document, Date.parse(ended))),
    [
      ...["c", "*/5 * * * *", "Etc/UTC", "False", 1, "60s", "<unknown>"],
      ...["web", "nginx:1.27", "<none>"],
    ],
  );
});
