import assert from "node:assert/strict";
import { test } from "node:test";
import { Cron } from "croner";
import { parseSchedule } from "../../services/kinds/batch/schedule.ts";
import { check, faults, type Loose } from "./documents.ts";
import { cronJob, ended, started } from "./jobs.ts";
import { registry } from "./registry.ts";

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
      [
        "spec.jobTemplate.spec.template.spec.containers: Required value",
        "spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: " +
          '"OnFailure", "Never"',
      ],
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
