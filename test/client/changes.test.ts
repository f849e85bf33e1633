import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { WatchEvent } from "../../proto/gen/dynamic.ts";
import { changedFields } from "../../services/apiserver/storage/changed-fields.ts";
import { convertAll, StoredObject } from "../../services/apiserver/storage/stored-object.ts";
import { encodeStored } from "../../services/apiserver/storage/stored-text.ts";
import { EventType, WatchItem } from "../../services/apiserver/storage/watch-item.ts";
import { withChanges } from "../../services/client/changes.ts";
import { CachedInformer, type WatchEvent as Told } from "../../services/client/mod.ts";
import { kind } from "../apiserver/harness.ts";
import { FakeClock, settle } from "./fake-clock.ts";
import { quietLog } from "./quiet-log.ts";

type Fields = Record<string, unknown>;

const parsed = (text: Buffer): Fields => JSON.parse(text.toString()) as Fields;
const textOf = (fields: Fields): Buffer => Buffer.from(JSON.stringify(fields));

/** Told as the server tells it, and understood as a client does; undefined: told as a whole. */
function told(before: Fields, after: Fields): Fields | undefined {
  const changes = changedFields(textOf(before), textOf(after));
  return changes && parsed(changes);
}

const padding = { long: "x".repeat(400) };

test("fields that change, come and go are told one by one, the others not", () => {
  const metadata = {
    name: "p",
    namespace: "n",
    uid: "u",
    resourceVersion: "1",
    labels: { a: "b" },
  };
  const before = {
    ...{ apiVersion: "v1", kind: "Pod", metadata, spec: { ...padding, containers: [1, { a: 2 }] } },
    ...{ status: { phase: "Pending", reason: "r" }, plain: 1 },
  };
  const after = {
    ...before,
    metadata: { ...metadata, resourceVersion: "2", labels: { a: "c" } },
    spec: { ...before.spec, nodeName: "n1" },
    ...{ status: { phase: "Running" }, plain: [1] },
  };
  assert.deepEqual(told(before, after), {
    metadata: { ...metadata, resourceVersion: "2", labels: { a: "c" } },
    spec: { nodeName: "n1" },
    status: { phase: "Running", reason: null },
    plain: [1],
  });
  const { status: _, ...without } = { ...before, metadata: { ...metadata, resourceVersion: "3" } };
  const change = { metadata: { name: "p", namespace: "n", uid: "u", resourceVersion: "3" } };
  assert.deepEqual(told(before, without), { ...change, status: null });
});

test("what could be misunderstood, or is as long as the whole, is told as a whole", () => {
  const before = { metadata: { name: "p" }, spec: { ...padding, a: 1 }, status: { b: 1 } };
  assert.equal(told(before, { ...before, spec: { ...padding, a: null } }), undefined);
  assert.equal(told(before, { ...before, more: null } as Fields), undefined);
  const own = JSON.parse(`{"__proto__":1,"b":2}`) as Fields;
  assert.equal(told(before, { ...before, status: own }), undefined);
  assert.equal(told(before, { ...before, spec: { long: "y".repeat(400), a: 1 } }), undefined);
});

test("whatever changes, both together are the new object", () => {
  const name = fc.constantFrom("metadata", "spec", "status", "a", 'q"{', "\\", "é", "0");
  const leaf = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.constantFrom('{"', '\\"', "}", "null", "ü\u{1f600}", ""),
    fc.double({ noNaN: true, noDefaultInfinity: true }).filter((n) => !Object.is(n, -0)),
    fc.boolean(),
    fc.constant(null),
  );
  const { fields } = fc.letrec<{ value: unknown; fields: Fields }>((tie) => ({
    value: fc.oneof(
      { weight: 3, arbitrary: leaf },
      { weight: 1, arbitrary: fc.array(tie("value"), { maxLength: 3 }) },
      { weight: 2, arbitrary: tie("fields") },
    ),
    fields: fc.dictionary(name, tie("value"), { maxKeys: 5, noNullPrototype: true }),
  }));
  let partly = 0;
  fc.assert(
    fc.property(fields, fields, fc.subarray(["a", "spec", "0"]), (before, after, kept) => {
      const shared = Object.fromEntries(kept.map((key) => [key, before[key] ?? padding]));
      const [was, is] = [
        { ...before, ...shared, padding },
        { ...after, ...shared, padding },
      ];
      const changes = told(was, is);
      if (changes === undefined) return;
      partly += 1;
      assert.deepEqual(withChanges(parsed(textOf(was)), changes), parsed(textOf(is)));
    }),
    { numRuns: 800 },
  );
  assert.ok(partly > 100, `only ${partly} were told in part`);
});

