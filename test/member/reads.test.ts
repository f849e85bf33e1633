/** Reads share a round, wait for their index, and are asked again when a round is lost. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { limits } from "../../ha/member/limits.ts";
import { Reads } from "../../ha/member/reads.ts";

function setUp(pendingReadsMax = 100) {
  const reads = new Reads({ ...limits, pendingReadsMax });
  const heard: string[] = [];
  const submit = (name: string, now = 0) =>
    reads.submit(now, (error) => heard.push(`${name}: ${error?.message ?? "served"}`));
  return { reads, heard, submit };
}

test("all reads of a turn share a round and are served when its index is applied", () => {
  const { reads, heard, submit } = setUp();
  submit("a");
  submit("b");
  const round = reads.begin(0);
  assert.equal(reads.waiting, false);
  submit("c");
  reads.confirmed(round, 10, 9);
  assert.deepEqual(heard, []);
  reads.applied(9);
  assert.deepEqual(heard, []);
  reads.applied(10);
  assert.deepEqual(heard, ["a: served", "b: served"]);
  reads.confirmed(reads.begin(0), 5, 10);
  assert.deepEqual(heard.at(-1), "c: served");
});

test("a round without an answer is asked again, a late answer to it is not taken", () => {
  const { reads, heard, submit } = setUp();
  submit("a");
  const lost = reads.begin(0);
  reads.sweep(limits.readRetryMillis, true);
  assert.equal(reads.waiting, true);
  reads.confirmed(lost, 1, 5);
  assert.deepEqual(heard, []);
  const again = reads.begin(limits.readRetryMillis);
  reads.failed(again);
  reads.confirmed(reads.begin(500), 1, 5);
  assert.deepEqual(heard, ["a: served"]);
});

test("reads time out wherever they wait, and are bounded", () => {
  const { reads, heard, submit } = setUp(2);
  submit("confirmed");
  reads.confirmed(reads.begin(0), 10, 1);
  submit("gathering");
  assert.match(submit("third")?.message ?? "", /too many requests/);
  reads.sweep(limits.requestTimeoutMillis, false);
  assert.deepEqual(heard, ["gathering: etcdserver: no leader", "confirmed: etcdserver: no leader"]);
  assert.equal(submit("again"), undefined, "there is room again");
});
