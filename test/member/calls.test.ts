/** Questions to the leader, and whose answers they take. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CallKind, Calls } from "../../ha/member/calls.ts";
import { limitsWith } from "../../ha/member/limits.ts";
import { SeededRandom } from "../../ha/runtime/simulated/mod.ts";
import type { MemberId } from "../../ha/runtime/types.ts";
import type { Answer } from "../../proto/gen/raft.ts";

const leader = 2 as MemberId;

function asking(life: string) {
  const calls = new Calls(limitsWith(undefined), new SeededRandom(life));
  const answers: string[] = [];
  const keepAlive = (lease: string) =>
    calls.submit({ kind: CallKind.keepAlive, lease }, 0, (error, answer) => {
      answers.push(`${lease}: ${error?.message ?? answer?.remainingSeconds}`);
    });
  return { calls, answers, keepAlive };
}

const answerTo = (id: number | undefined, remainingSeconds: number): Answer => ({
  ...(id !== undefined && { id }),
  leads: true,
  found: true,
  remainingSeconds,
});

test("an answer that was meant for a member's former life answers nothing in the next", () => {
  const former = asking("life 1");
  former.keepAlive("7");
  const [asked] = former.calls.unasked(leader);
  const next = asking("life 2");
  next.keepAlive("8");
  next.calls.answered(answerTo(asked?.id, 60));
  assert.deepEqual(next.answers, []);
  const [own] = next.calls.unasked(leader);
  next.calls.answered(answerTo(own?.id, 30));
  assert.deepEqual(next.answers, ["8: 30"]);
});

test("ids stay whole numbers, however many calls a life makes", () => {
  const { calls } = asking("any");
  const first = calls.newId();
  assert.equal(calls.newId(), first + 1);
  assert.ok(Number.isSafeInteger(first + 2 ** 50));
});

test("what a broken link may have lost is asked again, and marked as repeated", () => {
  const { calls, keepAlive, answers } = asking("any");
  keepAlive("7");
  assert.equal(calls.unasked(leader)[0]?.repeated, undefined);
  assert.deepEqual(calls.unasked(leader), []);
  calls.lost(leader);
  const [again] = calls.unasked(leader);
  assert.equal(again?.repeated, true);
  calls.answered({ id: again?.id ?? 0, leads: false });
  const [other] = calls.unasked(3 as MemberId);
  calls.answered(answerTo(other?.id, 5));
  assert.deepEqual(answers, ["7: 5"]);
});
