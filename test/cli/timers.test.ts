/** The timer budget holds by default, and what breaks it is told. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { MetricsRegistry } from "../../ha/runtime/metrics.ts";
import {
  announceTimers,
  brokenRelations,
  defaultTimers,
  durationText,
  relations,
  type TimerName,
} from "../../ha/runtime/timers.ts";
import { relationRows, timerRows, valueText } from "../../services/cli/observe/budget.ts";
import type { Scrape } from "../../services/cli/observe/scrape.ts";
import { parseDuration } from "../../services/client/duration.ts";
import { type LogLine, memoryLog } from "../rpc/helpers.ts";
import { trireme } from "./run-program.ts";

describe("the timer budget", () => {
  test("holds by default, and every relation can be broken by each time that stands in it", () => {
    assert.deepEqual(brokenRelations(defaultTimers), []);
    for (const relation of relations) {
      for (const name of relation.names) {
        const breaks = [0, 1, 1e9].some(
          (millis) => !relation.holds({ ...defaultTimers, [name]: millis }),
        );
        assert.ok(breaks, `${relation.text}: ${name} has no part in it`);
      }
    }
  });

  test("a duration is written as flags take it", () => {
    const rows = { 0: "0s", 50: "50ms", 1000: "1s", 1500: "1.5s", 60000: "1m", 90000: "1m30s" };
    for (const [millis, text] of Object.entries({ ...rows, 3600000: "1h", 1234: "1234ms" })) {
      assert.equal(durationText(Number(millis)), text);
      assert.equal(parseDuration(text, "it"), Number(millis));
    }
  });

  test("a component that starts warns of what it breaks, and of that alone", () => {
    const warned = (program: string, own: Partial<Record<TimerName, number>>) => {
      const lines: LogLine[] = [];
      const metrics = new MetricsRegistry();
      announceTimers(program, own, { log: memoryLog(lines), metrics });
      return { lines, text: metrics.text() };
    };
    assert.deepEqual(warned("controller-manager", {}).lines, []);
    const { lines, text } = warned("controller-manager", { nodeGrace: 14_000 });
    assert.deepEqual(
      lines.map(({ fields }) => fields?.["relation"]),
      [
        "3 × nodeHeartbeat ≤ nodeGrace (nodeHeartbeat 5s, nodeGrace 14s)",
        "nodeLiveness + keepalive + keepaliveTimeout < nodeGrace (nodeLiveness 10s, keepalive 5s, " +
          "keepaliveTimeout 3s, nodeGrace 14s)",
        "2 × nodeLiveness ≤ nodeGrace (nodeLiveness 10s, nodeGrace 14s)",
      ],
    );
    assert.match(text, /^trireme_timer_seconds\{timer="nodeGrace"\} 14$/m);
    assert.match(text, /^trireme_timer_seconds\{timer="leaderLease"\} 4\.8$/m);
    assert.doesNotMatch(text, /suspect/, "those are the balancer's");
  });

  test("processes that differ are shown, and checked in every combination", () => {
    const scrape = (process: string, lines: readonly string[]): Scrape => ({
      ...{ process, program: "p", url: "", error: undefined },
      text: `${lines.map((line) => `trireme_timer_seconds{timer=${line}`).join("\n")}\n`,
    });
    const rows = timerRows({ leaderRetry: 1_000 }, [
      scrape("node-0", ['"nodeHeartbeat"} 5']),
      scrape("node-1", ['"nodeHeartbeat"} 5']),
      scrape("node-2", ['"nodeHeartbeat"} 7.5']),
      scrape("cm-0", ['"nodeGrace"} 20', '"leaderRetry"} 2']),
      { process: "cm-1", program: "p", url: "", text: undefined, error: "refused" },
    ]);
    const row = (name: string) => rows.find((each) => each.name === name)!;
    assert.equal(valueText(row("nodeHeartbeat")), "5s (node-2: 7.5s)");
    assert.deepEqual(row("leaderRetry").values, [{ millis: 1_000, from: ["flag"] }]);
    assert.deepEqual(row("tick").values, [{ millis: 50, from: ["default"] }]);
    const broken = relationRows(rows).filter((each) => each.broken !== undefined);
    assert.deepEqual(
      broken.map(({ relation, broken: times }) => [relation.text, times]),
      [["3 × nodeHeartbeat ≤ nodeGrace", { nodeHeartbeat: 7_500, nodeGrace: 20_000 }]],
    );
  });
});

describe("trireme timers", () => {
  const run = async (...args: string[]) => {
    const directory = await mkdtemp(join(tmpdir(), "trireme-timers-"));
    try {
      return await trireme("timers", "--data-dir", directory, ...args);
    } finally {
      await rm(directory, { recursive: true });
    }
  };

  test("without a cluster it checks the defaults with the flags given", async () => {
    const plain = await run();
    assert.equal(plain.code, 0, plain.stderr);
    assert.match(plain.stdout, /no cluster is up in /);
    assert.match(plain.stdout, /^nodeGrace +20s +--node-monitor-grace-period +controller-manager/m);
    const broken = await run("--leader-elect-renew-deadline", "6s", "--json");
    assert.equal(broken.code, 1);
    assert.match(broken.stderr, /leaderRenew < leaderLease does not hold \(leaderRenew 6s, /);
    assert.match(broken.stderr, /two replicas lead at once/);
    const { version, timers, relations: checked } = JSON.parse(broken.stdout);
    assert.equal(version, 1);
    const renew = timers.find(({ name }: { name: string }) => name === "leaderRenew");
    assert.deepEqual([renew.default, renew.values], [4.6, [{ seconds: 6, from: ["flag"] }]]);
    assert.deepEqual(
      checked
        .filter(({ holds }: { holds: boolean }) => !holds)
        .map((each: { relation: string }) => each.relation),
      ["leaderRenew < leaderLease"],
    );
  });

  test("a flag that is no duration is named", async () => {
    const { code, stderr } = await run("--node-monitor-period", "soon");
    assert.equal(code, 2);
    assert.match(stderr, /--node-monitor-period .*"soon" is not a duration/);
  });
});
