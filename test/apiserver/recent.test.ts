/** Forms of stored objects are let go of when newer ones fill the budget, and made again. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { limits } from "../../services/apiserver/limits.ts";
import { Recent } from "../../services/apiserver/storage/recent.ts";
import { createSelection } from "../../services/apiserver/storage/selection.ts";
import { encodeStored, StoredObject } from "../../services/apiserver/storage/stored-object.ts";
import { kind } from "./harness.ts";

test("the oldest go when the newest do not fit", () => {
  const forgotten: string[] = [];
  const recent = new Recent<string>(10, (name) => forgotten.push(name));
  for (const name of ["a", "b", "c"]) recent.add(name, 4);
  assert.deepEqual(forgotten, ["a"]);
  recent.add("d", 9);
  assert.deepEqual(forgotten, ["a", "b", "c"]);
  assert.equal(recent.bytes, 9);
  recent.add("larger than all", 100);
  assert.deepEqual(forgotten, ["a", "b", "c", "d"], "the newest stays, whatever its size");
  for (let n = 0; n < 5_000; n++) recent.add(`${n}`, 1);
  assert.equal(recent.bytes, 10);
  assert.equal(forgotten.length, 5_000 + 5 - 10);
});

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
