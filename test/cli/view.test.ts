import assert from "node:assert/strict";
import { test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import type { ContainerState, Pod } from "../../proto/gen/core.ts";
import { countPods, podText } from "../../services/cli/counts.ts";
import { picture } from "../../services/cli/view.ts";

function pod(state: ContainerState, ready = false): Pod {
  return {
    spec: { containers: [{ name: "a" }] },
    status: { phase: "Running", containerStatuses: [{ name: "a", ready, state }] },
  };
}

const crashing = pod({ waiting: { reason: "CrashLoopBackOff" } });
const failed = pod({ terminated: { reason: "Error", exitCode: 1 } });
const well = pod({ running: {} }, true);
const leaving: Pod = { ...well, metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" } };

test("pods are counted by what they are, not by their phase", () => {
  const counts = countPods([crashing, well, failed, well, leaving, {}]);
  assert.equal(podText(counts), "2 Running, 1 CrashLoopBackOff, 1 Error, 1 Pending, 1 Terminating");
  assert.equal(podText(countPods([])), "0");
});

test("the picture's columns stay apart after a restore and with long names", () => {
  const long = "master-of-the-northern-datacentre";
  const masters = new Map([
    ["m", { role: "follower", term: 2, revision: 17, appliedIndex: 5, ready: true }],
    [
      long,
      {
        role: "leader",
        term: 123_456_789,
        revision: 1_000_000_123_456,
        appliedIndex: 7,
        ready: true,
      },
    ],
    ["n", undefined],
  ]);
  const lines = picture({
    masters,
    leader: long,
    nodes: { ready: 1, total: 1 },
    pods: countPods([crashing]),
  }).map(stripVTControlCharacters);
  assert.deepEqual(lines, [
    `  ○ ${"m".padEnd(long.length)}   follower   term 2           revision 17              applied 5`,
    `  ● ${long}   leader     term 123456789   revision 1000000123456   applied 7`,
    `  ✗ ${"n".padEnd(long.length)}   does not answer`,
    "  nodes 1/1 ready   pods 1 CrashLoopBackOff",
  ]);
});
