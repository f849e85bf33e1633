/** Merging configurations into documents, and who owns what afterwards. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { FieldType } from "../../services/kinds/machinery/field-type.ts";
import { copyJson } from "../../services/kinds/machinery/json.ts";
import { apply } from "../../services/kinds/machinery/managed-fields/apply.ts";
import { conflictMessage } from "../../services/kinds/machinery/managed-fields/conflicts.ts";
import {
  emptySet,
  pathsOf,
  setOf,
} from "../../services/kinds/machinery/managed-fields/field-set.ts";
import { merge, withoutFields } from "../../services/kinds/machinery/managed-fields/merge.ts";
import { pathText } from "../../services/kinds/machinery/managed-fields/path-element.ts";
import { reconciled } from "../../services/kinds/machinery/managed-fields/reconcile.ts";
import { trackUpdate } from "../../services/kinds/machinery/managed-fields/update.ts";
import { type Document, defineResource } from "../../services/kinds/mod.ts";

const scalar: FieldType = { kind: "leaf" };
const struct = (fields: Readonly<Record<string, FieldType>>): FieldType => ({
  kind: "struct",
  field: (name) => fields[name],
});
const items: FieldType = {
  ...{ kind: "list-map", keys: ["name"], defaults: {} },
  element: struct({ name: scalar, value: scalar, map: { kind: "map", element: scalar } }),
};
const type = struct({
  apiVersion: scalar,
  kind: scalar,
  metadata: struct({ name: scalar, managedFields: scalar }),
  scalar,
  atomic: scalar,
  items,
  set: { kind: "set" },
  map: { kind: "map", element: scalar },
  deep: struct({ items, map: { kind: "map", element: scalar }, scalar }),
  free: { kind: "untyped" },
});

const things = defineResource({
  ...{ group: "test", version: "v1", kind: "Thing", plural: "things" },
  schema: {
    ...{ message: undefined, type, hasField: () => true, keepUnknown: (next) => next },
    check: (document) => ({ errors: [], unknown: [], document: document as Document }),
  },
});

const time = (second: number) => `2026-01-01T00:00:${String(second).padStart(2, "0")}Z`;

/** Applies for a manager; answers the document with its new books. */
function applied(live: Document | undefined, manager: string, config: object, force = true) {
  const outcome = apply(
    {
      ...{ resource: things, live: copyJson(live), force, ignored: emptySet },
      applied: copyJson(config) as Document,
    },
    { manager, subresource: "", time: time(1) },
  );
  if ("conflicts" in outcome) throw new Error(conflictMessage(outcome.conflicts));
  const document = withoutNulls(copyJson(outcome.document ?? live ?? {})) as Document;
  const { managedFields } = outcome;
  document.metadata = { ...document.metadata };
  if (managedFields === undefined) delete document.metadata.managedFields;
  else document.metadata.managedFields = managedFields;
  return document;
}

