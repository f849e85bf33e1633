import assert from "node:assert/strict";
import { test } from "node:test";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { Code } from "../../ha/runtime/status-error.ts";
import type { Clock } from "../../ha/runtime/types.ts";
import { openLocalStore } from "../../ha/store/mod.ts";
import type { Revision, Store } from "../../ha/store/types.ts";
import type { WatchRequest } from "../../proto/gen/meta.ts";
import { limits } from "../../services/apiserver/limits.ts";
import { objectKey } from "../../services/apiserver/storage/keys.ts";
import { StoredObject } from "../../services/apiserver/storage/stored-object.ts";
import { encodeStored } from "../../services/apiserver/storage/stored-text.ts";
import {
  EventType,
  initialEventsEnd,
  WatchItem,
} from "../../services/apiserver/storage/watch-item.ts";
import { Watcher } from "../../services/apiserver/storage/watcher.ts";
import {
  type Backend,
  documentBody,
  remove,
  update,
  watch,
} from "../../services/apiserver/verbs/mod.ts";
import type { Document } from "../../services/kinds/mod.ts";
import { eventually } from "../patience.ts";
import { memoryRuntime } from "../store/memory-runtime.ts";
import { adminCall, configMap, kind, make, Reader, world } from "./harness.ts";

const maps = kind("configmaps");
const at = { namespace: "default" };

function open(backend: Backend, request: WatchRequest): Reader {
  const abort = new AbortController();
  return new Reader(
    watch(backend, adminCall({ signal: abort.signal }), maps, { ...at, ...request }),
    abort,
  );
}

function put(backend: Backend, document: Document) {
  return update(backend, adminCall(), maps, {
    body: documentBody(document),
    subresource: "",
    typed: false,
  });
}

test("without a resourceVersion: what exists, then every change in order", async () => {
  await using w = await world();
  await make(w.backend, configMap("a"));
  await make(w.backend, configMap("b"));
  const reader = open(w.backend, {});
  await eventually("the initial events", () => reader.items.length === 2);
  await put(w.backend, configMap("a", { k: "1" }));
  await remove(w.backend, adminCall(), maps, { ...at, name: "b" });
  await make(w.backend, configMap("c"));
  await eventually("the changes", () => reader.items.length === 5);
  assert.deepEqual(reader.story, ["ADDED a", "ADDED b", "MODIFIED a", "DELETED b", "ADDED c"]);
  const versions = reader.items.slice(2).map((item) => item.object.revision);
  assert.deepEqual(
    versions,
    [...versions].sort((x, y) => x - y),
  );
  const gone = reader.items[3]?.object.document;
  assert.equal(gone?.metadata?.resourceVersion, String(versions[1]), "the deletion's revision");
  assert.equal(reader.items[3]?.message, reader.items[3]?.message, "encoded once");
  await reader.stop();
});

test("watches that begin with the state of many objects take turns, and miss nothing", async () => {
  await using w = await world();
  const names = Array.from({ length: limits.watchInTurnObjects + 1 }, (_, n) => `m${n}`);
  await Promise.all(names.map((name) => make(w.backend, configMap(name))));
  const readers = Array.from({ length: 20 }, () => open(w.backend, {}));
  await Promise.all(["n0", "n1"].map((name) => make(w.backend, configMap(name))));
  const all = [...names, "n0", "n1"].map((name) => `ADDED ${name}`).sort();
  await eventually("all events", () => readers.every(({ items }) => items.length >= all.length));
  for (const reader of readers) assert.deepEqual(reader.story.sort(), all);
  const late = open(w.backend, {});
  await w.backend.cache.close();
  await late.done;
  for (const reader of readers) await reader.done;
});

test("from a resourceVersion: exactly what followed, on another master too", async () => {
  await using w = await world();
  const first = await make(w.backend, configMap("a"));
  await make(w.backend, configMap("b"));
  const other = await w.another();
  const here = open(w.backend, { resourceVersion: String(first.revision) });
  // Its window begins at its own fill, so this one is served from the store's history.
  const there = open(other, { resourceVersion: String(first.revision) });
  await eventually("b", () => here.items.length === 1 && there.items.length === 1);
  await remove(w.backend, adminCall(), maps, { ...at, name: "a" });
  await eventually("the deletion", () => here.items.length === 2 && there.items.length === 2);
  assert.deepEqual(here.story, ["ADDED b", "DELETED a"]);
  assert.deepEqual(there.story, here.story);
  await Promise.all([here.stop(), there.stop()]);
});

