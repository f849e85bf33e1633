/** What lists find in the cache: in order, at one moment, and by an index as without. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { KindCache } from "../../services/apiserver/storage/kind-cache.ts";
import { createSelection } from "../../services/apiserver/storage/selection.ts";
import { SortedMap } from "../../services/apiserver/storage/sorted-map.ts";
import { StoredObject } from "../../services/apiserver/storage/stored-object.ts";
import { encodeStored } from "../../services/apiserver/storage/stored-text.ts";
import { CacheEvent } from "../../services/apiserver/storage/watch-item.ts";
import type { Document } from "../../services/kinds/mod.ts";
import { kind } from "./harness.ts";

/** The same numbers every time (Lehmer's generator). */
function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

test("a view of a sorted map stays as it is, whatever becomes of the map", () => {
  const random = seeded(7);
  const map = new SortedMap<number>();
  const model = new Map<string, number>();
  const views: { entries: [string, number][]; all: () => number[]; count: () => number }[] = [];
  const sorted = () => [...model].sort(([one], [other]) => (one < other ? -1 : 1));
  for (let round = 0; round < 20_000; round++) {
    const key = `${random(3) === 0 ? "a" : "b"}/${String(random(4_000)).padStart(4, "0")}`;
    if (random(4) === 0) {
      assert.equal(map.delete(key), model.delete(key));
    } else {
      map.set(key, round);
      model.set(key, round);
    }
    if (round % 2_000 !== 0) continue;
    const view = map.view();
    assert.equal(map.view(), view, "it is made once");
    const entries = sorted().filter(([each]) => each.startsWith("b/") && each >= "b/1000");
    views.push({
      entries,
      all: () => [...view.runs("b/1000", "b/")].flat(),
      count: () => view.countFrom("b/1000", "b/"),
    });
  }
  for (const { entries, all, count } of views) {
    assert.deepEqual(
      all(),
      entries.map(([, value]) => value),
    );
    assert.equal(count(), entries.length);
  }
  assert.deepEqual(
    [...map.from("", "")],
    sorted().map(([, value]) => value),
  );
});

const pods = kind("pod");

function podAt(key: string, nodeName: string, revision: number): StoredObject {
  const [namespace = "", name = ""] = key.split("/").slice(-2);
  const spec = { containers: [], ...(nodeName !== "" && { nodeName }) };
  const value = encodeStored(pods, { metadata: { name, namespace }, spec } as Document);
  return new StoredObject(pods, key, value, revision);
}

test("the index of a field finds what a look at all objects finds, through every change", () => {
  const random = seeded(11);
  const cache = new KindCache(pods);
  const present = new Map<string, StoredObject>();
  const nodes = ["", "node-0", "node-1", "node-2"];
  for (let revision = 1; revision < 3_000; revision++) {
    const key = `${cache.prefix}ns-${random(3)}/pod-${random(200)}`;
    const before = present.get(key);
    if (before !== undefined && random(3) === 0) {
      cache.apply([new CacheEvent(before.at(revision), before, true)]);
      present.delete(key);
    } else {
      const object = podAt(key, nodes[random(nodes.length)] as string, revision);
      cache.apply([new CacheEvent(object, before, false)]);
      present.set(key, object);
    }
    if (revision % 10 !== 0) continue;
    const namespace = ["", "ns-1"][random(2)] as string;
    const fieldSelector = `spec.nodeName=${nodes[random(nodes.length)]}`;
    const selection = createSelection(pods, { namespace, fieldSelector });
    while (cache.indexOf(selection)?.step());
    const found = cache.selectByIndex(selection, selection.prefix);
    assert.deepEqual(found, [...cache.select(selection)], `${namespace} ${fieldSelector}`);
  }
});

test("an index is not asked while much has changed, or an object cannot be read", () => {
  const cache = new KindCache(pods);
  const selection = createSelection(pods, { fieldSelector: "spec.nodeName=node-0" });
  const add = (index: number, object: StoredObject) => {
    cache.apply([new CacheEvent(object, undefined, false)]);
    return index;
  };
  for (let index = 1; index <= 200; index++) {
    add(index, podAt(`${cache.prefix}default/pod-${index}`, "node-0", index));
  }
  assert.equal(cache.selectByIndex(selection, selection.prefix), undefined);
  while (cache.indexOf(selection)?.step());
  assert.equal(cache.selectByIndex(selection, selection.prefix)?.length, 200);
  const sealed = Buffer.from("k8s:enc:aescbc:v1:key:text");
  add(201, new StoredObject(pods, `${cache.prefix}default/sealed`, sealed, 201));
  assert.equal(cache.selectByIndex(selection, selection.prefix), undefined);
  add(202, podAt(`${cache.prefix}default/sealed`, "node-0", 202));
  assert.equal(cache.selectByIndex(selection, selection.prefix)?.length, 201);
});

test("an observer is told of each object that comes and goes, but not of a change that it calls none", () => {
  const cache = new KindCache(pods);
  const told: string[] = [];
  const named = (step: string) => (object: StoredObject) => {
    told.push(`${step} ${object.revision}`);
  };
  const nodeOf = (object: StoredObject) => object.field("spec.nodeName");
  cache.observe({
    added: named("+"),
    removed: named("-"),
    isSame: (before, after) => nodeOf(before) === nodeOf(after),
  });
  const key = `${cache.prefix}default/web`;
  const change = (revision: number, nodeName: string, deleted = false) => {
    const object = podAt(key, nodeName, revision);
    cache.apply([new CacheEvent(object, cache.get(key), deleted)]);
  };
  change(1, "");
  change(2, "");
  change(3, "n1");
  change(4, "n1");
  change(5, "n1", true);
  assert.deepEqual(told, ["+ 1", "- 2", "+ 3", "- 4"]);
});

test("a copy made of the document is the one made of the text, and may be changed alone", () => {
  const managedFields = [
    { manager: "m", operation: "Update", fieldsType: "FieldsV1", fieldsV1: { "f:spec": {} } },
  ];
  const made: Document = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { managedFields, name: "web", labels: { a: "b" }, annotations: undefined },
    spec: { containers: [{ name: "c", image: undefined }], nodeName: "n1" },
  };
  const key = "/registry/pods/default/web";
  const text = encodeStored(pods, made);
  const ofText = new StoredObject(pods, key, text, 7).copy();
  const object = new StoredObject(pods, key, text, 7).written(made);
  const copy = object.copy();
  assert.deepEqual(copy, ofText);
  assert.deepEqual(Object.keys(copy["spec"] as object), ["containers", "nodeName"]);
  (copy["spec"] as { containers: object[] }).containers.pop();
  copy.metadata?.managedFields?.pop();
  Object.assign(copy.metadata?.labels ?? {}, { a: "c" });
  assert.deepEqual(object.copy(), ofText);
});