/** As the schema of a kind has it. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, each]) => each !== null);
  return Object.fromEntries(entries.map(([key, each]) => [key, withoutNulls(each)]));
}

function updated(live: Document, manager: string, change: object, second = 2): Document {
  const next: Document = { ...copyJson(live), ...change };
  const managedFields = trackUpdate(
    { resource: things, live, next, given: undefined },
    { manager, subresource: "", time: time(second) },
  );
  return { ...next, metadata: { ...next.metadata, ...(managedFields && { managedFields }) } };
}

const owned = (document: Document, manager: string): string[] =>
  (document.metadata?.managedFields ?? [])
    .filter((each) => each.manager === manager)
    .flatMap(({ fieldsV1 }) => pathsOf(fieldsV1 as Parameters<typeof pathsOf>[0]).map(pathText));

const plain = ({ metadata: _, ...rest }: Document) => rest;

test("a merge keeps what the configuration does not mention", () => {
  const live = { scalar: 1, map: { a: "1" }, set: ["x"], items: [{ name: "a", value: 1 }] };
  const config = {
    scalar: 2,
    map: { b: "2" },
    set: ["y"],
    items: [{ name: "a", map: { k: "v" } }],
  };
  assert.deepEqual(merge(type, live, config), {
    scalar: 2,
    map: { a: "1", b: "2" },
    set: ["x", "y"],
    items: [{ name: "a", value: 1, map: { k: "v" } }],
  });
  assert.deepEqual(merge(type, { atomic: { a: 1 } }, { atomic: { b: 1 } }), { atomic: { b: 1 } });
  assert.deepEqual(merge(type, { free: { a: [1], b: 1 } }, { free: { a: [2], b: { c: 1 } } }), {
    free: { a: [2], b: { c: 1 } },
  });
});

test("elements of both lists stand in the configuration's order, others behind whom they followed", () => {
  const order = (live: string, config: string) =>
    (merge({ kind: "set" }, live.split(""), config.split("")) as string[]).join("");
  assert.equal(order("abc", "cb"), "acb");
  assert.equal(order("abc", "ca"), "bca");
  assert.equal(order("abc", "xb"), "axbc");
  assert.equal(order("", "ab"), "ab");
  assert.equal(order("abcd", "dcba"), "dcba");
  assert.equal(order("1a2b3", "ba"), "12b3a");
  assert.equal(order("abc", "cxa"), "bcxa");
});

test("taking fields away leaves null where all is gone and the field itself is not taken", () => {
  const value = { deep: { map: { a: "1" }, scalar: 1 }, items: [{ name: "a" }, { name: "b" }] };
  const gone = setOf(["f:deep", "f:map", "f:a"], ["f:items", 'k:{"name":"a"}']);
  assert.deepEqual(withoutFields(type, value, gone), {
    deep: { map: null, scalar: 1 },
    items: [{ name: "b" }],
  });
  assert.equal(withoutFields(type, { scalar: 1 }, setOf(["f:scalar"])), null);
});

test("what an applier drops goes, unless somebody else owns it", () => {
  const first = applied(undefined, "a", { scalar: 1, map: { x: "1", y: "2" } });
  const both = applied(first, "b", { map: { y: "2" } });
  const dropped = applied(both, "a", { map: { x: "1" } });
  assert.deepEqual(plain(dropped), { map: { x: "1", y: "2" } });
  assert.deepEqual(owned(dropped, "a"), [".map.x"]);
  assert.deepEqual(owned(dropped, "b"), [".map.y"]);
});

test("an element goes with whoever put it there, whatever others put into it", () => {
  const first = applied(undefined, "a", { items: [{ name: "x", value: 1 }] });
  const other = updated(first, "b", { items: [{ name: "x", value: 1, map: { k: "v" } }] });
  const dropped = applied(other, "a", { scalar: 1 });
  assert.deepEqual(plain(dropped), { scalar: 1 });
  const shared = applied(first, "b", { items: [{ name: "x", map: { k: "v" } }] });
  assert.deepEqual(plain(applied(shared, "a", { scalar: 1 })), {
    ...{ scalar: 1, items: [{ name: "x", map: { k: "v" } }] },
  });
});

test("whoever empties a struct takes it along", () => {
  const first = applied(undefined, "a", { scalar: 1, deep: { scalar: 1, map: { k: "v" } } });
  assert.deepEqual(plain(applied(first, "a", { scalar: 1 })), { scalar: 1 });
  assert.deepEqual(plain(applied(first, "a", { scalar: 1, deep: { scalar: 1 } })), {
    ...{ scalar: 1, deep: { scalar: 1 } },
  });
});

test("an update takes fields from appliers, and only what it changes", () => {
  const first = applied(undefined, "a", { scalar: 1, map: { x: "1" } });
  const next = updated(first, "b", { scalar: 2 });
  assert.deepEqual(owned(next, "a"), [".map.x"]);
  assert.deepEqual(owned(next, "b"), [".scalar"]);
  assert.throws(
    () => applied(next, "a", { scalar: 3, map: { x: "1" } }, false),
    /^Error: Apply failed with 1 conflict: conflict with "b" using test\/v1: \.scalar$/,
  );
  const agreed = applied(next, "a", { scalar: 2, map: { x: "1" } }, false);
  assert.deepEqual(owned(agreed, "b"), [".scalar"]);
  assert.deepEqual(owned(agreed, "a"), [".map.x", ".scalar"]);
  const removed = updated(agreed, "c", { scalar: undefined });
  assert.deepEqual(
    [owned(removed, "a"), owned(removed, "b"), owned(removed, "c")],
    [[".map.x"], [], []],
  );
});

test("what an application empties and names as empty stays empty, and its other owner's", () => {
  const empty = { free: { a: {} } };
  const first = applied(applied(undefined, "b", empty), "a", { free: { a: { a: "1" } } });
  const once = applied(first, "a", empty);
  assert.deepEqual(plain(once), empty);
  assert.deepEqual([owned(once, "a"), owned(once, "b")], [[".free.a"], [".free.a"]]);
  assert.deepEqual(applied(once, "a", empty), once);
});

test("times move when something was taken, and not otherwise", () => {
  const first = applied(undefined, "a", { scalar: 1 });
  const updatedTwice = updated(updated(first, "b", { map: { x: "1" } }, 5), "c", { set: ["y"] }, 7);
  const times = updatedTwice.metadata?.managedFields?.map((each) => `${each.manager} ${each.time}`);
  assert.deepEqual(times, [`a ${time(1)}`, `b ${time(5)}`, `c ${time(7)}`]);
  const same = updated(updatedTwice, "b", {}, 9);
  assert.equal(same.metadata?.managedFields, updatedTwice.metadata?.managedFields);
});

test("parts of what has become atomic are owned as a whole", () => {
  const set = setOf(
    ["f:atomic", "f:x"],
    ["f:map", "f:k"],
    ["f:items", 'k:{"name":"a"}', "f:value"],
  );
  assert.deepEqual(pathsOf(reconciled(type, set)).map(pathText), [
    ".atomic",
    '.items[name="a"].value',
    ".map.k",
  ]);
});

const name = fc.constantFrom("a", "b", "c", "d");
const text = fc.constantFrom("1", "2");
const map = fc.dictionary(name, text, { maxKeys: 3 });
const element = fc.record({ name, value: text, map }, { requiredKeys: ["name"] });
const config = fc.record(
  {
    scalar: text,
    atomic: fc.array(text, { maxLength: 2 }),
    items: fc.uniqueArray(element, { maxLength: 3, selector: (each) => each.name }),
    set: fc.uniqueArray(name, { maxLength: 3 }),
    map,
    deep: fc.record({ map, scalar: text }, { requiredKeys: [] }),
    free: fc.record({ a: map, b: fc.array(text, { maxLength: 2 }) }, { requiredKeys: [] }),
  },
  { requiredKeys: [] },
);

const step = fc.record({ manager: fc.constantFrom("a", "b"), config, update: fc.boolean() });

test("applying again what was applied last changes nothing, whatever went before", () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 5 }), config, (steps, last) => {
      let document: Document | undefined;
      for (const { manager, config, update } of steps) {
        document =
          update && document
            ? updated(document, manager, config)
            : applied(document, manager, config);
      }
      const once = applied(document, "a", last);
      assert.deepEqual(pruned(applied(once, "a", last)), pruned(once));
    }),
  );
});

test("a lone applier gets just its configuration, whatever it applied before", () => {
  fc.assert(
    fc.property(fc.array(config, { maxLength: 4 }), config, (before, last) => {
      let document: Document | undefined;
      for (const each of before) document = applied(document, "a", { kind: "Thing", ...each });
      const fresh = applied(undefined, "a", { kind: "Thing", ...last });
      const after = applied(document, "a", { kind: "Thing", ...last });
      assert.deepEqual([...owned(after, "a")].sort(), [...owned(fresh, "a")].sort());
      assert.deepEqual(pruned(plain(after)), pruned(plain(fresh)));
    }),
  );
});

/** Without what is empty: a list or object that a manager emptied may stay as an empty one. */
function pruned(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.map(pruned);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, each]) => [key, pruned(each)] as const);
  const left = entries.filter(([, each]) => each !== undefined);
  return left.length === 0 ? undefined : Object.fromEntries(left);
}
