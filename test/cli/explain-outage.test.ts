/** One timeline of many sources, and the sentence that it comes to. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Journal } from "../../services/cli/journal.ts";
import { explain } from "../../services/cli/observe/explanation.ts";
import type { Observation } from "../../services/cli/observe/observations.ts";
import { ofJournal, ofLog, readLogs } from "../../services/cli/observe/read-logs.ts";
import { ofEvent, ofLease, ofNode, ofPod } from "../../services/cli/observe/read-objects.ts";
import { trireme } from "./run-program.ts";

const start = Date.parse("2026-01-31T10:00:00.000Z");
const window = { from: start, to: start + 60_000 };

const leads = (millis: number, member: string, leader: string | undefined, term: number) =>
  ({ at: start + millis, source: member, kind: "leader", member, leader, term }) as const;
const exit = (millis: number, process: string, how = "was ended by SIGKILL") =>
  ({ at: start + millis, source: "supervisor", kind: "exit", process, how }) as const;
const told = (millis: number, kind: "node" | "event" | "lease", text: string) =>
  ({ at: start + millis, source: kind, kind, text }) as const;
const calls = (millis: number, waits: number, retries: number, refusals: number) => ({
  ...({ at: start + millis, source: "balancer-0", kind: "calls" } as const),
  ...{ waits, retries, refusals, suspicions: 0 },
});

const names = ["master-0", "master-1", "master-2"];
const agreed = (millis: number, leader: string, term: number) =>
  names.map((name) => leads(millis, name, leader, term));

interface Row {
  readonly name: string;
  readonly seen: readonly Observation[];
  readonly outages: readonly object[];
  /** Texts that the timeline has, in this order. */
  readonly timeline: readonly (string | RegExp)[];
  readonly summary: RegExp;
}

const rows: readonly Row[] = [
  {
    name: "nothing",
    seen: agreed(-5_000, "master-0", 1),
    outages: [],
    timeline: [],
    summary: /^Nothing happened: .* master-0 led\. No call had to wait or was refused\.$/,
  },
  {
    name: "a killed leader: followers still name it, but it has ended",
    seen: [
      ...agreed(-5_000, "master-0", 1),
      exit(1_000, "master-0"),
      leads(1_010, "master-1", undefined, 1),
      leads(1_300, "master-1", "master-1", 2),
      leads(1_320, "master-2", "master-1", 2),
      calls(1_500, 8, 5, 0),
      leads(4_000, "master-0", "master-1", 2),
    ],
    outages: [{ since: 1_000, until: 1_320, before: "master-0", leader: "master-1", term: 2 }],
    timeline: [
      "master-0 was ended by SIGKILL",
      "master-1 knows no leader in term 1",
      "master-2 follows master-1 in term 2",
      "master-1 leads in term 2: master-0, which led before, was ended by SIGKILL",
      /^for about 320 ms there was no leader, so writes waited/,
      "calls at balancer-0: waited for a master: 8, sent again: 5, refused: 0",
      "master-0 follows master-1 in term 2",
    ],
    summary:
      /^At 10:00:01\.000 master-0, which led, was ended by SIGKILL; writes and consistent reads were not served for 320 ms, until master-1 recovered it, which was elected in term 2\. Calls, in all: waited for a master: 8, sent again: 5, refused: 0\.$/,
  },
  {
    name: "a leader that is cut off still thinks that it leads",
    seen: [
      ...agreed(-5_000, "master-0", 1),
      leads(1_000, "master-1", undefined, 1),
      leads(1_002, "master-2", undefined, 1),
      leads(1_900, "master-2", "master-2", 2),
      leads(1_950, "master-1", "master-2", 2),
    ],
    outages: [{ since: 1_002, until: 1_950, before: "master-0", leader: "master-2", term: 2 }],
    timeline: [
      "master-1 knows no leader in term 1",
      "master-2 knows no leader in term 1",
      "master-1 follows master-2 in term 2",
      "master-2 leads in term 2, after master-0",
      /^for about 948 ms/,
    ],
    summary: /master-0, which led, was no longer heard; .* for 948 ms, until master-2/,
  },
  {
    name: "an outage that lasts",
    seen: [
      ...agreed(-5_000, "master-0", 1),
      exit(2_000, "master-1"),
      exit(2_000, "master-0"),
      leads(2_100, "master-2", undefined, 1),
    ],
    outages: [{ since: 2_000, until: undefined, before: "master-0", leader: undefined }],
    timeline: [
      "master-1 was ended by SIGKILL",
      "master-0 was ended by SIGKILL",
      "master-2 knows no leader in term 1",
    ],
    summary: /since then writes and consistent reads were not served, and nothing has recovered/,
  },
  {
    name: "the start and the stop of a cluster are no outages",
    seen: [
      { at: start + 100, source: "supervisor", kind: "up" },
      ...agreed(900, "master-0", 1),
      { at: start + 9_000, source: "supervisor", kind: "down" },
      exit(9_100, "master-0", "exited with 0"),
      exit(9_200, "master-1", "exited with 0"),
    ],
    outages: [],
    timeline: [
      "the cluster is started",
      "master-0 leads in term 1, the first since the start",
      "master-1 follows master-0 in term 1",
      "master-2 follows master-0 in term 1",
      "the cluster is stopped",
    ],
    summary: /^There was no time without a leader\./,
  },
  {
    name: "a lost node, told twice in one second, and what lies outside the window",
    seen: [
      ...agreed(-5_000, "master-0", 1),
      told(-1, "event", "too early"),
      told(3_000, "node", "node node-1 is Ready=Unknown"),
      told(3_400, "node", "node node-1 is Ready=Unknown"),
      told(3_500, "event", "Pod default/web: TaintManagerEviction: deleted"),
      told(60_001, "event", "too late"),
    ],
    outages: [],
    timeline: ["node node-1 is Ready=Unknown", "Pod default/web: TaintManagerEviction: deleted"],
    summary: /^There was no time without a leader\. master-0 led\. .* What changed is above\.$/,
  },
  {
    name: "two outages are added up, and refusals are told",
    seen: [
      ...agreed(-5_000, "master-0", 1),
      exit(1_000, "master-0"),
      leads(1_200, "master-1", "master-1", 2),
      leads(1_200, "master-2", "master-1", 2),
      leads(3_000, "master-0", "master-1", 2),
      exit(5_000, "master-1", "exited with 1"),
      leads(5_300, "master-2", "master-2", 3),
      leads(5_300, "master-0", "master-2", 3),
      calls(5_400, 0, 0, 1),
    ],
    outages: [
      { since: 1_000, until: 1_200, before: "master-0", leader: "master-1" },
      { since: 5_000, until: 5_300, before: "master-1", leader: "master-2" },
    ],
    timeline: [],
    summary:
      /master-1, which led, exited with 1; .*Together that is 500 ms in 2 outages\. Calls, in all: refused: 1\.$/,
  },
];