test("history keeps the last state of the deleted, and ends in Expired when compacted", async () => {
  await using w = await world();
  const first = await make(w.backend, configMap("a", { k: "last" }));
  await remove(w.backend, adminCall(), maps, { ...at, name: "a" });
  const other = await w.another();
  const reader = open(other, { resourceVersion: String(first.revision) });
  await eventually("the deletion", () => reader.items.length === 1);
  assert.deepEqual(reader.items[0]?.object.document["data"], { k: "last" });
  await reader.stop();
  await make(w.backend, configMap("b"));
  await w.store.compact(await w.store.readRevision());
  const late = open(other, { resourceVersion: String(first.revision) });
  await late.done;
  assert.equal(late.error?.detail?.reason, "Expired");
  assert.match(late.error?.message ?? "", /^too old resource version: \d+ \(\d+\)$/);
});

test("objects enter and leave a selector as ADDED and DELETED", async () => {
  await using w = await world();
  const labelled = (on: boolean, k = "") => configMap("a", { k }, { labels: { on: String(on) } });
  await make(w.backend, labelled(false));
  const reader = open(w.backend, { labelSelector: "on=true", resourceVersion: "0" });
  await put(w.backend, labelled(true));
  await put(w.backend, labelled(true, "x"));
  const left = await put(w.backend, labelled(false, "y"));
  await put(w.backend, labelled(false, "z"));
  await put(w.backend, labelled(true));
  await remove(w.backend, adminCall(), maps, { ...at, name: "a" });
  await eventually("all events", () => reader.items.length === 5);
  assert.deepEqual(reader.story, ["ADDED a", "MODIFIED a", "DELETED a", "ADDED a", "DELETED a"]);
  const departure = reader.items[2]?.object.document;
  assert.equal(departure?.metadata?.resourceVersion, String(left.revision));
  assert.deepEqual(departure?.["data"], { k: "x" }, "the last state that was selected");
  await reader.stop();
});

test("a watch tells that it has begun when it is registered, not before and not for a refusal", async () => {
  await using w = await world();
  const first = await make(w.backend, configMap("a"));
  const begin = (request: WatchRequest) => {
    let begun = 0;
    const abort = new AbortController();
    const call = adminCall({ signal: abort.signal, streamBegun: () => void begun++ });
    const reader = new Reader(watch(w.backend, call, maps, { ...at, ...request }), abort);
    return { reader, begun: () => begun };
  };
  const quiet = begin({ resourceVersion: String(first.revision) });
  await eventually("the stream has begun", () => quiet.begun() === 1);
  assert.deepEqual(quiet.reader.items, []);
  const empty = begin({ ...at, labelSelector: "none=such" });
  await eventually("a stream without initial events has begun", () => empty.begun() === 1);
  const refused = begin({ sendInitialEvents: true });
  await refused.reader.done;
  assert.equal(refused.reader.error?.code, Code.invalidArgument);
  assert.equal(refused.begun(), 0);
  await Promise.all([quiet.reader.stop(), empty.reader.stop()]);
});

test("bookmarks: at the end of the initial events, and every interval", async () => {
  await using w = await world({ bookmarkMillis: 20 });
  await make(w.backend, configMap("a"));
  const reader = open(w.backend, { sendInitialEvents: true, allowWatchBookmarks: true });
  await eventually("bookmarks", () => reader.items.length >= 3);
  assert.deepEqual(reader.story.slice(0, 3), ["ADDED a", "BOOKMARK", "BOOKMARK"]);
  const [, end, next] = reader.items.map((item) => item.object.document.metadata);
  assert.deepEqual(end?.annotations, { [initialEventsEnd]: "true" });
  assert.equal(end?.resourceVersion, String(w.backend.cache.revision));
  assert.equal(next?.annotations, undefined);
  const plain = open(w.backend, { resourceVersion: "0" });
  const seen = reader.items.length + 2;
  await eventually("more bookmarks", () => reader.items.length > seen);
  assert.deepEqual(plain.story, ["ADDED a"]);
  await Promise.all([reader.stop(), plain.stop()]);
});

