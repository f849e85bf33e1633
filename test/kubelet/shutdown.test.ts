import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Pod } from "../../proto/gen/core.ts";
import { endInOrder, groupsOf, parseGroups } from "../../services/kubelet/node/shutdown.ts";
import { settle, silent } from "./support.ts";
import { harness, main, podOf } from "./worker-harness.ts";

const podOfPriority = (priority: number | undefined, seconds = 30): Pod => ({
  spec: { containers: [], priority, terminationGracePeriodSeconds: seconds },
});

async function order(pods: readonly Pod[], groups: Parameters<typeof endInOrder>[1]) {
  const ended: string[] = [];
  const members = pods.map((pod) => ({
    pod,
    async shutdown(graceMillis: number) {
      ended.push(`begin ${pod.spec?.priority ?? 0} ${graceMillis}`);
      await settle();
      ended.push(`end ${pod.spec?.priority ?? 0}`);
    },
  }));
  await endInOrder(members, groups, silent);
  return ended;
}

describe("the shutdown of a node", () => {
  test("critical pods end after all others, each group within its time", async () => {
    const pods = [podOfPriority(2_000_001_000), podOfPriority(undefined), podOfPriority(-5, 1)];
    assert.deepEqual(await order(pods, groupsOf(30_000, 10_000)), [
      "begin 0 20000",
      "begin -5 1000",
      "end 0",
      "end -5",
      "begin 2000001000 10000",
      "end 2000001000",
    ]);
    assert.equal(groupsOf(3_000, 0).length, 1, "without a time of their own they end with all");
    assert.throws(() => groupsOf(1_000, 2_000), /--shutdown-grace-period-critical-pods/);
  });

  test("groups by priority; a pod below them all is of the first", async () => {
    const groups = parseGroups("1000=20s,10=5s", "--by");
    const pods = [podOfPriority(1_000), podOfPriority(999), podOfPriority(-1)];
    const begun = (await order(pods, groups)).filter((text) => text.startsWith("begin"));
    assert.deepEqual(begun, ["begin 999 5000", "begin -1 5000", "begin 1000 20000"]);
    assert.throws(() => parseGroups("high=1s", "--by"), /--by: "high=1s" is not PRIORITY=DURATION/);
  });

  test("a pod's containers end with their hooks, and are not started again", async () => {
    const lifecycle = { preStop: { exec: { command: ["bye"] } } };
    const h = harness(podOf({ containers: [{ ...main, lifecycle }] }));
    await h.begin();
    const reports = h.reports.length;
    let over = false;
    void h.worker.shutdown(5_000).then(() => {
      over = true;
    });
    await settle();
    assert.deepEqual(
      h.runtime.calls.filter((call) => /^(exec|stop )/.test(call)),
      ["exec main bye", "stop main 5000"],
    );
    assert.equal(over, true);
    await h.clock.advance(60_000);
    assert.equal(h.starts().length, 1);
    assert.equal(h.reports.length, reports, "the pod goes on with the node");
  });
});
