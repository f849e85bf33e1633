/** Drills on real members: one that passes, one that strikes the wrong victim, one that is broken off. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import type { TimelineRecord } from "../../services/drill/evidence.ts";
import { buildVariables, holdBroken } from "./broken.ts";
import { hesitantBuild } from "./broken-builds.ts";
import { Drills } from "./held.ts";

/** Times are a matter of the machine that the tests run on. */
const anyTime = [
  "writeOutageMillis=60000",
  "readOutageMillis=60000",
  "watchOutageMillis=60000",
  "recoveryMillis=60000",
  "elections=9",
].join(",");
const store = ["--against", "etcd", "--short", "--rate", "60", "--limit", anyTime];

describe("drills on a store of three members", { concurrency: 2 }, () => {
  const passing = new Drills();
  const others = new Drills();
  after(() => {
    passing.remove();
    others.remove();
  });

  test("leader-kill passes, and is judged again alike", async () => {
    const { code, report, stderr } = await passing.hold(["leader-kill", ...store, "--seed", "5"]);
    assert.equal(code, 0, `${report.verdict.reasons.join("\n")}\n${stderr}`);
    assert.equal(report.verdict.result, "passed");
    const again = await passing.hold(["judge", passing.folders[0] ?? ""]);
    assert.deepEqual(again.report, report);
    const page = readFileSync(join(passing.folders[0] ?? "", "report.html"), "utf8");
    assert.ok(page.includes(report.verdict.sentence));
    assert.equal(again.code, 0);
  });

  test("a drill whose victim does not lead is void", async () => {
    const { code, report } = await others.hold(["leader-kill", ...store, "--victim", "follower"]);
    assert.equal(code, 2);
    assert.equal(report.verdict.result, "void");
    assert.match(report.verdict.reasons[0] ?? "", /^the victim, m\d, is not who led when it was/);
  });

  test("what a member refuses before the load is asked again", async () => {
    const args = ["follower-kill", ...store];
    const { code, report } = await others.hold(args, buildVariables(hesitantBuild));
    assert.equal(code, 0, report.verdict.reasons.join("\n"));
  });

  test("a drill that has no load to speak of is held once more, and is void", async () => {
    const few = ["leader-kill", ...store, "--rate", "1", "--clients", "1"];
    const { code, report, stderr } = await others.hold(few);
    assert.equal(code, 2);
    const { reasons } = report.verdict;
    assert.match(reasons.join("\n"), /^the load was not steady before the fault: /m);
    assert.equal(stderr.match(/the evidence is in /g)?.length, 2);
  });

  test("Ctrl-C undoes the fault, and what was seen is written", async () => {
    const drills = new Drills();
    try {
      let sent = false;
      const { code, report } = await drills.hold(["leader-pause", ...store], {}, (line, pid) => {
        if (sent || !line.includes("SIGSTOP of m")) return;
        sent = true;
        process.kill(pid, "SIGINT");
      });
      assert.ok(sent);
      assert.equal(code, 2);
      assert.ok(report.verdict.reasons.includes("the drill was interrupted"));
      const file = join(drills.folders[0] ?? "", "timeline.jsonl");
      const lines = readFileSync(file, "utf8").trim().split("\n");
      const timeline = lines.map((line) => JSON.parse(line) as TimelineRecord);
      const fault = timeline.find(({ kind }) => kind === "fault");
      assert.ok(fault?.kind === "fault");
      assert.ok(timeline.some((each) => each.kind === "undone" && each.id === fault.id));
      assert.ok(report.targets[0] && report.targets[0].calls > 0);
    } finally {
      drills.remove();
    }
  });

  test("a build that serves reads without a quorum fails, as not linearizable", async () => {
    assert.equal(await holdBroken(others, "serve reads without a quorum"), undefined);
  });
});