describe("the explanation of an outage", () => {
  for (const row of rows) {
    test(row.name, () => {
      const { timeline, outages, summary } = explain(row.seen, window);
      const found = outages.map(({ since, until, ...rest }) => ({
        ...{ since: since - start, until: until === undefined ? undefined : until - start },
        ...rest,
      }));
      assert.equal(found.length, row.outages.length);
      for (const [i, outage] of row.outages.entries())
        assert.partialDeepStrictEqual(found[i], outage);
      const texts = timeline.map(({ text }) => text);
      if (row.timeline.length > 0 || row.name === "nothing") {
        assert.equal(texts.length, row.timeline.length, texts.join("\n"));
      }
      for (const [i, expected] of row.timeline.entries()) {
        if (typeof expected === "string") assert.equal(texts[i], expected);
        else assert.match(texts[i] ?? "", expected);
      }
      assert.match(summary, row.summary);
    });
  }

  test("logs, the journal and objects are read as they are written", () => {
    const time = "2026-01-31T10:00:00.000Z";
    const log = (line: object) => ofLog("master-1", { time, level: "info", ...line });
    const leader = { text: "leader changed", member: "master-1", leader: 7, name: "m2", term: 4 };
    assert.deepEqual(log(leader), leads(0, "master-1", "m2", 4));
    assert.deepEqual(log({ ...leader, name: undefined }), undefined, "an id names no one");
    assert.equal(log({ text: "a membership was applied" }), undefined);
    assert.equal(log({ text: "x", time: "soon" }), undefined);
    const warned = log({ text: "it broke", level: "warn", error: "Error: why\n  at" });
    assert.equal(warned && "text" in warned && warned.text, "master-1: it broke: Error: why");
    const slow = {
      text: "a request was slow",
      verb: "list",
      resource: "pods",
      millis: 1_234,
      code: 200,
    };
    const line = log(slow);
    assert.equal(line && "text" in line && line.text, "master-1: list pods took 1234 ms (200)");
    assert.equal(ofJournal({ kind: "exit" }), undefined);
    assert.deepEqual(
      ofJournal({ at: start, kind: "exit", name: "master-0", how: "was ended by SIGKILL" }),
      exit(0, "master-0"),
    );
    const textsOf = (found: readonly Observation[]) =>
      found.map((each) => ("text" in each ? each.text : ""));
    const involvedObject = { kind: "Pod", namespace: "default", name: "a" };
    const event = {
      involvedObject,
      reason: "Killing",
      message: "stop",
      count: 3,
      lastTimestamp: time,
    };
    assert.deepEqual(textsOf(ofEvent(event)), ["Pod default/a: Killing: stop (3 times)"]);
    assert.deepEqual(ofEvent({ involvedObject }), []);
    const spec = { holderIdentity: "b", acquireTime: time, leaseTransitions: 2 };
    const lease = { metadata: { namespace: "kube-system", name: "kube-scheduler" }, spec };
    assert.match(textsOf(ofLease(lease))[0] ?? "", /kube-scheduler was taken by b, change 2 of/);
    assert.deepEqual(ofLease({ ...lease, metadata: { namespace: "kube-node-lease" } }), []);
    const ready = { type: "Ready", status: "Unknown", reason: "NodeStatusUnknown" };
    const node = {
      metadata: { name: "n" },
      status: { conditions: [{ ...ready, lastTransitionTime: time }] },
    };
    assert.deepEqual(textsOf(ofNode(node)), ["node n is Ready=Unknown (NodeStatusUnknown)"]);
    const terminated = { finishedAt: time, exitCode: 1, reason: "Error" };
    const web = { name: "web", restartCount: 2, lastState: { terminated } };
    const pod = {
      metadata: { namespace: "default", name: "p" },
      spec: { nodeName: "n" },
      status: { containerStatuses: [web] },
    };
    assert.deepEqual(textsOf(ofPod(pod)), [
      "pod default/p on n: web ended (Error, code 1) and was restarted, 2 in all",
    ]);
  });
});

