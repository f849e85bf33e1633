/** Stored documents with their managedFields in front, parsed with shared sets. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ConfigMapEvent } from "../../proto/gen/core.ts";
import { WatchEvent } from "../../proto/gen/dynamic.ts";
import { parseManaged, withoutManaged } from "../../services/apiserver/storage/managed-text.ts";
import { StoredObject } from "../../services/apiserver/storage/stored-object.ts";
import { encodeStored } from "../../services/apiserver/storage/stored-text.ts";
import { bookmark, WatchItem } from "../../services/apiserver/storage/watch-item.ts";
import type { Document } from "../../services/kinds/mod.ts";
import { kind } from "./harness.ts";

const maps = kind("configmaps");

const text = fc.string({ unit: "grapheme", maxLength: 12 });
const odd = fc.constantFrom(
  '"managedFields":[',
  '"fieldsV1":{',
  '\\"fieldsV1":{',
  "]}",
  "\\",
  '\\"',
  "__proto__",
);
const words = fc.oneof(text, odd);
const element = words.map((word) => `f:${word}`);
const leaf = fc.constant({});
const fields = [1, 2, 3].reduce<fc.Arbitrary<object>>(
  (below) => fc.dictionary(element, fc.oneof(leaf, below), { maxKeys: 3 }),
  leaf,
);
const entry = fc.record(
  {
    manager: words,
    operation: fc.constantFrom("Apply", "Update"),
    fieldsType: fc.constant("FieldsV1"),
    fieldsV1: fields,
    subresource: words,
  },
  { requiredKeys: [] },
);
const document = fc.record({
  metadata: fc.record(
    {
      name: words,
      managedFields: fc.array(entry, { maxLength: 3 }),
      annotations: fc.dictionary(
        words.filter((word) => word !== "__proto__"),
        words,
      ),
    },
    { requiredKeys: ["name"] },
  ),
  data: fc.record({ managedFields: fc.array(entry, { maxLength: 1 }), other: words }),
});

test("what is stored comes back the same, whatever stands in it", () => {
  fc.assert(
    fc.property(document, (sent) => {
      const given = JSON.parse(JSON.stringify(sent)) as Document;
      const value = encodeStored(maps, given);
      if (given.metadata?.managedFields?.length === 0) delete given.metadata.managedFields;
      const expected = { apiVersion: "v1", kind: "ConfigMap", ...given };
      assert.deepEqual(JSON.parse(value.toString()), expected);
      const object = new StoredObject(maps, "/registry/configmaps/default/a", value, 7);
      const { document: read } = object;
      assert.deepEqual(JSON.parse(JSON.stringify(read)), {
        ...expected,
        metadata: { resourceVersion: "7", ...given.metadata },
      });
      assert.deepEqual(JSON.parse(object.json.toString()), JSON.parse(JSON.stringify(read)));
      const { managedFields: _, ...kept } = given.metadata ?? {};
      const trimmed = { ...expected, metadata: { resourceVersion: "7", ...kept } };
      assert.deepEqual(JSON.parse(withoutManaged(object.json).toString()), trimmed);
      const fresh = new StoredObject(maps, object.key, value, 7);
      assert.deepEqual(JSON.parse(fresh.trimmedJson.toString()), trimmed);
      assert.deepEqual(JSON.parse(withoutManaged(value).toString()), {
        ...expected,
        metadata: kept,
      });
    }),
  );
});

test("equal sets of fields are one object, which cannot be changed", () => {
  const fieldsV1 = { "f:data": { ".": {}, "f:k": {} } };
  const stored = (name: string) =>
    parseManaged(
      encodeStored(maps, {
        metadata: { name, managedFields: [{ manager: "m", operation: "Update", fieldsV1 }] },
      }),
    ) as Document;
  const [one, other] = [stored("a"), stored("b")].map(
    ({ metadata }) => metadata?.managedFields?.[0]?.fieldsV1,
  );
  assert.equal(one, other);
  assert.deepEqual(one, fieldsV1);
  assert.throws(() => Object.assign(one ?? {}, { "f:x": {} }), TypeError);
});

test("every form of an event says the same, with managedFields or without", () => {
  const managedFields = [{ manager: "m", operation: "Update", fieldsV1: { "f:data": {} } }];
  const kept = { name: "a", namespace: "default", labels: { x: "ü" } };
  const value = encodeStored(maps, { metadata: { ...kept, managedFields }, data: { key: "ö" } });
  const object = new StoredObject(maps, "/registry/configmaps/default/a", value, 7);
  const { message, trimmed, json, trimmedJson } = new WatchItem("MODIFIED", object);
  const typed = [message, trimmed].map((bytes) => ConfigMapEvent.decode(bytes));
  const texts = [json, trimmedJson].map((bytes) => WatchEvent.decode(bytes));
  const dynamic = texts.map(({ type, json = new Uint8Array() }) => ({
    type,
    object: JSON.parse(Buffer.from(json).toString("utf8")) as unknown,
  }));
  assert.deepEqual(typed, dynamic);
  const about = { apiVersion: "v1", kind: "ConfigMap", data: { key: "ö" } };
  const metadata = { resourceVersion: "7", ...kept };
  assert.deepEqual(typed, [
    { type: "MODIFIED", object: { ...about, metadata: { ...metadata, managedFields } } },
    { type: "MODIFIED", object: { ...about, metadata } },
  ]);
});

test("a bookmark, whose text is short, has every form", () => {
  for (const initialEnd of [false, true]) {
    // Each form by itself: one that is there already may be what another is made of.
    const made = () => bookmark(maps, 42, initialEnd);
    for (const bytes of [made().json, made().trimmedJson]) {
      const event = WatchEvent.decode(bytes);
      assert.equal(event.type, "BOOKMARK");
      const document = JSON.parse(Buffer.from(event.json ?? []).toString()) as Document;
      assert.equal(document.metadata?.resourceVersion, "42");
      assert.equal(document.metadata?.annotations !== undefined, initialEnd);
    }
    for (const bytes of [made().message, made().trimmed]) {
      const { type, object } = ConfigMapEvent.decode(bytes);
      assert.equal(type, "BOOKMARK");
      assert.equal(object?.metadata?.resourceVersion, "42");
    }
  }
});
