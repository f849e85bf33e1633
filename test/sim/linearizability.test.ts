import assert from "node:assert/strict";
import { test } from "node:test";
import {
  checkRegister,
  type HistoryOperation,
  type RegisterAction,
} from "../../services/drill/checker/linearizability.ts";

function op(
  client: string,
  called: number,
  returned: number,
  action: RegisterAction,
): HistoryOperation {
  return { client, called, returned, action };
}

const write = (value: string): RegisterAction => ({ kind: "write", value });
const read = (value: string | undefined): RegisterAction => ({ kind: "read", value });

test("a sequential history that reads what was written is linearizable", () => {
  const history = [op("a", 0, 1, write("x")), op("b", 2, 3, read("x"))];
  assert.equal(checkRegister(history, undefined), undefined);
});

test("a stale read after a completed write is not", () => {
  const history = [op("a", 0, 1, write("x")), op("b", 2, 3, read(undefined))];
  assert.ok(checkRegister(history, undefined));
});

test("concurrent reads may see either side of a write, but not go back", () => {
  const forwards = [
    op("a", 0, 10, write("x")),
    op("b", 1, 2, read(undefined)),
    op("b", 3, 4, read("x")),
  ];
  assert.equal(checkRegister(forwards, undefined), undefined);
  const backwards = [
    op("a", 0, 10, write("x")),
    op("b", 1, 2, read("x")),
    op("b", 3, 4, read(undefined)),
  ];
  assert.ok(checkRegister(backwards, undefined));
});

test("an unanswered write may take effect late, once, or never", () => {
  const never = [op("a", 0, Infinity, write("x")), op("b", 5, 6, read(undefined))];
  assert.equal(checkRegister(never, undefined), undefined);
  const late = [...never, op("b", 7, 8, read("x"))];
  assert.equal(checkRegister(late, undefined), undefined);
  const twice = [
    ...late,
    op("c", 9, 10, write("y")),
    op("b", 11, 12, read("y")),
    op("b", 13, 14, read("x")),
  ];
  assert.ok(checkRegister(twice, undefined));
});

test("of two swaps from the same value one must fail", () => {
  const swap = (value: string, done: boolean): RegisterAction => ({
    kind: "swap",
    expected: undefined,
    value,
    done,
  });
  assert.ok(
    checkRegister([op("a", 0, 9, swap("x", true)), op("b", 1, 8, swap("y", true))], undefined),
  );
  const one = [op("a", 0, 9, swap("x", true)), op("b", 1, 8, swap("y", false))];
  assert.equal(checkRegister(one, undefined), undefined);
});

test("a long and concurrent history is decided in no time", () => {
  const history: HistoryOperation[] = [];
  for (let i = 0; i < 1_000; i++) {
    const called = 10 * i;
    history.push(op("a", called, called + 25, write(`v${i}`)));
    history.push(op("b", called + 1, called + 2, read(i === 0 ? undefined : `v${i - 1}`)));
    if (i % 20 === 0) history.push(op("c", called, Infinity, write(`never ${i}`)));
  }
  assert.equal(checkRegister(history, undefined), undefined);
  const stale = op("d", 10_000, 10_001, read("v1"));
  assert.ok(checkRegister([...history.slice(0, 1_000), stale], undefined));
});
