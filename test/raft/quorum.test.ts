import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  jointReached,
  jointVote,
  majorityReached,
  majoritySize,
  majorityVote,
} from "../../ha/raft/quorum.ts";

const voters = fc.uniqueArray(fc.integer({ min: 1, max: 12 }), { maxLength: 7 });
const ballot = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 12 }), fc.boolean()))
  .map((votes) => new Map(votes));
const reached = fc.array(fc.nat(20), { minLength: 1, maxLength: 9 });

test("two majorities of the same voters share one", () => {
  for (let size = 1; size < 50; size++) {
    assert.ok(2 * majoritySize(size) > size);
    assert.ok(2 * (majoritySize(size) - 1) <= size);
  }
});

test("the value reached is the largest that a majority has", () => {
  fc.assert(
    fc.property(reached, (values) => {
      const result = majorityReached([...values], values.length);
      const having = (value: number) => values.filter((other) => other >= value).length;
      assert.ok(having(result) >= majoritySize(values.length));
      for (const value of values) {
        if (value > result) assert.ok(having(value) < majoritySize(values.length));
      }
    }),
  );
});

test("only the first numbers count, and nobody objects on behalf of an empty set", () => {
  assert.equal(majorityReached([3, 1, 2, 99, 99, 99], 3), 2);
  assert.equal(majorityReached([], 0), Number.POSITIVE_INFINITY);
  assert.equal(jointReached([4, 5, 6], []), 5);
});

test("a joint value has been reached by both majorities", () => {
  fc.assert(
    fc.property(reached, reached, (left, right) => {
      const joint = jointReached([...left], [...right]);
      assert.ok(joint <= majorityReached([...left], left.length));
      assert.ok(joint <= majorityReached([...right], right.length));
      assert.ok([...left, ...right].includes(joint));
    }),
  );
});

test("a ballot is decided exactly when the missing votes cannot change it", () => {
  fc.assert(
    fc.property(voters, voters, ballot, (incoming, outgoing, votes) => {
      const outcomeWith = (missing: boolean) => {
        const all = new Map(votes);
        for (const voter of [...incoming, ...outgoing]) {
          if (!all.has(voter)) all.set(voter, missing);
        }
        return jointVote(incoming, outgoing, all);
      };
      const outcome = jointVote(incoming, outgoing, votes);
      if (outcomeWith(false) === "won") assert.equal(outcome, "won");
      else if (outcomeWith(true) === "lost") assert.equal(outcome, "lost");
      else assert.equal(outcome, "pending");
    }),
  );
});

test("a joint ballot is won with both majorities only", () => {
  fc.assert(
    fc.property(voters, voters, ballot, (incoming, outgoing, votes) => {
      const both = [majorityVote(incoming, votes), majorityVote(outgoing, votes)];
      const outcome = jointVote(incoming, outgoing, votes);
      assert.equal(
        outcome === "won",
        both.every((half) => half === "won"),
      );
      assert.equal(outcome === "lost", both.includes("lost"));
    }),
  );
});

test("any two quorums around a membership change overlap", () => {
  const change = fc
    .tuple(voters, voters)
    .filter(([old, next]) => old.length > 0 && next.length > 0);
  fc.assert(
    fc.property(change, ballot, ballot, ([old, next], one, other) => {
      // Two candidates of one term, and every member votes for at most one of them.
      for (const [voter, granted] of one) if (granted) other.set(voter, false);
      const joint = jointVote(next, old, one) === "won";
      assert.ok(!(joint && majorityVote(old, other) === "won"));
      assert.ok(!(joint && majorityVote(next, other) === "won"));
    }),
  );
});
