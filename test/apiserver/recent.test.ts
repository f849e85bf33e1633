/** Forms of stored objects are let go of when newer ones fill the budget, and made again. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { limits } from "../../services/apiserver/limits.ts";
import { Recent } from "../../services/apiserver/storage/recent.ts";
import { createSelection } from "../../services/apiserver/storage/selection.ts";
import { StoredObject } from "../../services/apiserver/storage/stored-object.ts";
import { encodeStored } from "../../services/apiserver/storage/stored-text.ts";
import { kind } from "./harness.ts";

interface Holder {
  readonly name: string;
}

test("the oldest go when the newest do not fit", () => {
  const forgotten: string[] = [];
  const recent = new Recent<Holder>(10, ({ name }) => forgotten.push(name));
  // The list does not keep its holders.
  const alive: Holder[] = [];
  const add = (name: string, bytes: number) => {
    const holder = { name };
    alive.push(holder);
    recent.add(holder, bytes);
  };
  for (const name of ["a", "b", "c"]) add(name, 4);
  assert.deepEqual(forgotten, ["a"]);
  add("d", 9);
  assert.deepEqual(forgotten, ["a", "b", "c"]);
  assert.equal(recent.bytes, 9);
  add("larger than all", 100);
  assert.deepEqual(forgotten, ["a", "b", "c", "d"], "the newest stays, whatever its size");
  for (let n = 0; n < 5_000; n++) add(`${n}`, 1);
  assert.equal(recent.bytes, 10);
  assert.equal(forgotten.length, 5_000 + 5 - 10);
  assert.equal(alive.length, 5_005);
});

test("values of holders that are gone do not count, and keep nothing", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const recent = new Recent<Holder>(1_000_000, () => {});
  const kept = { name: "kept" };
  recent.add(kept, 7);
  const gone = new WeakRef(addMany(recent, 1_000));
  // What a turn has looked at lives until its end.
  await new Promise((resolve) => setImmediate(resolve));
  collect();
  assert.equal(gone.deref(), undefined);
  addMany(recent, 2_048);
  await new Promise((resolve) => setImmediate(resolve));
  collect();
  addMany(recent, 2_048);
  assert.ok(recent.bytes < 7 + 2 * 2_048, `${recent.bytes} bytes are counted`);
  assert.equal(kept.name, "kept");
});

/** Answers the last holder. */
function addMany(recent: Recent<Holder>, count: number): Holder {
  let holder = { name: "" };
  for (let n = 0; n < count; n++) {
    holder = { name: `${n}` };
    recent.add(holder, 1);
  }
  return holder;
}

test("an object is the same before and after its forms are gone", () => {
  const pods = kind("pods");
  const document = {
    metadata: { name: "p", namespace: "default", labels: { app: "x" } },
    spec: { nodeName: "n1", containers: [{ name: "c", image: "i".repeat(100_000) }] },
  };
  const value = encodeStored(pods, document);
  const object = new StoredObject(pods, "/registry/pods/default/p", value, 7);
  const { protobuf } = object;
  const first = object.document;
  const text = object.json.toString();
  const selection = createSelection(pods, {
    labelSelector: "app=x",
    fieldSelector: "spec.nodeName=n1",
  });
  assert.ok(selection.matches(object));
  for (let bytes = 0; bytes <= limits.documentsBytes; bytes += value.length) {
    void new StoredObject(pods, "/registry/pods/default/q", value, 8).document;
  }
  assert.ok(selection.matches(object), "what selectors look at has stayed");
  assert.notEqual(object.document, first, "another document, made again");
  assert.deepEqual(object.document, first);
  assert.deepEqual(JSON.parse(text), object.document);
  StoredObject.forgetMessage(object);
  StoredObject.forgetText(object);
  assert.deepEqual(object.protobuf, protobuf);
  assert.equal(object.json.toString(), text);
});
