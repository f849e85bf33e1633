/** Which commands are proposed again, and when: exactly once, or an honest error. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { limits } from "../../ha/member/limits.ts";
import { Proposals } from "../../ha/member/proposals.ts";
import { SeededRandom } from "../../ha/runtime/simulated/mod.ts";
import type { StatusError } from "../../ha/runtime/status-error.ts";
import { decodeProposal, type Outcome } from "../../ha/store/mod.ts";

const timeout = limits.requestTimeoutMillis;

function setUp(overrides: Partial<typeof limits> = {}) {
  const random = new SeededRandom("proposals").stream("member");
  const proposals = new Proposals(1, random, { ...limits, ...overrides });
  const heard: string[] = [];
  const submit = (name: string, requestId?: string, now = 0) =>
    proposals.submit(
      { kind: "compact", revision: 1 as never },
      { bytes: 10, requestId },
      now,
      (error: StatusError | undefined, outcome: Outcome | undefined) => {
        heard.push(`${name}: ${error?.message ?? outcome?.kind}`);
      },
    );
  /** Takes what waits and says that it is on its way to the log of `term`; how many there were. */
  const propose = (term: number, now = 0) => {
    const { data, taken } = proposals.take(0);
    proposals.proposed(taken, term, now);
    return data.flatMap((each) => decodeProposal(each).commands);
  };
  const answer = (sequence: number) =>
    proposals.answer({
      proposer: 1,
      incarnation: proposals.incarnation,
      sequence,
      outcome: { kind: "compact", revision: 1 as never },
    });
  return { proposals, heard, submit, propose, answer };
}

test("a command is proposed again only when an entry of a later term has been applied", () => {
  const { proposals, heard, submit, propose, answer } = setUp();
  submit("a");
  assert.equal(propose(3).length, 1);
  proposals.termApplied(3);
  assert.equal(propose(3).length, 0, "its own term may still bring it");
  proposals.termApplied(4);
  assert.equal(propose(4).length, 1, "no leader of a later term can bring it any more");
  answer(1);
  answer(1);
  assert.deepEqual(heard, ["a: compact"]);
});

test("with a request id it is proposed again after a while as well", () => {
  const { proposals, submit, propose } = setUp();
  submit("plain");
  submit("named", "id");
  assert.equal(propose(1).length, 2);
  proposals.sweep(timeout / 4 + 1, true);
  assert.deepEqual(
    propose(1, timeout / 4 + 1).map(({ requestId }) => requestId),
    ["id"],
  );
});

test("a command that a snapshot passed over fails, unless it may be done twice", () => {
  const { proposals, heard, submit, propose } = setUp();
  submit("plain");
  submit("named", "id");
  propose(1);
  submit("fresh");
  proposals.skipped();
  assert.deepEqual(heard, [
    "plain: etcdserver: request timed out, possibly due to previous leader failure",
  ]);
  assert.equal(propose(2).length, 2);
});

test("time-outs tell what is known: never proposed, or perhaps done", () => {
  const { proposals, heard, submit, propose } = setUp();
  submit("proposed");
  propose(1);
  submit("waiting");
  proposals.sweep(timeout, false);
  assert.deepEqual(heard, [
    "proposed: etcdserver: request timed out, possibly due to previous leader failure",
    "waiting: etcdserver: no leader",
  ]);
  assert.equal(proposals.waiting, false);
  assert.equal(proposals.count, 0);
});

test("refused commands keep their place before later ones", () => {
  const { proposals, submit, propose } = setUp();
  submit("first", "1");
  const { taken } = proposals.take(0);
  submit("second", "2");
  proposals.putBack(taken);
  assert.deepEqual(
    propose(1).map(({ requestId }) => requestId),
    ["1", "2"],
  );
});

test("what waits is bounded, and so is an entry", () => {
  const { submit, proposals } = setUp({ pendingCommandsMax: 5, commandsPerEntryMax: 2 } as never);
  for (let i = 0; i < 5; i++) assert.equal(submit("x"), undefined);
  assert.match(submit("x")?.message ?? "", /too many requests/);
  const { data } = proposals.take(0);
  assert.deepEqual(
    data.map((each) => decodeProposal(each).commands.length),
    [2, 2, 1],
  );
  const large = proposals.submit(
    { kind: "compact", revision: 1 as never },
    { bytes: limits.requestBytesMax + 1 },
    0,
    () => {},
  );
  assert.match(large?.message ?? "", /request is too large/);
});

test("answers to an earlier life of the member wake nobody", () => {
  const { proposals, heard, submit, propose } = setUp();
  submit("a");
  propose(1);
  const outcome = { kind: "compact", revision: 1 as never } as const;
  proposals.answer({ proposer: 1, incarnation: 1, sequence: 1, outcome });
  proposals.answer({ proposer: 2, incarnation: proposals.incarnation, sequence: 1, outcome });
  assert.deepEqual(heard, []);
});
