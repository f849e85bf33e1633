/** What transactions do, and what compaction leaves. */
import assert from "node:assert/strict";
import { Code } from "../../../ha/runtime/status-error.ts";
import type { Operation, Revision } from "../../../ha/store/types.ts";
import {
  all,
  bytes,
  does,
  put,
  refused,
  remove,
  show,
  text,
  type WithStore,
  when,
} from "./helpers.ts";

export function txnCases(withStore: WithStore): void {
  withStore("revisions: one per writing txn, none for one that changes nothing", async (store) => {
    const before = await store.readRevision();
    const wrote = await store.txn(does(put("a", "1"), put("b", "1")));
    assert.equal(wrote.revision, before + 1);
    const nothing = await store.txn(does(remove("x", "z")));
    assert.equal(nothing.revision, before + 1);
    assert.deepEqual(nothing.results, [{ op: "delete", deleted: 0, previous: [] }]);
    const again = await store.txn(does(put("a", "1")));
    assert.equal(again.revision, before + 2);
    const [kv] = (await store.range({ key: bytes("a") })).kvs;
    assert.deepEqual(
      [kv?.createRevision, kv?.modRevision, kv?.version],
      [before + 1, before + 2, 2],
    );
    await store.txn(does(remove("a")));
    const reborn = await store.txn(does(put("a", "2")));
    const [young] = (await store.range({ key: bytes("a") })).kvs;
    assert.deepEqual([young?.createRevision, young?.version], [reborn.revision, 1]);
  });

  withStore("a txn answers each operation and reads its own writes", async (store) => {
    await store.txn(does(put("a", "0"), put("b", "0")));
    const answer = await store.txn(
      does(
        { op: "put", key: bytes("a"), value: bytes("1"), previous: true },
        { op: "range", key: bytes("a"), rangeEnd: all },
        remove("b"),
        { op: "range", key: bytes("a"), rangeEnd: all },
        { op: "put", key: bytes("c"), value: bytes("1"), previous: true },
      ),
    );
    const [first, second, third, fourth, fifth] = answer.results;
    assert.ok(first?.op === "put" && first.previous !== undefined);
    assert.equal(text(first.previous.value), "0");
    assert.ok(second?.op === "range" && fourth?.op === "range");
    assert.equal(show(second.kvs), "a=1 b=0");
    assert.ok(third?.op === "delete");
    assert.equal(third.deleted, 1);
    assert.equal(show(third.previous), "b=0");
    assert.equal(show(fourth.kvs), "a=1");
    assert.deepEqual(fifth, { op: "put", previous: undefined });
  });

  withStore("nested txns are decided on the state before all", async (store) => {
    const inner: Operation = {
      op: "txn",
      ...when(
        { key: bytes("a"), target: "version", operator: "=", operand: 0 },
        [put("b", "absent")],
        [put("b", "present")],
      ),
    };
    const answer = await store.txn(does(put("a", "1"), inner));
    const nested = answer.results[1];
    assert.ok(nested?.op === "txn");
    assert.equal(nested.succeeded, true);
    assert.equal(show((await store.range({ key: bytes("b") })).kvs), "b=absent");
  });

  withStore("a key is written once in a txn", async (store) => {
    const duplicate = /^etcdserver: duplicate key given in txn request$/;
    const twice = store.txn(does(put("a", "1"), put("a", "2")));
    await refused(twice, Code.invalidArgument, duplicate);
    const covered = store.txn(does(put("b", "1"), remove("a", "c")));
    await refused(covered, Code.invalidArgument, duplicate);
    const nested: Operation = { op: "txn", ...does(put("a", "2")) };
    await refused(store.txn(does(put("a", "1"), nested)), Code.invalidArgument, duplicate);
    const either: Operation = {
      op: "txn",
      compares: [],
      success: [put("a", "1")],
      failure: [put("a", "2")],
    };
    assert.equal((await store.txn(does(either))).succeeded, true);
  });

  withStore("a txn that is refused changes nothing", async (store) => {
    const { revision } = await store.txn(does(put("a", "1")));
    const lost: Operation = { op: "put", key: bytes("b"), value: bytes(""), lease: 12345n };
    await refused(
      store.txn(does(put("a", "2"), lost)),
      Code.notFound,
      /requested lease not found$/,
    );
    const late: Operation = {
      op: "range",
      key: bytes("a"),
      revision: (revision + 50) as Revision,
    };
    await refused(store.txn(does(put("a", "2"), late)), Code.outOfRange, /future revision$/);
    const keep: Operation = { op: "put", key: bytes("x"), value: bytes(""), ignoreValue: true };
    await refused(store.txn(does(put("a", "2"), keep)), Code.invalidArgument, /key not found$/);
    assert.equal(show((await store.range({ key: bytes("a"), rangeEnd: all })).kvs), "a=1");
    assert.equal(await store.readRevision(), revision);
    const many = Array.from({ length: 129 }, (_, index) => put(`k${index}`, ""));
    await refused(store.txn(does(...many)), Code.invalidArgument, /too many operations in txn/);
  });

  withStore("puts may keep the value or the lease", async (store) => {
    const { id } = await store.leaseGrant(0n, 60);
    await store.txn(does(put("a", "1", id)));
    await store.txn(does({ op: "put", key: bytes("a"), value: bytes("2"), ignoreLease: true }));
    const [kept] = (await store.range({ key: bytes("a") })).kvs;
    assert.deepEqual([text(kept!.value), kept?.lease], ["2", id]);
    await store.txn(does({ op: "put", key: bytes("a"), value: bytes(""), ignoreValue: true }));
    const [bare] = (await store.range({ key: bytes("a") })).kvs;
    assert.deepEqual([text(bare!.value), bare?.lease], ["2", 0n]);
  });

  withStore("keys and values are any bytes", async (store) => {
    const key = Uint8Array.of(0xff, 0, 0x80, 0xc3);
    const value = Uint8Array.from({ length: 256 }, (_, index) => index);
    await store.txn({ compares: [], success: [{ op: "put", key, value }], failure: [] });
    const [kv] = (await store.range({ key })).kvs;
    assert.deepEqual([Uint8Array.from(kv!.key), Uint8Array.from(kv!.value)], [key, value]);
  });
}

export function compactionCases(withStore: WithStore): void {
  withStore("compaction forgets what is older and keeps what is current", async (store) => {
    const first = (await store.txn(does(put("a", "1"), put("b", "1")))).revision;
    const second = (await store.txn(does(put("a", "2")))).revision;
    const third = (await store.txn(does(put("a", "3"), remove("b")))).revision;
    await store.compact(second);
    const at = async (revision: Revision) =>
      show((await store.range({ key: bytes("a"), rangeEnd: all, revision })).kvs);
    await refused(
      at(first),
      Code.outOfRange,
      /^etcdserver: mvcc: required revision has been compacted$/,
    );
    assert.equal(await at(second), "a=2 b=1");
    assert.equal(await at(third), "a=3");
    await refused(store.compact(second), Code.outOfRange, /has been compacted$/);
    await refused(store.compact((third + 9) as Revision), Code.outOfRange, /future revision$/);
    assert.equal(await store.readRevision(), third, "compaction uses no revision");
  });
}