test("a change of a version that is not known is no ground: everything is listed again", async () => {
  type Thing = { metadata: { name: string; resourceVersion: string }; spec?: object };
  const [clock, stop] = [new FakeClock(), new AbortController()];
  const things: Thing[] = [{ metadata: { name: "a", resourceVersion: "1" }, spec: { x: 1, y: 1 } }];
  const event = (base: string, resourceVersion: string, spec: object): Told<Thing> => {
    return { type: "MODIFIED", base, object: { metadata: { name: "a", resourceVersion }, spec } };
  };
  const rounds: Told<Thing>[][] = [
    [event("1", "2", { x: 2 }), event("7", "8", { x: 8 })],
    [event("9", "10", { x: 10 })],
  ];
  const client = {
    list: async () => ({ items: [...things], resourceVersion: "9", continue: undefined }),
    async *watchBatches({ changes = false } = {}) {
      assert.ok(changes);
      yield rounds.shift() ?? [];
      await new Promise((_, reject) => stop.signal.addEventListener("abort", reject));
    },
  };
  const informer = new CachedInformer<Thing>({ client, log: quietLog, clock });
  const seen: unknown[] = [];
  informer.addHandlers({ updated: (_, { spec }) => seen.push(spec) });
  const run = informer.run(stop.signal);
  await informer.whenSynced();
  await settle();
  assert.deepEqual(seen, [{ x: 2, y: 1 }]);
  things[0] = { metadata: { name: "a", resourceVersion: "9" }, spec: { x: 9, y: 9 } };
  await clock.advance(10_000);
  await settle();
  assert.deepEqual(seen, [
    { x: 2, y: 1 },
    { x: 9, y: 9 },
    { x: 10, y: 9 },
  ]);
  assert.equal(informer.relists, 1);
  stop.abort();
  await run;
});

test("of stored texts, managedFields are left out, and the resourceVersion is put in", () => {
  const pods = kind("pods");
  const metadata = { name: "p", namespace: "n", uid: "u", labels: { a: "b" } };
  const entry = (manager: string) => ({
    ...{ manager, operation: "Update", apiVersion: "v1", fieldsType: "FieldsV1" },
    fieldsV1: { "f:spec": { "f:a": {} } },
  });
  const version = (managers: string[], revision: number, status: object, text: object = {}) => {
    const managedFields = managers.map(entry);
    const document = {
      metadata: { ...metadata, ...text, ...(managers.length > 0 && { managedFields }) },
      ...{ spec: padding, status },
    };
    return new StoredObject(pods, "/registry/pods/n/p", encodeStored(pods, document), revision);
  };
  for (const managers of [[], ["a"], ["a", "b"]]) {
    const before = version(managers.slice(1), 7, { phase: "Pending" });
    const after = version(managers, 9, { phase: "Running" }, { labels: { a: "c" } });
    const item = new WatchItem(EventType.modified, after, before);
    const event = WatchEvent.decode(item.changes);
    assert.deepEqual([event.type, event.base], ["MODIFIED", "7"]);
    const changes = parsed(Buffer.from(event.json ?? []));
    assert.deepEqual(changes, {
      metadata: { resourceVersion: "9", ...metadata, labels: { a: "c" } },
      status: { phase: "Running" },
    });
    assert.deepEqual(withChanges(parsed(before.trimmedJson), changes), parsed(after.trimmedJson));
  }
});

test("what another program has still to convert is no ground for changes", async () => {
  const pods = kind("pods");
  const same = async <T>(documents: T) => documents;
  const never = () => assert.fail("another program converts");
  const remote = { fromStored: same, toStored: same };
  const storedAs = { resource: pods, fromStored: never, toStored: never, remote };
  const view = { ...pods, version: "v2", storedAs };
  const made = (revision: number, status: object) => {
    const value = encodeStored(pods, { metadata: { name: "p" }, spec: padding, status });
    return new StoredObject(pods, "/registry/pods/n/p", value, revision).as(view);
  };
  const [before, after] = [made(7, { phase: "Pending" }), made(9, { phase: "Running" })];
  await convertAll([after]);
  const base = () => {
    return WatchEvent.decode(new WatchItem(EventType.modified, after, before).changes).base;
  };
  assert.equal(base(), undefined);
  await convertAll([before]);
  assert.equal(base(), "7");
});
