/** How a Job counts, goes on and ends, as upstream documents it: one row a case. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Job, JobSpec, JobStatus } from "../../proto/gen/batch.ts";
import type { Pod } from "../../proto/gen/core.ts";
import {
  completion,
  endingOf,
  millisToDeadline,
  take,
  wantedActive,
} from "../../services/controllers/job/census.ts";
import { trackingFinalizer, withIndex } from "../../services/controllers/job/job-pods.ts";
import { track } from "../../services/controllers/job/tracking.ts";

const now = Date.parse("2026-03-01T12:00:00Z");
const ago = (seconds: number) => new Date(now - seconds * 1000).toISOString();
const indexKey = "batch.kubernetes.io/job-completion-index";
const failuresKey = "batch.kubernetes.io/job-index-failure-count";

/**
 * `r`unning, `p`ending, `s`ucceeded, `f`ailed; then, perhaps, its index, `!` and its exit code, `+`
 * and its restarts, `#` and the failures of its index before, `x`: being deleted, `u`: counted already.
 */
function podFrom(text: string): Pod {
  const pattern = /^([rpsf])(\d*)(?:!(\d+))?(?:\+(\d+))?(?:#(\d+))?(x?)(u?)$/;
  const [, state = "", index, code = "1", restarts = "0", before, going, counted] =
    pattern.exec(text) ?? [];
  const phases: Record<string, string> = {
    r: "Running",
    p: "Pending",
    s: "Succeeded",
    f: "Failed",
  };
  return {
    metadata: {
      ...{ name: text, namespace: "default", uid: text },
      ...(!counted && { finalizers: [trackingFinalizer] }),
      ...(going && { deletionTimestamp: ago(5) }),
      annotations: {
        ...(index !== "" && index !== undefined && { [indexKey]: index }),
        ...(before !== undefined && { [failuresKey]: before }),
      },
    },
    status: {
      phase: phases[state] ?? "",
      containerStatuses: [
        {
          ...{ name: "c", restartCount: Number(restarts) },
          ...(state === "f" && { state: { terminated: { exitCode: Number(code) } } }),
        },
      ],
    },
  };
}
const podsFrom = (text: string) => (text === "" ? [] : text.split(" ").map(podFrom));
const indexed: JobSpec = { completionMode: "Indexed", completions: 3, parallelism: 3 };
const onFailure: JobSpec = { template: { spec: { restartPolicy: "OnFailure" } } };
const condition = (type: string, reason: string) => ({
  type,
  status: "True",
  reason,
  message: "m",
});
const policy = (action: string, code: number): JobSpec => ({
  podFailurePolicy: { rules: [{ action, onExitCodes: { operator: "In", values: [code] } }] },
});

const wantRows: readonly [string, JobSpec, string, number][] = [
  ["as many as may run together", { parallelism: 4 }, "", 4],
  ["one if nothing is said", {}, "", 1],
  ["without a number of completions, no new ones after a success", { parallelism: 3 }, "s r", 1],
  ["and those that run go on though fewer may", { parallelism: 1 }, "s r r", 2],
  ["no more than are missing", { parallelism: 4, completions: 5 }, "s s s", 2],
  ["none when nothing is missing", { parallelism: 4, completions: 2 }, "s s", 0],
  ["no more than may run together", { parallelism: 2, completions: 9 }, "s", 2],
  ["none", { parallelism: 0, completions: 9 }, "", 0],
  ["of indexes that are left", indexed, "s0 s0 r1", 2],
  ["of indexes that have not failed", { ...indexed, backoffLimitPerIndex: 0 }, "f0 s1", 1],
];
for (const [title, spec, pods, expected] of wantRows) {
  test(`job, pods at a time: ${title}`, () => {
    const job: Job = { spec };
    assert.equal(wantedActive(job, take(job, podsFrom(pods), new Set())), expected);
  });
}

const countRows: readonly [string, JobSpec, JobStatus, string, string][] = [
  ["what is there", {}, {}, "r p s f", "2 active, 1 succeeded, 1 failed, 0 going"],
  [
    "added to what was counted",
    {},
    { succeeded: 2, failed: 3 },
    "s f",
    "0 active, 3 succeeded, 4 failed, 0 going",
  ],
  [
    "counted pods only once",
    {},
    { succeeded: 1 },
    "su",
    "0 active, 1 succeeded, 0 failed, 0 going",
  ],
  [
    "pods that wait to be counted only once",
    {},
    { uncountedTerminatedPods: { succeeded: ["s"], failed: [] } },
    "s",
    "0 active, 1 succeeded, 0 failed, 0 going",
  ],
  ["one that is deleted has failed", {}, {}, "rx", "0 active, 0 succeeded, 1 failed, 1 going"],
  [
    "unless the job waits for its end",
    { podReplacementPolicy: "Failed" },
    {},
    "rx",
    "0 active, 0 succeeded, 0 failed, 1 going",
  ],
  [
    "one that succeeded is none when it is deleted",
    {},
    {},
    "sx",
    "0 active, 1 succeeded, 0 failed, 0 going",
  ],
  ["an index only once", indexed, {}, "s1 s1", "0 active, 1 succeeded, 0 failed, 0 going"],
  [
    "indexes beyond the number do not count",
    indexed,
    {},
    "s1 s7",
    "0 active, 1 succeeded, 0 failed, 0 going",
  ],
  [
    "indexes that were counted",
    indexed,
    { completedIndexes: "0,2" },
    "s1",
    "0 active, 3 succeeded, 0 failed, 0 going",
  ],
  [
    "what is to be ignored",
    policy("Ignore", 42),
    {},
    "f!42 f!1",
    "0 active, 0 succeeded, 1 failed, 0 going",
  ],
];
for (const [title, spec, status, pods, expected] of countRows) {
  test(`job counts ${title}`, () => {
    const found = take({ spec, status }, podsFrom(pods), new Set());
    const shown =
      `${found.active.length} active, ${found.succeeded} succeeded, ${found.failed} failed, ` +
      `${found.terminating} going`;
    assert.equal(shown, expected);
  });
}

const endRows: readonly [string, JobSpec, JobStatus, string, string][] = [
  ["not yet", { backoffLimit: 1 }, {}, "f r", "goes on"],
  ["one failure too many", { backoffLimit: 1 }, {}, "f f!2", "Failed BackoffLimitExceeded"],
  ["no failure is allowed", { backoffLimit: 0 }, {}, "f", "Failed BackoffLimitExceeded"],
  [
    "earlier failures count",
    { backoffLimit: 2 },
    { failed: 2 },
    "f",
    "Failed BackoffLimitExceeded",
  ],
  [
    "restarts count",
    { ...onFailure, backoffLimit: 2 },
    {},
    "r+1 p+1",
    "Failed BackoffLimitExceeded",
  ],
  ["too few restarts", { ...onFailure, backoffLimit: 3 }, {}, "r+1 p+1", "goes on"],
  [
    "no restart is allowed",
    { ...onFailure, backoffLimit: 0 },
    {},
    "r+1",
    "Failed BackoffLimitExceeded",
  ],
  ["restarts that are not the job's business", { backoffLimit: 1 }, {}, "r+5", "goes on"],
  ["in time", { activeDeadlineSeconds: 60 }, { startTime: ago(59) }, "r", "goes on"],
  [
    "too late",
    { activeDeadlineSeconds: 60 },
    { startTime: ago(60) },
    "r",
    "Failed DeadlineExceeded",
  ],
  [
    "no time passes while it is suspended",
    { activeDeadlineSeconds: 60, suspend: true },
    { startTime: ago(600) },
    "",
    "goes on",
  ],
  ["a failure that ends all", policy("FailJob", 42), {}, "f!42 r", "Failed PodFailurePolicy"],
  [
    "which comes before the limit",
    { ...policy("FailJob", 42), backoffLimit: 0 },
    {},
    "f!42",
    "Failed PodFailurePolicy",
  ],
  ["an ignored failure", { ...policy("Ignore", 42), backoffLimit: 0 }, {}, "f!42", "goes on"],
  [
    "an index has failed, others go on",
    { ...indexed, backoffLimitPerIndex: 0 },
    {},
    "f0 r1 r2",
    "goes on",
  ],
  [
    "an index that may try again",
    { ...indexed, backoffLimitPerIndex: 1 },
    {},
    "f0 s1 s2",
    "goes on",
  ],
  [
    "an index that tried often enough",
    { ...indexed, backoffLimitPerIndex: 1 },
    {},
    "f0#1 s1 s2",
    "Failed FailedIndexes",
  ],
  [
    "an index that is given up at once",
    { ...indexed, ...policy("FailIndex", 42), backoffLimitPerIndex: 5 },
    {},
    "f0!42 s1 s2",
    "Failed FailedIndexes",
  ],
  [
    "too many indexes have failed",
    { ...indexed, backoffLimitPerIndex: 0, maxFailedIndexes: 1 },
    {},
    "f0 f1 r2",
    "Failed MaxFailedIndexesExceeded",
  ],
  [
    "enough has succeeded by its policy",
    { ...indexed, successPolicy: { rules: [{ succeededIndexes: "0" }] } },
    {},
    "s0 r1 r2",
    "Complete SuccessPolicy",
  ],
  [
    "a failure comes before a success",
    { ...indexed, backoffLimit: 0, successPolicy: { rules: [{ succeededIndexes: "0" }] } },
    {},
    "s0 f1",
    "Failed BackoffLimitExceeded",
  ],
  [
    "what was decided stays decided: failed",
    indexed,
    { conditions: [condition("FailureTarget", "DeadlineExceeded")] },
    "s0 s1 s2",
    "Failed DeadlineExceeded",
  ],
  [
    "what was decided stays decided: succeeded",
    { backoffLimit: 0 },
    { conditions: [condition("SuccessCriteriaMet", "SuccessPolicy")] },
    "f f!2",
    "Complete SuccessPolicy",
  ],
];
for (const [title, spec, status, pods, expected] of endRows) {
  test(`job, its end: ${title}`, () => {
    const job: Job = { spec, status };
    const ending = endingOf(job, take(job, podsFrom(pods), new Set()), now);
    assert.equal(ending ? `${ending.type} ${ending.reason}` : "goes on", expected);
  });
}

const completeRows: readonly [string, JobSpec, string, number, boolean][] = [
  ["any success, none running", {}, "s", 0, true],
  ["any success, one running", {}, "s r", 1, false],
  ["nothing at all", {}, "", 0, false],
  ["as many as wanted", { completions: 2 }, "s s", 0, true],
  ["more than wanted", { completions: 1 }, "s s", 0, true],
  ["too few", { completions: 3 }, "s s", 0, false],
  ["none wanted", { completions: 0 }, "", 0, true],
  ["every index", indexed, "s0 s1 s2", 0, true],
  ["an index twice", indexed, "s0 s0 s2", 0, false],
];
for (const [title, spec, pods, active, expected] of completeRows) {
  test(`job, complete: ${title}`, () => {
    const job: Job = { spec };
    const found = completion(job, take(job, podsFrom(pods), new Set()), active);
    assert.equal(found?.reason, expected ? "CompletionsReached" : undefined);
  });
}

test("job: what is left until its deadline", () => {
  const left = (status: JobStatus) =>
    millisToDeadline({ spec: { activeDeadlineSeconds: 60 }, status }, now);
  assert.equal(left({ startTime: ago(20) }), 40_000);
  assert.equal(left({ startTime: ago(70) }), -10_000);
  assert.equal(left({}), undefined);
});

/** Uids that the status names first, uids that may then lose their finalizer, and its indexes. */
const trackRows: readonly [string, JobSpec, string, boolean, string][] = [
  ["ended ones are named", {}, "s f r", false, "s | f | s f | "],
  ["ignored ones are only let go", policy("Ignore", 42), "f!42", false, " |  | f!42 | "],
  ["of an indexed job its indexes", indexed, "s0 s2 f1", false, " | f1 | s0 s2 f1 | 0,2"],
  ["when it has failed, whatever runs", {}, "f r", true, " | f r | f r | "],
  [
    "an index to be tried again keeps its count",
    { ...indexed, backoffLimitPerIndex: 1 },
    "f0 r1",
    false,
    " |  |  | ",
  ],
  [
    "until another pod has it",
    { ...indexed, backoffLimitPerIndex: 1 },
    "f0 r0#1",
    false,
    " | f0 | f0 | ",
  ],
];
for (const [title, spec, pods, failed, expected] of trackRows) {
  test(`job, counting: ${title}`, () => {
    const job: Job = { spec };
    const census = take(job, podsFrom(pods), new Set());
    const ending = { type: "Failed", reason: "r", message: "" } as const;
    const { status, release } = track(job, census, failed ? ending : undefined);
    const { succeeded = [], failed: bad = [] } = status.uncountedTerminatedPods ?? {};
    const gone = release.map(({ metadata }) => metadata?.uid);
    const shown = [succeeded, bad, gone, [status.completedIndexes ?? ""]];
    assert.equal(shown.map((each) => each.join(" ")).join(" | "), expected);
  });
}

test("job: a pod has its index in its name, its labels and its environment", () => {
  const base = { spec: { containers: [{ name: "c" }], initContainers: [{ name: "i" }] } };
  const pod = withIndex({ metadata: { name: "sum" } }, base, 2, { counted: 1, ignored: 0 });
  assert.equal(pod.metadata?.generateName, "sum-2-");
  assert.equal(pod.spec?.hostname, "sum-2");
  assert.equal(pod.metadata?.labels?.[indexKey], "2");
  assert.deepEqual(pod.metadata?.annotations, { [indexKey]: "2", [failuresKey]: "1" });
  for (const { env } of [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])]) {
    assert.equal(env?.[0]?.valueFrom?.fieldRef?.fieldPath, `metadata.labels['${indexKey}']`);
  }
});