describe("trireme explain-outage", () => {
  test("reads the logs of a cluster that is down, and says what it has not read", async () => {
    const directory = await mkdtemp(join(tmpdir(), "trireme-explain-"));
    try {
      const none = await trireme("explain-outage", "--data-dir", directory);
      assert.equal(none.code, 1);
      assert.match(none.stderr, /no cluster has run in .*: there are no logs of one/);
      const logs = join(directory, "log");
      await mkdir(logs);
      const journal = new Journal(join(logs, "journal.jsonl"), assert.fail);
      journal.add({ kind: "up" });
      const none0 = { waits: 0, retries: 0, refusals: 0, suspicions: 0 };
      journal.calls("balancer-0", none0);
      journal.calls("balancer-0", none0);
      journal.calls("balancer-0", { ...none0, waits: 3 });
      journal.calls("balancer-0", { ...none0, waits: 1 });
      const entries = readLogs(directory)?.observations ?? [];
      assert.deepEqual(
        entries.map((each) => (each.kind === "calls" ? each.waits : each.kind)),
        ["up", 3, 1],
        "a balancer that was started anew counts from zero",
      );
      const time = new Date().toISOString();
      const line = {
        time,
        level: "info",
        member: "master-0",
        leader: 1,
        name: "master-0",
        term: 1,
      };
      const text = `noise\n${JSON.stringify({ ...line, text: "leader changed" })}\n{"time":`;
      await writeFile(join(logs, "master-0.log"), text);
      const { code, stdout, stderr } = await trireme("explain-outage", "--data-dir", directory);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /not read: events, leases, nodes and pods: no cluster is up in /);
      assert.match(stdout, /master-0 leads in term 1, the first since the start/);
      assert.match(
        stdout,
        /There was no time without a leader\. master-0 led\. Calls, in all: waited for a master: 4, /,
      );
      const json = await trireme(
        "explain-outage",
        "--data-dir",
        directory,
        "--json",
        "--since",
        "1h",
      );
      const { version, outages, calls: counted } = JSON.parse(json.stdout);
      assert.deepEqual([version, outages, counted.waits], [1, [], 4]);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  test("times that make no sense are named", async () => {
    const soon = await trireme("explain-outage", "--since", "soon");
    assert.equal(soon.code, 2);
    assert.match(soon.stderr, /--since .*"soon" is not a duration/);
    const turned = await trireme("explain-outage", "--since", "1m", "--until", "5m");
    assert.equal(turned.code, 1);
    assert.match(turned.stderr, /--since must be before --until/);
  });
});
