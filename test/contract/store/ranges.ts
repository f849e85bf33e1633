/** What ranges answer, and what compares decide. */
import assert from "node:assert/strict";
import { Code } from "../../../ha/runtime/status-error.ts";
import type { Compare, Revision } from "../../../ha/store/types.ts";
import { all, bytes, does, put, refused, remove, show, type WithStore, when } from "./helpers.ts";

export function rangeCases(withStore: WithStore): void {
  withStore("ranges: one key, from-to, from on, limit, count, keys only", async (store) => {
    await store.txn(does(put("a", "1"), put("b", "2"), put("c", "3"), put("d", "4")));
    const range = (key: string, rangeEnd?: Uint8Array) =>
      store.range({ key: bytes(key), rangeEnd });
    assert.equal(show((await range("b")).kvs), "b=2");
    assert.equal(show((await range("x")).kvs), "");
    assert.equal(show((await range("a", bytes("c"))).kvs), "a=1 b=2");
    assert.equal(show((await range("b", all)).kvs), "b=2 c=3 d=4");
    assert.equal(show((await range("c", bytes("a"))).kvs), "");
    const limited = await store.range({ key: bytes("a"), rangeEnd: all, limit: 2 });
    assert.equal(show(limited.kvs), "a=1 b=2");
    assert.deepEqual([limited.more, limited.count], [true, 4]);
    const exact = await store.range({ key: bytes("a"), rangeEnd: all, limit: 4 });
    assert.equal(exact.more, false);
    const counted = await store.range({ key: bytes("b"), rangeEnd: all, countOnly: true });
    assert.deepEqual([counted.count, counted.kvs.length], [3, 0]);
    const keys = await store.range({ key: bytes("b"), rangeEnd: bytes("d"), keysOnly: true });
    assert.equal(show(keys.kvs), "b= c=");
    await refused(range(""), Code.invalidArgument, /^etcdserver: key is not provided$/);
  });

  withStore("ranges: sorted and selected by revision", async (store) => {
    const first = (await store.txn(does(put("b", "z")))).revision;
    const second = (await store.txn(does(put("a", "y")))).revision;
    await store.txn(does(put("b", "x")));
    const shown = async (more: object) =>
      show((await store.range({ key: bytes("a"), rangeEnd: all, ...more })).kvs);
    assert.equal(await shown({ sort: { by: "key", order: "descending" } }), "b=x a=y");
    assert.equal(await shown({ sort: { by: "value", order: "ascending" } }), "b=x a=y");
    assert.equal(await shown({ sort: { by: "create", order: "descending" }, limit: 1 }), "a=y");
    assert.equal(await shown({ sort: { by: "mod", order: "descending" } }), "b=x a=y");
    assert.equal(await shown({ sort: { by: "version", order: "ascending" } }), "a=y b=x");
    assert.equal(await shown({ maxModRevision: second }), "a=y");
    assert.equal(await shown({ minModRevision: second + 1 }), "b=x");
    assert.equal(await shown({ maxCreateRevision: first }), "b=x");
    assert.equal(await shown({ minCreateRevision: second }), "a=y");
  });

  withStore("ranges read any revision, but none to come", async (store) => {
    const first = (await store.txn(does(put("a", "1"), put("b", "1")))).revision;
    const second = (await store.txn(does(remove("a"), put("b", "2")))).revision;
    const third = (await store.txn(does(put("a", "3")))).revision;
    const at = async (revision: Revision) =>
      show((await store.range({ key: bytes("a"), rangeEnd: all, revision })).kvs);
    assert.equal(await at(first), "a=1 b=1");
    assert.equal(await at(second), "b=2");
    assert.equal(await at(third), "a=3 b=2");
    await refused(
      at((third + 1) as Revision),
      Code.outOfRange,
      /^etcdserver: mvcc: required revision is a future revision$/,
    );
  });

  withStore("a read revision is at or above every acknowledged write", async (store) => {
    const { revision } = await store.txn(does(put("a", "1")));
    assert.ok((await store.readRevision()) >= revision);
    const status = await store.status();
    assert.ok(status.revision >= revision);
  });
}

export function compareCases(withStore: WithStore): void {
  withStore("compares: every target and operator", async (store) => {
    const { revision } = await store.txn(does(put("a", "m")));
    const holds = async (compare: Compare) => (await store.txn(when(compare, []))).succeeded;
    const key = bytes("a");
    assert.equal(await holds({ key, target: "mod", operator: "=", operand: revision }), true);
    assert.equal(await holds({ key, target: "mod", operator: "!=", operand: revision }), false);
    assert.equal(await holds({ key, target: "create", operator: "<", operand: revision }), false);
    assert.equal(await holds({ key, target: "version", operator: ">", operand: 0 }), true);
    assert.equal(await holds({ key, target: "lease", operator: "=", operand: 0n }), true);
    const value = (operator: Compare["operator"], operand: string) =>
      holds({ key, target: "value", operator, operand: bytes(operand) });
    assert.equal(await value("=", "m"), true);
    assert.equal(await value("<", "n"), true);
    assert.equal(await value(">", "n"), false);
    const absent = bytes("x");
    assert.equal(await holds({ key: absent, target: "mod", operator: "=", operand: 0 }), true);
    const nothing = bytes("");
    const never: Compare = { key: absent, target: "value", operator: "=", operand: nothing };
    assert.equal(await holds(never), false);
  });

  withStore("compares: a range holds when every key of it does", async (store) => {
    await store.txn(does(put("a", "1"), put("b", "1")));
    const range = { key: bytes("a"), rangeEnd: bytes("c") };
    const once: Compare = { ...range, target: "version", operator: "=", operand: 1 };
    assert.equal((await store.txn(when(once, [put("b", "2")]))).succeeded, true);
    assert.equal((await store.txn(when(once, [put("b", "3")]))).succeeded, false);
    assert.equal(show((await store.range(range)).kvs), "a=1 b=2");
  });

  withStore("compare-and-set: of two that expect the same, one wins", async (store) => {
    const { revision } = await store.txn(does(put("a", "0")));
    const mine: Compare = { key: bytes("a"), target: "mod", operator: "=", operand: revision };
    const answers = await Promise.all(
      ["x", "y", "z"].map((value) => store.txn(when(mine, [put("a", value)]))),
    );
    assert.equal(answers.filter(({ succeeded }) => succeeded).length, 1);
  });
}