test("a watcher that is too slow is ended after what it has, whole revisions only", async () => {
  const value = encodeStored(maps, { metadata: { name: "a", namespace: "default" } });
  const item = (revision: number) =>
    new WatchItem(EventType.modified, new StoredObject(maps, "/registry/a", value, revision));
  let ended = 0;
  const watcher = new Watcher(false, () => {
    ended += 1;
  });
  for (let i = 1; i < limits.watcherEvents; i++) watcher.offer([item(i)]);
  const last = limits.watcherEvents;
  watcher.offer([item(last), item(last)]);
  watcher.offer([item(last + 1)]);
  assert.equal(ended, 1);
  assert.ok(watcher.overflowed);
  const seen: number[] = [];
  for (let each = watcher.take(); each !== undefined; each = watcher.take()) {
    seen.push(each.object.revision);
  }
  assert.ok(watcher.ended);
  assert.equal(seen.length, limits.watcherEvents - 1);
  assert.equal(seen.at(-1), last - 1, "nothing of the revision that did not fit");
});

test("timeoutSeconds ends a watch; a version from the future is refused with Timeout", async () => {
  await using w = await world();
  const reader = open(w.backend, { timeoutSeconds: 1 });
  await reader.done;
  assert.equal(reader.error, undefined);
  await assert.rejects(w.backend.cache.waitFor(1_000_000, 5), {
    message: /^Timeout: Too large resource version: 1000000, current: \d+$/,
  });
});

test("a broken store watch is resumed without loss or repetition; a compacted one is refilled", async () => {
  const inner = await openLocalStore(memoryRuntime());
  const streams: { close(): void }[] = [];
  let failNext = 0;
  const store: Store = new Proxy(inner, {
    get(target, name) {
      if (name === "watch") {
        return (request: Parameters<Store["watch"]>[0]) => {
          const start = failNext > 0 ? { startRevision: 1 as Revision } : {};
          failNext = Math.max(0, failNext - 1);
          const stream = target.watch({ ...request, ...start });
          streams.push(stream);
          return stream;
        };
      }
      const value = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  await using w = await world({ store });
  const reader = open(w.backend, { resourceVersion: "0" });
  await make(w.backend, configMap("a"));
  await eventually("a", () => reader.items.length === 1);
  streams[0]?.close();
  await make(w.backend, configMap("b"));
  await eventually("b, by the second stream", () => reader.items.length === 2);
  assert.deepEqual(reader.story, ["ADDED a", "ADDED b"]);
  await inner.compact(await inner.readRevision());
  failNext = 1;
  streams[1]?.close();
  const made = await make(w.backend, configMap("c"));
  await reader.done;
  assert.equal(reader.error, undefined, "ended in a way that lets the client resume");
  await w.backend.cache.waitFor(made.revision);
  const refilled = w.backend.cache.of(maps);
  for (const name of ["a", "b", "c"]) {
    assert.ok(refilled.get(objectKey(maps, "default", name)), name);
  }
});

test("old events are let go of after two bookmarks, and still told from the store's history", async () => {
  await using w = await world({ bookmarkMillis: 20 });
  const first = await make(w.backend, configMap("first"));
  const made = limits.ringEventsMin + 20;
  for (let index = 0; index < made; index++) await make(w.backend, configMap(`m${index}`));
  const cache = w.backend.cache.of(maps);
  await eventually("the oldest events are gone", () => cache.windowStart > first.revision);
  const reader = open(w.backend, { resourceVersion: String(first.revision) });
  await eventually("every change since", () => reader.items.length === made);
  assert.equal(reader.story[0], "ADDED m0");
  await reader.stop();
});

test("a master that stops ends its watches one after the other, many of them in as many steps", async () => {
  for (const opened of [3, 90]) {
    const left: number[] = [];
    const clock: Clock = {
      ...productionClock,
      after(millis, callback) {
        if (millis !== limits.watchEndPauseMillis) return productionClock.after(millis, callback);
        left.push(w.backend.cache.watchers);
        return productionClock.after(0, callback);
      },
    };
    await using w = await world({ clock });
    const { cache } = w.backend;
    const all = cache.watchers + opened;
    const readers = Array.from({ length: opened }, () => open(w.backend, {}));
    await eventually("the watches", () => cache.watchers === all);
    await cache.endWatches();
    const each = opened === 3 ? 1 : 2;
    const steps = Array.from({ length: Math.ceil(all / each) }, (_, n) => all - each * (n + 1));
    assert.deepEqual(
      left,
      steps.map((count) => Math.max(0, count)),
    );
    for (const reader of readers) await reader.stop();
  }
});
